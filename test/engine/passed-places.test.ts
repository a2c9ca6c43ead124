/** Lookups where there is no index: each reader of an opened topic profits from what others have scanned. */
import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { encodeFrame } from '../../src/engine/format/frame.ts';
import { PassedPlaces } from '../../src/engine/passed-places.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const COUNT = 4000;
const INDEX = '00000000000000000000.index';

/** Bytes between two places, a chunk of skipping, and one record's chunk. */
const NEAR_BYTES = 3 * 64 * 1024;

async function payloadAt(topic: Topic, offset: number): Promise<string> {
  const reader = await topic.openReader({ from: offset });
  try {
    const step = reader.read({ maxBytes: 2048, maxRecords: 1, untilOffset: offset + 1 });
    return step.type === 'records' ? String(step.records[0]?.payload) : step.type;
  } finally {
    reader.close();
  }
}

describe('a topic whose index is missing', () => {
  let scratch: ScratchTopic;

  before(async () => {
    scratch = new ScratchTopic();
    const topic = await scratch.open();
    await topic.append(
      Array.from({ length: COUNT }, (_, number) => Buffer.from(`${number}:`.padEnd(1000, 'x'))),
    );
    await topic.close();
  });

  after(() => {
    scratch.remove();
  });

  for (const [damage, write] of [
    [
      'deleted',
      (path: string) => {
        rmSync(path, { force: true });
      },
    ],
    [
      'empty',
      (path: string) => {
        writeFileSync(path, '');
      },
    ],
    [
      'of zeros',
      (path: string) => {
        writeFileSync(path, Buffer.alloc(24_000));
      },
    ],
    [
      'of garbage',
      (path: string) => {
        writeFileSync(path, Buffer.alloc(24_000, 0x5a));
      },
    ],
  ] as const) {
    it(`is scanned once and not for every lookup where the index is ${damage}`, async () => {
      write(scratch.path(INDEX));
      const fileSystem = new FaultyFileSystem();
      const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
      expect(await payloadAt(topic, COUNT - 1)).to.match(new RegExp(`^${COUNT - 1}:`));
      expect(fileSystem.readBytes).to.be.greaterThan(
        statSync(scratch.path('00000000000000000000.store')).size,
      );
      await fc.assert(
        fc.asyncProperty(fc.nat(COUNT - 1), async (offset) => {
          const before = fileSystem.readBytes;
          expect(await payloadAt(topic, offset)).to.match(new RegExp(`^${offset}:`));
          expect(fileSystem.readBytes - before).to.be.lessThan(NEAR_BYTES);
        }),
        { numRuns: 50 },
      );
      await topic.close();
    });
  }
});

describe('a store that somebody has put in the place of another', () => {
  it('is read from its own frames: a place that names none of them is not used', async () => {
    const FEW = 600;
    const scratch = new ScratchTopic();
    try {
      const writer = await scratch.open();
      await writer.append(
        Array.from({ length: FEW }, (_, number) => Buffer.from(`${number}:`.padEnd(1000, 'x'))),
      );
      await writer.close();
      rmSync(scratch.path(INDEX));
      const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
      // First the same records behind padding: every frame stands later than in the store that is put there then.
      const path = scratch.path('00000000000000000000.store');
      const store = readFileSync(path);
      const padding = Buffer.alloc(100);
      const timestamp = Number(store.readBigInt64BE(4));
      encodeFrame(padding, 0, { kind: 3, offset: 0, timestamp, payload: Buffer.alloc(84) });
      writeFileSync(path, Buffer.concat([padding, store]));
      expect(await payloadAt(topic, FEW - 2)).to.match(new RegExp(`^${FEW - 2}:`));
      writeFileSync(path, store);
      for (let offset = 1; offset < FEW - 1; offset += 1)
        expect(await payloadAt(topic, offset)).to.match(new RegExp(`^${offset}:`));
      await topic.close();
    } finally {
      scratch.remove();
    }
  });
});

describe('PassedPlaces', () => {
  const segment = { generation: 1, baseOffset: 0 };

  it('answers with the greatest place at or before an offset, whatever the order they were noted in', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3000), { maxLength: 200 }), fc.nat(3000), (offsets, wanted) => {
        const places = new PassedPlaces();
        // A frame of 64 KiB each: every place is far enough from the next.
        for (const offset of offsets) places.note(segment, { offset, position: offset * 65_536 });
        const expected = Math.max(-1, ...offsets.filter((offset) => offset > 0 && offset <= wanted));
        expect(places.atMost(segment, wanted)?.offset ?? -1).to.equal(expected);
      }),
    );
  });

  it('keeps nothing of another generation, nor a place that is close to one that it has', () => {
    const places = new PassedPlaces();
    places.note(segment, { offset: 10, position: 1_000_000 });
    places.note(segment, { offset: 11, position: 1_000_100 });
    expect(places.atMost(segment, 20)).to.deep.equal({ offset: 10, position: 1_000_000 });
    expect(places.atMost({ ...segment, generation: 2 }, 20)).to.equal(undefined);
    places.note({ ...segment, generation: 2 }, { offset: 5, position: 500_000 });
    expect(places.atMost({ ...segment, generation: 2 }, 20)?.offset).to.equal(5);
    expect(places.atMost(segment, 20)).to.equal(undefined);
  });

  it('grows no further than a thousand places a segment and 64 segments, and still reaches to the end', () => {
    const places = new PassedPlaces();
    const end = 20_000;
    for (let offset = 0; offset < end; offset++) places.note(segment, { offset, position: offset * 65_536 });
    const known = new Set<number>();
    for (let offset = 0; offset < end; offset++) known.add(places.atMost(segment, offset)?.offset ?? -1);
    expect(known.size).to.be.within(400, 1025);
    expect(places.atMost(segment, end)?.offset).to.be.greaterThan(end - 100);
    for (let baseOffset = end; baseOffset < end + 64; baseOffset++)
      places.note({ generation: 1, baseOffset }, { offset: baseOffset + 1, position: 100_000 });
    expect(places.atMost(segment, end)).to.equal(undefined);
    expect(places.atMost({ generation: 1, baseOffset: end }, end + 2)).to.not.equal(undefined);
  });
});
