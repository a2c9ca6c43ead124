/** What verify says of an index, what recover would make anew and what it does: all three agree, and the log reads right. */
import { expect } from 'chai';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { FastQueueError } from '../../../src/engine/errors.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from '../../../src/engine/format/index-entry.ts';
import type { FileHandle, OpenMode } from '../../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import { decodeHighWatermark, encodeHighWatermark } from '../../../src/engine/format/high-watermark.ts';
import { recoverTopic } from '../../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { ScratchTopic } from '../../support/scratch-topic.ts';

const STORE = '00000000000000000000.store';
const INDEX = '00000000000000000000.index';
const COUNT = 12;

describe('a damaged index', () => {
  let scratch: ScratchTopic;

  beforeEach(async () => {
    scratch = new ScratchTopic();
    await scratch.fill(COUNT, { indexIntervalBytes: 64 });
    expect(entries().length).to.equal(COUNT);
  });

  afterEach(() => {
    scratch.remove();
  });

  function entries(): Buffer[] {
    const bytes = readFileSync(scratch.path(INDEX));
    const count = bytes.length / INDEX_ENTRY_BYTES;
    return Array.from({ length: count }, (_, number) =>
      bytes.subarray(number * INDEX_ENTRY_BYTES, (number + 1) * INDEX_ENTRY_BYTES),
    );
  }

  function put(...parts: readonly (Buffer | undefined)[]): void {
    writeFileSync(scratch.path(INDEX), Buffer.concat(parts as Buffer[]));
  }

  const repairsOf = async (dryRun: boolean): Promise<string[]> => {
    const options = { dryRun, tryBitFlip: false, lockTimeoutMs: 1000 };
    const { repairs } = await recoverTopic(scratch.context(), options);
    return [...repairs].map(({ code }) => code);
  };

  const findings = async (): Promise<{ code: string; command: string | undefined }[]> => {
    const report = await verifyTopic(scratch.context(), { quick: false, onBytes: () => undefined });
    return [...report.findings].map(({ code, command }) => ({ code, command }));
  };

  const damages: [string, 'index_missing' | 'index_unsound' | 'index_contradicts', () => void][] = [
    [
      'is missing',
      'index_missing',
      () => {
        rmSync(scratch.path(INDEX));
      },
    ],
    [
      'is empty',
      'index_unsound',
      () => {
        put();
      },
    ],
    [
      'is cut in its first entry',
      'index_unsound',
      () => {
        put(entries()[0]!.subarray(0, 23));
      },
    ],
    [
      'lacks its first entry',
      'index_unsound',
      () => {
        put(...entries().slice(1));
      },
    ],
    [
      'has zeros between its entries',
      'index_unsound',
      () => {
        put(entries()[0], Buffer.alloc(INDEX_ENTRY_BYTES), ...entries().slice(2));
      },
    ],
    [
      'has two entries in each other’s place',
      'index_contradicts',
      () => {
        const [first, second, third, ...rest] = entries();
        put(first, third, second, ...rest);
      },
    ],
    [
      'has an entry twice',
      'index_contradicts',
      () => {
        const [first, second, ...rest] = entries();
        put(first, second, second, ...rest);
      },
    ],
  ];
  for (const [what, code, damage] of damages) {
    it(`that ${what} is told of, and made anew once`, async () => {
      const whole = readFileSync(scratch.path(INDEX));
      damage();
      const command = 'fastqueue recover t';
      expect(await findings()).to.deep.equal([{ code, command }]);
      expect(await repairsOf(true)).to.deep.equal(['index_unsound']);
      expect([...(await scratch.everyOffset()).keys()].length).to.equal(COUNT);
      expect(await repairsOf(false)).to.deep.equal(['index_unsound']);
      expect(readFileSync(scratch.path(INDEX)).equals(whole)).to.equal(true);
      expect(await findings()).to.deep.equal([]);
      expect(await repairsOf(false)).to.deep.equal([]);
    });
  }

  it('that ends early, or in zeros, is one that a killed writer leaves: nothing is to be done', async () => {
    put(...entries().slice(0, 5));
    expect(await findings()).to.deep.equal([]);
    put(...entries(), Buffer.alloc(3 * INDEX_ENTRY_BYTES));
    expect(await findings()).to.deep.equal([{ code: 'index_unsound', command: undefined }]);
    expect(await repairsOf(true)).to.deep.equal([]);
    expect(await repairsOf(false)).to.deep.equal([]);
  });

  it('of a damaged store is made anew with it, where a stray entry names the damaged place', async () => {
    put(...entries(), entries()[5]);
    const store = readFileSync(scratch.path(STORE));
    store[5 * 216 + 100]! ^= 1;
    writeFileSync(scratch.path(STORE), store);
    expect(await repairsOf(true)).to.deep.equal(['bad_checksum', 'index_unsound']);
    expect(await repairsOf(false)).to.deep.equal(['bad_checksum', 'index_unsound']);
    expect(await repairsOf(false)).to.deep.equal([]);
  });

  it('is none where a writer has not yet shown the first batch of its segment', async () => {
    const file = scratch.path('high-watermark');
    const mark = decodeHighWatermark(readFileSync(file))!;
    writeFileSync(file, encodeHighWatermark({ ...mark, position: 0, nextOffset: 0 }));
    // Its entries are written before the mark.
    expect(await repairsOf(true)).to.deep.equal([]);
    rmSync(scratch.path(INDEX));
    expect(await repairsOf(true)).to.deep.equal([]);
    expect(existsSync(scratch.path(INDEX))).to.equal(false);
  });

  it('of more entries in a damaged place than anybody would look up is made anew', async () => {
    await scratch.fill(1, {}, 200_000);
    const store = readFileSync(scratch.path(STORE));
    const position = COUNT * 216;
    store[position + 100_000]! ^= 1;
    writeFileSync(scratch.path(STORE), store);
    expect(await repairsOf(true)).to.deep.equal(['bad_checksum']);
    const strays = Array.from({ length: 65_537 }, (_, number) => {
      const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
      encodeIndexEntry(entry, 0, { offset: COUNT, position: position + 1 + number, lengthField: 10 });
      return entry;
    });
    // One of them is the entry of the damaged record itself.
    put(...entries(), ...strays.slice(2));
    expect(await repairsOf(true)).to.deep.equal(['bad_checksum']);
    put(...entries().slice(0, COUNT + 1), ...strays.slice(1));
    expect(await repairsOf(true)).to.deep.equal(['bad_checksum', 'index_unsound']);
  });

  it('that the disk does not give up leaves no file open', async () => {
    const open = new Set<FileHandle>();
    const disk = new NodeFileSystem({ map: false });
    const openFile = disk.open.bind(disk);
    const fileSystem = Object.assign(disk, {
      open: (path: string, mode: OpenMode): FileHandle => {
        const file = openFile(path, mode);
        const close = file.close.bind(file);
        open.add(file);
        return Object.assign(file, {
          close: () => {
            open.delete(file);
            close();
          },
          ...(path.endsWith('.index') ? { read: () => refuse(path) } : {}),
        });
      },
    });
    const refuse = (path: string): never => {
      throw new FastQueueError('io_error', `Could not read ${path}: EIO.`, { path, errno: 'EIO' });
    };
    const options = { dryRun: true, tryBitFlip: false, lockTimeoutMs: 1000 };
    const refusal = recoverTopic(scratch.context(fileSystem), options);
    const error: unknown = await refusal.catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'io_error');
    expect([...open].map(({ path }) => path)).to.deep.equal([]);
  });
});
