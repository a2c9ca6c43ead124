/** The index is a cache: whatever happens to it, every offset leads to the same record, with the map and without. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const RECORDS = 300;

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
