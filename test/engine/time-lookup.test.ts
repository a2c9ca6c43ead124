import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { storeFileName } from '../../src/engine/format/file-names.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const PAYLOAD_BYTES = 200;
const FRAME_BYTES = 16 + PAYLOAD_BYTES;

describe('Topic.offsetAtTime', () => {
  let scratch: ScratchTopic;
  /** Timestamp of each record, by offset: no two are the same. */
  let timestamps: number[];
  /** Base offsets of the segments, ascending. */
  let bases: number[];

  beforeEach(async () => {
    scratch = new ScratchTopic();
    const topic = await scratch.open({ segmentBytes: 4096 });
    timestamps = [];
    while (timestamps.length < 60) {
      const { timestamp } = await topic.append([Buffer.alloc(PAYLOAD_BYTES, 'x')]);
      timestamps.push(timestamp);
      while (Date.now() === timestamp) await new Promise((resolve) => setImmediate(resolve));
    }
    await topic.close();
    bases = scratch.files('.store').map((name) => Number(name.slice(0, 20)));
    expect(bases.length).to.be.greaterThan(3);
    expect(new Set(timestamps).size).to.equal(60);
  });

  afterEach(() => {
    scratch.remove();
  });

  async function lookups(times: readonly number[]): Promise<number[]> {
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    const found = await Promise.all(times.map((timestamp) => topic.offsetAtTime(timestamp)));
    await topic.close();
    return found;
  }

  function damage(offset: number): void {
    const base = bases.findLast((candidate) => candidate <= offset)!;
    const path = scratch.path(storeFileName(base));
    const bytes = readFileSync(path);
    bytes[(offset - base) * FRAME_BYTES + 20]! ^= 1;
    writeFileSync(path, bytes);
  }

  const everyOffset = Array.from({ length: 60 }, (_, offset) => offset);

  it('finds the first record at or after each time', async () => {
    expect(await lookups(timestamps)).to.deep.equal(everyOffset);
    expect(await lookups(timestamps.map((timestamp) => timestamp + 1))).to.deep.equal(
      everyOffset.map((offset) => (timestamps[offset + 1] === undefined ? 60 : offset + 1)),
    );
    expect(await lookups([0, Infinity])).to.deep.equal([0, 60]);
  });

  it('finds the same where the index of every segment is gone', async () => {
    for (const name of scratch.files('.index')) unlinkSync(scratch.path(name));
    expect(await lookups(timestamps)).to.deep.equal(everyOffset);
  });

  it('finds every good record beside any damaged one, and the damage where that may hide the record', async () => {
    const second = bases[1]!;
    for (let offset = second; offset < bases[2]!; offset++) {
      damage(offset);
      // Of a damaged record it is not known how late it was, only that it was not before the one before it.
      const expected = everyOffset.map((wanted) => (wanted === offset + 1 ? offset : wanted));
      expect(await lookups(timestamps), `offset ${offset} is damaged`).to.deep.equal(expected);
      damage(offset);
    }
  });

  it('answers where a missing segment begins for every time that may be in it', async () => {
    for (const [number, base] of bases.entries()) {
      const path = scratch.path(storeFileName(base));
      const bytes = readFileSync(path);
      unlinkSync(path);
      const end = bases[number + 1] ?? 60;
      // The first record behind it may not be the first at its time.
      const expected = everyOffset.map((wanted) => (wanted >= base && wanted <= end ? base : wanted));
      expect(await lookups(timestamps), `the segment ${base} is missing`).to.deep.equal(expected);
      writeFileSync(path, bytes);
    }
  });
});

describe('Topic.offsetAtTime in a segment of many strides', () => {
  const now = Date.now;
  const COUNT = 42;
  /** A frame within a stride, one of about a stride, and one of several. */
  const SIZES = [300, 60_000, 140_000];
  /** Offsets of runs of damaged frames, two good ones at least between two: one alone would have nothing to confirm it. */
  const damageRuns = fc
    .array(fc.record({ good: fc.integer({ min: 2, max: 12 }), bad: fc.integer({ min: 1, max: 3 }) }), {
      maxLength: 6,
    })
    .map((runs) => {
      const damaged: number[] = [];
      let offset = -2;
      for (const { good, bad } of runs) {
        offset += good;
        for (let number = 0; number < bad; number++) damaged.push(offset++);
      }
      return damaged.filter((candidate) => candidate < COUNT);
    });
  let scratch: ScratchTopic;
  const timestamps: number[] = [];
  /** Where each frame begins. */
  const positions: number[] = [];

  before(async () => {
    scratch = new ScratchTopic();
    let clock = now();
    Date.now = () => (clock += 10);
    const topic = await scratch.open();
    let position = 0;
    for (let offset = 0; offset < COUNT; offset++) {
      // Twenty small ones in a row, then all sizes in turn.
      const payload = Buffer.alloc(offset < 20 ? 300 : SIZES[offset % 3]!, offset);
      positions.push(position);
      position += payload.length + 16;
      timestamps.push((await topic.append([payload])).timestamp);
    }
    await topic.close();
    Date.now = now;
  });

  after(() => {
    Date.now = now;
    scratch.remove();
  });

  for (const isIndexed of [true, false]) {
    it(`finds every good record beside any damage, ${isIndexed ? 'with' : 'without'} an index`, async () => {
      const path = scratch.path(storeFileName(0));
      if (!isIndexed) unlinkSync(path.replace('.store', '.index'));
      const whole = readFileSync(path);
      await fc.assert(
        fc.asyncProperty(damageRuns, async (damaged) => {
          const bytes = Buffer.from(whole);
          for (const offset of damaged) bytes[positions[offset]! + 20]! ^= 1;
          writeFileSync(path, bytes);
          const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
          for (const [wanted, timestamp] of timestamps.entries()) {
            let expected = wanted;
            while (damaged.includes(expected)) expected += 1;
            // Damage directly before it may hide it; nothing but damage up to the end is answered in any case.
            while (damaged.includes(expected - 1)) expected -= 1;
            expect(await topic.offsetAtTime(timestamp), `offset ${wanted}`).to.equal(expected);
          }
          await topic.close();
        }),
        { numRuns: 8 },
      );
      writeFileSync(path, whole);
    });
  }
});
