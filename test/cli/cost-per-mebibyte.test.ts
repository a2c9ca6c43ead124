/**
 * What a MiB costs, counted and not timed: calls to the disk, crossings into the kernel, bytes copied in JavaScript. A
 * loop over records outside of the kernel, a smaller read or one copy more shows here on any machine.
 */
import { expect } from 'chai';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { consume } from '../../src/cli/consume/consume.ts';
import { produce } from '../../src/cli/produce/produce.ts';
import { compactTopic } from '../../src/engine/compaction/compact.ts';
import type { FileHandle, FileSystem } from '../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { sharedKernel } from '../../src/engine/kernel/index.ts';
import { WasmKernel } from '../../src/engine/kernel/wasm-kernel.ts';
import { READ_CHUNK_BYTES } from '../../src/engine/limits.ts';
import { scanFrames } from '../../src/engine/frame-scanner.ts';
import { recoverTopic } from '../../src/engine/recovery/recover.ts';
import type { TopicContext } from '../../src/engine/topic-directory.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { consumeRequest } from '../support/consume-request.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';
import { outputInto } from '../support/stand-in-output.ts';
import { watchCalls } from '../support/watch-calls.ts';

const MEBIBYTE = 1024 * 1024;
/** What a pipe of Linux holds. */
const PIPE_BYTES = 64 * 1024;
const LINE = `${'x'.repeat(99)}\n`;
const RECORD_COUNT = 150_000;

type Counts = Record<string, number>;

/** The same object with every call of it, and of the files it opens, counted by name. */
function counted<T extends object>(target: T, counts: Counts): T {
  return new Proxy(target, {
    get: (_, key: string) => {
      const member = (target as Record<string, unknown>)[key];
      if (typeof member !== 'function') return member;
      return (...parameters: unknown[]): unknown => {
        counts[key] = (counts[key] ?? 0) + 1;
        const result: unknown = Reflect.apply(member, target, parameters);
        return key === 'open' ? counted(result as FileHandle, counts) : result;
      };
    },
  });
}

/** Counts the calls of every kernel while `run` runs, and the bytes that JavaScript copies. */
async function countWork(counts: Counts, run: () => Promise<void>): Promise<void> {
  const undo: (() => void)[] = [];
  const watch = (owner: object, name: string, note: (result: unknown) => void): void => {
    undo.push(watchCalls(owner, name, note));
  };
  for (const name of ['frameLines', 'checkFrames', 'emitPayloads', 'stampFrames', 'indexFrames']) {
    watch(WasmKernel.prototype, name, () => (counts['kernel'] = (counts['kernel'] ?? 0) + 1));
  }
  watch(Buffer.prototype as object, 'copy', (byteCount) => {
    counts['copied'] = (counts['copied'] ?? 0) + (byteCount as number);
  });
  watch(Buffer, 'from', () => (counts['buffers'] = (counts['buffers'] ?? 0) + 1));
  try {
    await run();
  } finally {
    for (const restore of undo) restore();
  }
}

describe('a MiB of records', () => {
  const scratch = new ScratchTopic();
  const input = join(scratch.directory, 'lines');
  let storeBytes: number;

  before(() => {
    writeFileSync(input, LINE.repeat(RECORD_COUNT));
  });

  after(() => {
    rmSync(input, { force: true });
    scratch.remove();
  });

  it('is stored in few system calls and crossings, without a copy of the records', async () => {
    const counts: Counts = {};
    await countWork(counts, async () => {
      const report = await produce({
        dataDirectory: scratch.dataDirectory(counted<FileSystem>(new NodeFileSystem({ map: false }), counts)),
        topic: TOPIC,
        files: [input],
        format: 'lines',
        delimiter: Buffer.from('\n'),
        batchBytes: MEBIBYTE,
        lingerMs: 0,
        maxRecordBytes: MEBIBYTE,
        expectedOffset: undefined,
        create: {},
        teeTo: undefined,
        onAck: () => Promise.resolve(),
        progress: { doneBytes: 0, totalBytes: undefined },
        listenForStop: () => new AbortController().signal,
      });
      expect(report.failure).to.equal(undefined);
      expect(report.recordCount).to.equal(RECORD_COUNT);
    });
    storeBytes = scratch.storeBytes();
    const per = perMebibyte(counts, storeBytes);
    // One batch is one MiB: one write that is synced, the index, the mark, the lock.
    expect(per('writeDurably')).to.be.within(0.9, 1.5);
    expect(per('write') + per('datasync')).to.be.below(3.5);
    expect(totalOf(counts) / (storeBytes / MEBIBYTE)).to.be.below(15);
    expect(per('kernel')).to.be.below(8);
    // Index entries, 24 bytes for each KiB, and not the records.
    expect(per('copied')).to.be.below(64 * 1024);
    expect(per('buffers')).to.be.below(8);
  });

  it('is appended by the library in two crossings for each batch, however many payloads that has', async () => {
    const counts: Counts = {};
    const library = new ScratchTopic();
    const topic = await library.dataDirectory().openTopic(TOPIC, { mode: 'append', create: {} });
    const payload = Buffer.alloc(99, 'x');
    await countWork(counts, async () => {
      for (const payloadCount of [1, 100, 10_000])
        await topic.append(Array.from({ length: payloadCount }, () => payload));
    });
    await topic.close();
    library.remove();
    expect(counts['kernel']).to.be.within(3, 6);
    expect(counts['copied'] ?? 0).to.be.below(64 * 1024);
  });

  it('is written out with one read and one crossing for each chunk', async () => {
    const counts: Counts = {};
    const data = scratch.dataDirectory(counted<FileSystem>(new NodeFileSystem({ map: false }), counts));
    const topic = await data.openTopic(TOPIC, { mode: 'read' });
    const reader = await topic.openReader({ from: 0 });
    const limits = { maxBytes: READ_CHUNK_BYTES, maxRecords: Infinity, untilOffset: Infinity };
    let recordCount = 0;
    await countWork(counts, async () => {
      for (;;) {
        const step = reader.emit({ delimiter: Buffer.of(10) }, limits);
        if (step.type !== 'records') break;
        recordCount += step.recordCount;
      }
      await Promise.resolve();
    });
    reader.close();
    await topic.close();
    expect(recordCount).to.equal(RECORD_COUNT);
    const per = perMebibyte(counts, storeBytes);
    expect(per('read')).to.be.below(4);
    expect(per('kernel')).to.be.below(1.2);
    expect(counts['copied'] ?? 0).to.be.below(1024);
  });

  for (const { pipe, hasRoom, copies } of [
    { pipe: 'an empty pipe', hasRoom: true, copies: 0 },
    { pipe: 'a full pipe', hasRoom: false, copies: 1 },
  ]) {
    it(`goes into ${pipe} by writes that fill it, each with a read and a crossing, and is copied ${copies} times`, async () => {
      const counts: Counts = {};
      const writes: number[] = [];
      const output = outputInto((chunk) => writes.push(chunk.length));
      const disk = counted<FileSystem>(new NodeFileSystem({ map: false }), counts);
      await countWork(counts, async () => {
        const report = await consume(
          consumeRequest({
            dataDirectory: scratch.dataDirectory(disk),
            topic: TOPIC,
            form: { framing: { delimiter: Buffer.of(10) } },
            output: { ...output, isSynchronous: false, ...(hasRoom ? {} : { takeAtOnce: () => 0 }) },
          }),
        );
        expect(report.recordCount).to.equal(RECORD_COUNT);
      });
      const payloadBytes = RECORD_COUNT * LINE.length;
      expect(Math.max(...writes)).to.be.within(0.9 * PIPE_BYTES, PIPE_BYTES);
      expect(writes.length).to.be.below(1.1 * (payloadBytes / PIPE_BYTES));
      expect(counts['kernel']).to.be.below(1.1 * writes.length);
      expect(counts['read']).to.be.below(2.2 * writes.length);
      expect(counts['copied'] ?? 0).to.be.below((copies + 0.01) * payloadBytes);
    });
  }

  it('is checked with one read and one crossing for each chunk', async () => {
    const counts: Counts = {};
    const disk = counted<FileSystem>(new NodeFileSystem({ map: false }), counts);
    const file = disk.open(scratch.path('00000000000000000000.store'), 'read');
    await countWork(counts, async () => {
      const scan = scanFrames({
        file,
        kernel: sharedKernel(),
        position: 0,
        offset: 0,
        endPosition: storeBytes,
        minTimestamp: -Infinity,
      });
      expect(scan).to.include({ stop: 'end', recordCount: RECORD_COUNT });
      await Promise.resolve();
    });
    file.close();
    const per = perMebibyte(counts, storeBytes);
    expect(per('read')).to.be.below(2.2);
    expect(per('kernel')).to.be.below(1.2);
    expect(counts['copied'] ?? 0).to.be.below(1024);
  });
});

describe('a MiB of records, with its index', () => {
  const scratch = new ScratchTopic();
  const options = { dryRun: true, lockTimeoutMs: 1000 };

  before(async () => {
    await scratch.fill(4000, { segmentBytes: 8 * MEBIBYTE }, 4000);
  });

  after(() => {
    scratch.remove();
  });

  for (const [what, look] of [
    ['verify', (context: TopicContext) => verifyTopic(context, { quick: false, onBytes: () => undefined })],
    ['recover', (context: TopicContext) => recoverTopic(context, { ...options, tryBitFlip: false })],
    ['compact', (context: TopicContext) => compactTopic(context, { ...options, mergeBelowBytes: 0 })],
  ] as const) {
    it(`is read once by ${what}, in large pieces`, async () => {
      const counts: Counts = {};
      const disk = counted<FileSystem>(new NodeFileSystem({ map: false }), counts);
      await look(scratch.context(disk));
      expect(totalOf(counts) / (scratch.storeBytes() / MEBIBYTE)).to.be.below(15);
    });
  }
});

describe('one append', () => {
  it('asks the disk for eight things, and writes an index entry now and then', async () => {
    const counts: Counts = {};
    const library = new ScratchTopic();
    const disk = counted<FileSystem>(new NodeFileSystem({ map: false }), counts);
    const topic = await library.dataDirectory(disk).openTopic(TOPIC, { mode: 'append', create: {} });
    await topic.append([Buffer.alloc(99, 'x')]);
    for (const name of Object.keys(counts)) counts[name] = 0;
    for (let number = 0; number < 90; number++) await topic.append([Buffer.alloc(99, 'x')]);
    const { tryLock = 0, unlock = 0, sizeIfNamed = 0, read = 0, write = 0 } = counts;
    const syncCount = (counts['datasync'] ?? 0) + (counts['datasyncHere'] ?? 0);
    expect(counts['status'] ?? 0).to.equal(0);
    await topic.close();
    library.remove();
    // The lock, the mark, whether the mark and the store are still the files of their names.
    expect({ tryLock, unlock, read, sizeIfNamed }).to.deep.equal({
      tryLock: 90,
      unlock: 90,
      read: 90,
      sizeIfNamed: 180,
    });
    // Frames, mark, and an entry for each KiB of frames.
    expect(write).to.be.within(180, 192);
    // Its own, and the mark's once a second.
    expect(syncCount).to.be.within(90, 90 + 60);
  });
});

const perMebibyte =
  (counts: Counts, byteCount: number) =>
  (name: string): number =>
    (counts[name] ?? 0) / (byteCount / MEBIBYTE);

/** Calls to the disk of every kind. */
function totalOf(counts: Counts): number {
  return Object.entries(counts)
    .filter(([name]) => !['kernel', 'copied', 'buffers'].includes(name))
    .reduce((sum, [, count]) => sum + count, 0);
}
