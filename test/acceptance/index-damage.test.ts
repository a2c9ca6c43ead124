/** The index is a cache: whatever happens to it, every offset leads to the same record, with the map and without. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { FastQueueError } from '../../src/engine/errors.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from '../../src/engine/format/index-entry.ts';
import type { FileHandle, FileSystem, OpenMode } from '../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const RECORDS = 300;
const STORE = '00000000000000000000.store';

const DAMAGES: [string, (path: string, others: readonly string[]) => void][] = [
  ['whole', () => undefined],
  [
    'deleted',
    (path) => {
      rmSync(path);
    },
  ],
  [
    'emptied',
    (path) => {
      truncateSync(path, 0);
    },
  ],
  [
    'cut in the middle of an entry',
    (path) => {
      truncateSync(path, Math.floor(readFileSync(path).length / 2) | 1);
    },
  ],
  [
    'filled with zeros',
    (path) => {
      writeFileSync(path, Buffer.alloc(readFileSync(path).length));
    },
  ],
  [
    'half filled with zeros',
    (path) => {
      writeFileSync(path, readFileSync(path).fill(0, readFileSync(path).length >> 1));
    },
  ],
  [
    'full of garbage',
    (path) => {
      writeFileSync(path, randomBytes(readFileSync(path).length + 7));
    },
  ],
  [
    'from another segment',
    (path, others) => {
      writeFileSync(path, readFileSync(others.find((other) => other !== path)!));
    },
  ],
  [
    'with its entries in reverse order',
    (path) => {
      const bytes = readFileSync(path);
      const entries = Array.from({ length: bytes.length / 24 }, (_, at) =>
        bytes.subarray(at * 24, at * 24 + 24),
      );
      writeFileSync(path, Buffer.concat(entries.reverse()));
    },
  ],
];

describe('an index', () => {
  for (const map of [true, false]) {
    for (const [what, damage] of DAMAGES) {
      it(`that is ${what} changes no record at any offset ${map ? 'with' : 'without'} the map`, async () => {
        const scratch = new ScratchTopic();
        try {
          await scratch.fill(RECORDS, { segmentBytes: 8192, indexIntervalBytes: 256 }, 100);
          const directory = join(scratch.directory, TOPIC);
          const indexes = readdirSync(directory)
            .filter((name) => name.endsWith('.index'))
            .map((name) => join(directory, name));
          expect(indexes.length).to.be.greaterThan(3);
          for (const path of indexes) damage(path, indexes);
          const topic = await openDataDirectory(scratch.directory, { map }).openTopic(TOPIC, {
            mode: 'read',
          });
          for (let offset = 0; offset < RECORDS; offset++) {
            const reader = await topic.openReader({ from: offset });
            const step = reader.read({ maxBytes: 4096, maxRecords: 1, untilOffset: offset + 1 });
            expect(step.type === 'records' ? step.records[0]!.payload.toString() : step.type).to.equal(
              `${offset}:`.padEnd(100, 'x'),
            );
            reader.close();
          }
          await topic.close();
        } finally {
          scratch.remove();
        }
      });
    }
  }

  for (const what of ['opened', 'read'] as const) {
    it(`that cannot be ${what} hides no record, by offset or by time`, async () => {
      const scratch = new ScratchTopic();
      try {
        await scratch.fill(RECORDS, { segmentBytes: 8192, indexIntervalBytes: 256 }, 100);
        const topic = await scratch.dataDirectory(withoutIndexes(what)).openTopic(TOPIC, { mode: 'read' });
        for (let offset = 0; offset < RECORDS; offset++) {
          const reader = await topic.openReader({ from: offset });
          const step = reader.read({ maxBytes: 4096, maxRecords: 1, untilOffset: offset + 1 });
          expect(step.type === 'records' ? step.firstOffset : step.type).to.equal(offset);
          reader.close();
        }
        expect(await topic.offsetAtTime(0)).to.equal(0);
        expect(await topic.offsetAtTime(Date.now() + 60_000)).to.equal(RECORDS);
        await topic.close();
      } finally {
        scratch.remove();
      }
    });
  }

  it('with any number of wrong entries costs no more than to read its store', async () => {
    const scratch = new ScratchTopic();
    try {
      await scratch.fill(RECORDS, { indexIntervalBytes: 256 }, 100);
      const path = scratch.path('00000000000000000000.index');
      const right = readFileSync(path);
      const wrong = Buffer.alloc(20_000 * INDEX_ENTRY_BYTES);
      for (let number = 0; number < 20_000; number++) {
        const entry = { offset: 1, position: 1 + number, lengthField: 7 };
        encodeIndexEntry(wrong, number * INDEX_ENTRY_BYTES, entry);
      }
      const zeros = Buffer.alloc(wrong.length);
      const store = readFileSync(scratch.path(STORE));
      const readFrom = async (from: number | 'last time'): Promise<number> => {
        const fileSystem = new FaultyFileSystem();
        const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
        const { timestamp } = await topic.mark();
        const readBefore = fileSystem.readBytes;
        const first = from === 'last time' ? await topic.offsetAtTime(timestamp) : from;
        const reader = await topic.openReader({ from: first, onDamage: 'skip' });
        const step = reader.read({ maxBytes: 4096, maxRecords: 1, untilOffset: RECORDS });
        expect(step.type === 'records' ? step.firstOffset : step.type).to.equal(first);
        expect(fileSystem.readBytes - readBefore).to.be.lessThan(3 * store.length + 16_384);
        reader.close();
        await topic.close();
        return first;
      };
      for (const entries of [wrong, Buffer.concat([right, wrong]), Buffer.concat([right, zeros])]) {
        writeFileSync(path, entries);
        await readFrom(RECORDS - 1);
        expect(await readFrom('last time')).to.be.greaterThan(RECORDS / 2);
      }
      // Where a frame is looked for behind damage, what follows in the index is asked, too.
      store[Math.floor(store.length / 2)]! ^= 1;
      writeFileSync(scratch.path(STORE), store);
      writeFileSync(path, Buffer.concat([right.subarray(0, INDEX_ENTRY_BYTES), zeros]));
      await readFrom(RECORDS - 1);
    } finally {
      scratch.remove();
    }
  });

  it('that is damaged is gone on with by the next writer', async () => {
    for (const [, damage] of DAMAGES) {
      const scratch = new ScratchTopic();
      try {
        await scratch.fill(100, { segmentBytes: 8192, indexIntervalBytes: 256 }, 100);
        const directory = join(scratch.directory, TOPIC);
        const indexes = readdirSync(directory)
          .filter((name) => name.endsWith('.index'))
          .map((name) => join(directory, name));
        damage(indexes.at(-1)!, indexes);
        await scratch.fill(100, {}, 100);
        const seen = await scratch.everyOffset();
        expect(seen.size).to.equal(200);
        for (const [offset, text] of seen) expect(text).to.include(` ${offset}:`);
      } finally {
        scratch.remove();
      }
    }
  });
});

/** A disk that gives no index up. */
function withoutIndexes(doing: 'opened' | 'read'): FileSystem {
  const disk = new NodeFileSystem({ map: false });
  const open = disk.open.bind(disk);
  const refuse = (path: string): never => {
    throw new FastQueueError('permission_denied', `${path}: EACCES.`, { path, errno: 'EACCES' });
  };
  return Object.assign(disk, {
    open: (path: string, mode: OpenMode): FileHandle => {
      if (!path.endsWith('.index')) return open(path, mode);
      return doing === 'opened'
        ? refuse(path)
        : Object.assign(open(path, mode), { read: () => refuse(path) });
    },
  });
}
