/**
 * Batches that were framed ahead, as `produce` appends them: written and synced on another thread, in one call.
 */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import fs, { readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { FramedBatch } from '../../src/engine/append-queue.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { createKernel, KERNEL_INPUT, KERNEL_OUTPUT } from '../../src/engine/kernel/index.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';
import { watchCalls } from '../support/watch-calls.ts';

const RECORD_COUNT = 1000;
const LINES = `${'x'.repeat(99)}\n`.repeat(RECORD_COUNT);
const STORE = '00000000000000000000.store';

/** A batch of more than 64 KiB, which is worth another thread, framed for offset 0. */
function framedBatch(): FramedBatch {
  const kernel = createKernel();
  const inputEnd = KERNEL_INPUT.start + kernel.memory.write(LINES, KERNEL_INPUT.start);
  const stamp = { firstOffset: 0, timestamp: Date.now() };
  const { recordCount, outputEnd } = kernel.frameLines({
    input: { start: KERNEL_INPUT.start, end: inputEnd },
    output: KERNEL_OUTPUT,
    framing: { delimiter: Buffer.of(10) },
    isFinal: true,
    maxRecordBytes: 1024,
    ...stamp,
  });
  return { kernel, frames: { start: KERNEL_OUTPUT.start, end: outputEnd }, recordCount, ...stamp };
}

describe('Topic.appendFramed', () => {
  let scratch: ScratchTopic;

  beforeEach(() => {
    scratch = new ScratchTopic();
  });

  afterEach(() => {
    scratch.remove();
  });

  it('goes not back in time where it begins a segment, though it was framed before what came last', async () => {
    const topic = await scratch.open({ segmentBytes: 1024 });
    const framed = framedBatch();
    while (Date.now() <= framed.timestamp) await delay(1);
    const before = await topic.append([Buffer.alloc(1000)]);
    const ack = await topic.appendFramed(framed);
    await topic.close();
    expect(scratch.files('.store').length).to.equal(2);
    expect(before.timestamp).to.be.greaterThan(framed.timestamp);
    expect(ack.timestamp).to.be.at.least(before.timestamp);
  });

  it('knows what the next append will probably get while the log is opened anew, and when it could not be', async () => {
    const topic = await scratch.open();
    await topic.append([Buffer.from('one'), Buffer.from('two')]);
    const seen = new Set<number>();
    const look = (): void => {
      seen.add(topic.expectedNextOffset);
    };
    const looking = setInterval(look, 0);
    for (const segmentBytes of [1024 ** 2, 1024 ** 3]) {
      const changed = topic.changeSettings({ segmentBytes });
      look();
      await changed;
      look();
      const appended = topic.append([]).catch(() => undefined);
      look();
      await appended;
    }
    await scratch.dataDirectory().deleteTopic(TOPIC);
    await topic.append([Buffer.from('three')]).catch(() => undefined);
    look();
    clearInterval(looking);
    await topic.close();
    expect([...seen]).to.deep.equal([2]);
  });

  it('stores all of a batch or nothing, at whichever change the disk fails or the process ends', async () => {
    for (const type of ['fail', 'die'] as const) {
      for (let at = 1; ; at++) {
        const one = new ScratchTopic();
        try {
          await one.fill(1);
          const fileSystem = new FaultyFileSystem({ at, type });
          const acknowledged = await one
            .dataDirectory(fileSystem)
            .openTopic(TOPIC, { mode: 'append' })
            .then(async (topic) => {
              try {
                return await topic.appendFramed(framedBatch());
              } finally {
                await topic.close().catch(() => undefined);
              }
            })
            .then(
              () => true,
              () => false,
            );
          await (await one.open()).close();
          const { size } = await one.everyOffset();
          expect([1, 1 + RECORD_COUNT], `${type} at change ${at}`).to.include(size);
          if (acknowledged) expect(size).to.equal(1 + RECORD_COUNT);
          if (at > fileSystem.changeCount) break;
        } finally {
          one.remove();
        }
      }
    }
  });
});

describe('NodeFileSystem writeDurably', () => {
  const scratch = ScratchTopic.forEach(1);

  it('writes through a descriptor on which every write is synced', async () => {
    const file = new NodeFileSystem().open(scratch.path(STORE), 'update');
    expect(await file.writeDurably(Buffer.from('durable'), 3)).to.equal(7);
    expect(readFileSync(scratch.path(STORE)).toString('latin1', 3, 10)).to.equal('durable');
    const flags = openFlags(scratch.path(STORE));
    file.close();
    expect(flags.some((each) => (each & O_DSYNC) !== 0)).to.equal(true);
    expect(openFlags(scratch.path(STORE))).to.deep.equal([]);
  });

  it('writes to its own file and syncs that where another has the name by now, a pipe that nobody reads, or none', async () => {
    const path = scratch.path(STORE);
    const others = {
      another: () => {
        writeFileSync(path, 'another');
      },
      pipe: () => {
        execFileSync('mkfifo', [path]);
      },
      none: () => undefined,
    };
    for (const [name, putOther] of Object.entries(others)) {
      writeFileSync(path, 'before!');
      const file = new NodeFileSystem().open(path, 'update');
      renameSync(path, `${path}.${name}`);
      putOther();
      const { written, syncCount } = await syncsDuring(() => file.writeDurably(Buffer.from('durable'), 0));
      file.close();
      expect({ written, syncCount }, name).to.deep.equal({ written: 7, syncCount: 1 });
      expect(readFileSync(`${path}.${name}`, 'latin1')).to.equal('durable');
      rmSync(path, { force: true });
    }
  });

  it('keeps its descriptor through a close until the disk has answered', async () => {
    const path = scratch.path(STORE);
    const file = new NodeFileSystem().open(path, 'update');
    const syncing = file.datasync();
    file.close();
    expect(openFlags(path).length).to.equal(1);
    await syncing;
    expect(openFlags(path)).to.deep.equal([]);
  });

  it('syncs each write by itself on macOS, where a synced write may stay in the disk’s own cache', async () => {
    const path = scratch.path(STORE);
    const file = new NodeFileSystem().open(path, 'update');
    const { platform } = process;
    Object.defineProperty(process, 'platform', { value: 'darwin' });
    try {
      const { syncCount } = await syncsDuring(() => file.writeDurably(Buffer.from('durable'), 0));
      expect(syncCount).to.equal(1);
      expect(openFlags(path).every((each) => (each & O_DSYNC) === 0)).to.equal(true);
    } finally {
      Object.defineProperty(process, 'platform', { value: platform });
      file.close();
    }
  });
});

const O_DSYNC = 0o10000;

/** What a durable write returned, and how often Node was asked for a sync. */
async function syncsDuring(run: () => Promise<number>): Promise<{ written: number; syncCount: number }> {
  let syncCount = 0;
  const stop = watchCalls(fs, 'fdatasync', () => (syncCount += 1));
  try {
    return { written: await run(), syncCount };
  } finally {
    stop();
  }
}

/** Flags of every descriptor of this process that is open on `path`. */
function openFlags(path: string): number[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== path) return [];
      const [, flags = '0'] = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')) ?? [];
      return [parseInt(flags, 8)];
    } catch {
      return [];
    }
  });
}
