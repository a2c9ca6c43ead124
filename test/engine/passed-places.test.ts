/** Lookups where there is no index: each reader of an opened topic profits from what others have scanned. */
import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { encodeFrame } from '../../src/engine/format/frame.ts';
import { PassedPlaces } from '../../src/engine/passed-places.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const COUNT = 4000;
/** Records of one batch, which carry one timestamp. */
const BATCH = 100;
const INDEX = '00000000000000000000.index';

/** Bytes between two places, a chunk of skipping, and one record's chunk. */
const NEAR_BYTES = 3 * 64 * 1024;

const numbered = (first: number, count: number, bytes = 1000): Buffer[] =>
  Array.from({ length: count }, (_, number) => Buffer.from(`${first + number}:`.padEnd(bytes, 'x')));

async function payloadAt(topic: Topic, offset: number): Promise<string> {
  const reader = await topic.openReader({ from: offset });
  try {
    const step = reader.read({ maxBytes: 2048, maxRecords: 1, untilOffset: offset + 1 });
    return step.type === 'records' ? String(step.records[0]?.payload) : step.type;
  } finally {
    reader.close();
  }
}

/** An index whose entries are sound, and name frames of another segment. */
async function foreignIndex(): Promise<Buffer> {
  const other = new ScratchTopic();
  try {
    const topic = await other.open();
    await topic.append(numbered(0, 2000, 1500));
    await topic.close();
    return readFileSync(other.path(INDEX));
  } finally {
    other.remove();
  }
}

/** The index that is found in its place, by what befell it. */
const DAMAGES: Record<string, (whole: Buffer) => Buffer | undefined | Promise<Buffer>> = {
  deleted: () => undefined,
  empty: () => Buffer.alloc(0),
  'of zeros': (whole) => Buffer.alloc(whole.length),
  'of garbage': (whole) => Buffer.alloc(whole.length, 0x5a),
  'cut off within its sixth entry': (whole) => whole.subarray(0, 5 * 24 + 7),
  'of another segment': foreignIndex,
};

describe('a topic whose index is missing', () => {
  const now = Date.now;
  let scratch: ScratchTopic;
  let index: Buffer;
  /** Of each batch. */
  const timestamps: number[] = [];

  before(async () => {
    scratch = new ScratchTopic();
    let clock = now();
    Date.now = () => (clock += 10);
    // Half of the records are in a sealed segment of two, half in the active one.
    const topic = await scratch.open({ segmentBytes: 2_100_000 });
    for (let first = 0; first < COUNT; first += BATCH)
      timestamps.push((await topic.append(numbered(first, BATCH))).timestamp);
    await topic.close();
    Date.now = now;
    expect(scratch.files('.store')).to.have.length(2);
    index = readFileSync(scratch.path(INDEX));
    for (const name of scratch.files('.index')) rmSync(scratch.path(name));
  });

  after(() => {
    Date.now = now;
    scratch.remove();
  });

  const lookups: Record<string, (topic: Topic, offset: number) => Promise<void>> = {
    offset: async (topic, offset) => {
      expect(await payloadAt(topic, offset)).to.match(new RegExp(`^${offset}:`));
    },
    time: async (topic, offset) => {
      const batch = Math.floor(offset / BATCH);
      expect(await topic.offsetAtTime(timestamps[batch] as number)).to.equal(batch * BATCH);
    },
  };

  for (const [name, damage] of Object.entries(DAMAGES)) {
    for (const [by, look] of Object.entries(lookups)) {
      it(`is scanned once and not for every lookup by ${by}, where the index is ${name}`, async () => {
        const content = await damage(index);
        if (content === undefined) rmSync(scratch.path(INDEX), { force: true });
        else writeFileSync(scratch.path(INDEX), content);
        const fileSystem = new FaultyFileSystem();
        const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
        // The last record of each segment.
        for (const base of scratch.files('.store').map((file) => Number(file.slice(0, 20)))) {
          if (base > 0) await look(topic, base - 1);
        }
        await look(topic, COUNT - 1);
        expect(fileSystem.readBytes).to.be.greaterThan(scratch.storeBytes() - 300_000);
        await fc.assert(
          fc.asyncProperty(fc.nat(COUNT - 1), async (offset) => {
            const before = fileSystem.readBytes;
            await look(topic, offset);
            expect(fileSystem.readBytes - before).to.be.lessThan(2 * NEAR_BYTES);
          }),
          { numRuns: 50 },
        );
        await topic.close();
      });
    }
  }
});

describe('an index of another segment', () => {
  it('costs a lookup no more than headers where its entries point at what looks like long frames', async () => {
    const scratch = new ScratchTopic();
    try {
      const writer = await scratch.open();
      // Wherever an entry points into a payload, a Length of a MiB stands there.
      const payload = Buffer.alloc(1000, Buffer.of(0, 0x10, 0, 0));
      await writer.append(Array.from({ length: COUNT }, () => payload));
      await writer.close();
      writeFileSync(scratch.path(INDEX), await foreignIndex());
      const fileSystem = new FaultyFileSystem();
      const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
      const timestamp = (await topic.status()).firstTimestamp as number;
      const before = fileSystem.readBytes;
      expect(await topic.offsetAtTime(timestamp)).to.equal(0);
      expect(await payloadAt(topic, 1)).to.equal(String(payload));
      expect(fileSystem.readBytes - before).to.be.lessThan(NEAR_BYTES);
      await topic.close();
    } finally {
      scratch.remove();
    }
  });
});

describe('a store that somebody has put in the place of another', () => {
  it('is read from its own frames: a place that names none of them is not used', async () => {
    const FEW = 600;
    const scratch = new ScratchTopic();
    try {
      const writer = await scratch.open();
      await writer.append(numbered(0, FEW));
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
  const upTo = (wanted: number) => (place: { offset: number }) => place.offset <= wanted;

  it('answers with the greatest place at or before an offset, whatever the order they were noted in', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3000), { maxLength: 200 }), fc.nat(3000), (offsets, wanted) => {
        const places = new PassedPlaces();
        // A frame of 64 KiB each: every place is far enough from the next.
        for (const offset of offsets) places.note(segment, { offset, position: offset * 65_536 });
        const expected = Math.max(-1, ...offsets.filter((offset) => offset > 0 && offset <= wanted));
        expect(places.greatest(segment, upTo(wanted))?.offset ?? -1).to.equal(expected);
      }),
    );
  });

  it('keeps nothing of another generation, nor a place that is close to one that it has', () => {
    const places = new PassedPlaces();
    places.note(segment, { offset: 10, position: 1_000_000 });
    places.note(segment, { offset: 11, position: 1_000_100 });
    expect(places.greatest(segment, upTo(20))).to.deep.equal({ offset: 10, position: 1_000_000 });
    expect(places.greatest({ ...segment, generation: 2 }, upTo(20))).to.equal(undefined);
    places.note({ ...segment, generation: 2 }, { offset: 5, position: 500_000 });
    expect(places.greatest({ ...segment, generation: 2 }, upTo(20))?.offset).to.equal(5);
    expect(places.greatest(segment, upTo(20))).to.equal(undefined);
  });

  it('grows no further than a thousand places a segment and 64 segments, and still reaches to the end', () => {
    const places = new PassedPlaces();
    const end = 20_000;
    for (let offset = 0; offset < end; offset++) places.note(segment, { offset, position: offset * 65_536 });
    const known = new Set<number>();
    for (let offset = 0; offset < end; offset++)
      known.add(places.greatest(segment, upTo(offset))?.offset ?? -1);
    expect(known.size).to.be.within(400, 1025);
    expect(places.greatest(segment, upTo(end))?.offset).to.be.greaterThan(end - 100);
    for (let baseOffset = end; baseOffset < end + 64; baseOffset++)
      places.note({ generation: 1, baseOffset }, { offset: baseOffset + 1, position: 100_000 });
    expect(places.greatest(segment, upTo(end))).to.equal(undefined);
    expect(places.greatest({ generation: 1, baseOffset: end }, upTo(end + 2))).to.not.equal(undefined);
  });
});
