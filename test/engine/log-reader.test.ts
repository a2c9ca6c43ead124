import { expect } from 'chai';
import { readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { indexFileName, storeFileName } from '../../src/engine/format/file-names.ts';
import type { ReadStep } from '../../src/engine/read-steps.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const EVERYTHING = { maxBytes: 1024 * 1024, maxRecords: Infinity, untilOffset: Infinity };

describe('LogReader', () => {
  let scratch: ScratchTopic;
  /** Base offsets of the segments, ascending. */
  let bases: number[];
  let nextOffset: number;

  beforeEach(async () => {
    scratch = new ScratchTopic();
    await scratch.fill(40, { segmentBytes: 2048 });
    bases = scratch.files('.store').map((name) => Number(name.slice(0, 20)));
    nextOffset = 40;
    expect(bases.length).to.be.greaterThan(3);
  });

  afterEach(() => {
    scratch.remove();
  });

  /** Every step from `from` on, damage skipped. Ends where the log does, or the test has found a loop. */
  async function stepsFrom(from: number): Promise<ReadStep[]> {
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    const reader = await topic.openReader({ from, onDamage: 'skip' });
    const steps: ReadStep[] = [];
    for (let count = 0; count < 100; count++) {
      const step = reader.read(EVERYTHING);
      if (step.type === 'end') {
        reader.close();
        await topic.close();
        return steps;
      }
      steps.push(step.type === 'records' ? { ...step, records: [] } : step);
    }
    throw new Error(`no end after ${steps.length} steps`);
  }

  /** Offsets that a reader from `from` on is given, and those it is told are missing. */
  async function offsetsFrom(from: number): Promise<{ read: number[]; missing: number[] }> {
    const read: number[] = [];
    const missing: number[] = [];
    const add = (list: number[], first: number, end: number): void => {
      for (let offset = first; offset < end; offset++) list.push(offset);
    };
    for (const step of await stepsFrom(from)) {
      if (step.type === 'records') add(read, step.firstOffset, step.nextOffset);
      if (step.type === 'damage') add(missing, step.offset, step.nextReadable);
    }
    return { read, missing };
  }

  const range = (first: number, end: number): number[] =>
    Array.from({ length: end - first }, (_, number) => first + number);

  it('gives every whole record of a store that was cut anywhere, and names exactly those that are gone', async () => {
    for (const number of [1, bases.length - 1]) {
      const base = bases[number]!;
      const end = bases[number + 1] ?? nextOffset;
      const path = scratch.path(storeFileName(base));
      const whole = readFileSync(path);
      const frameBytes = whole.length / (end - base);
      // So many places that every part of a frame is among them.
      for (let cut = whole.length - 1; cut > 0; cut -= 23) {
        writeFileSync(path, whole.subarray(0, cut));
        const left = base + Math.floor(cut / frameBytes);
        expect(await offsetsFrom(0), `${base} cut at ${cut}`).to.deep.equal({
          read: [...range(0, left), ...range(end, nextOffset)],
          missing: range(left, end),
        });
      }
      writeFileSync(path, whole);
    }
  });

  it('reads on over an empty store that a killed roll left inside a segment that grew afterwards', async () => {
    const [, first, second] = bases as [number, number, number];
    for (let base = first + 1; base < second; base++) {
      writeFileSync(scratch.path(storeFileName(base)), '');
      for (const from of [0, base - 1, base, base + 1, second])
        expect(await offsetsFrom(from)).to.deep.equal({ read: range(from, nextOffset), missing: [] });
      unlinkSync(scratch.path(storeFileName(base)));
    }
  });

  const LOSSES = {
    removed: (path: string) => {
      unlinkSync(path);
    },
    emptied: (path: string) => {
      truncateSync(path);
    },
  };
  for (const [how, lose] of Object.entries(LOSSES)) {
    it(`names exactly the offsets of a segment whose store was ${how}, from wherever it begins`, async () => {
      const [, first, second] = bases as [number, number, number];
      lose(scratch.path(storeFileName(first)));
      expect(await offsetsFrom(0)).to.deep.equal({
        read: [...range(0, first), ...range(second, nextOffset)],
        missing: range(first, second),
      });
      expect(await offsetsFrom(first + 1)).to.deep.equal({
        read: range(second, nextOffset),
        missing: range(first + 1, second),
      });
    });

    it(`names exactly the offsets of the active segment where its store was ${how}`, async () => {
      const active = bases.at(-1)!;
      lose(scratch.path(storeFileName(active)));
      expect(await offsetsFrom(0)).to.deep.equal({
        read: range(0, active),
        missing: range(active, nextOffset),
      });
    });
  }

  it('gets behind foreign bytes, which take no offset, when it begins with the record behind them', async () => {
    const store = scratch.path(storeFileName(0));
    const bytes = readFileSync(store);
    // Records of 200 bytes, each in a frame of 216.
    const before = 3;
    const foreign = Buffer.alloc(50, 'foreign ');
    writeFileSync(
      store,
      Buffer.concat([bytes.subarray(0, before * 216), foreign, bytes.subarray(before * 216)]),
    );
    unlinkSync(scratch.path(indexFileName(0)));
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    const early = await topic.openReader({ from: before - 1 });
    expect(early.read({ ...EVERYTHING, untilOffset: before })).to.include({ nextOffset: before });
    expect(() => early.read(EVERYTHING)).to.throw(`Reading can go on at offset ${before}`);
    early.close();
    const behind = await topic.openReader({ from: before });
    expect(behind.read(EVERYTHING)).to.include({ type: 'records', firstOffset: before });
    behind.close();
    await topic.close();
  });

  it('stops at a missing segment with the offset at which reading can go on', async () => {
    const [, first, second] = bases as [number, number, number];
    unlinkSync(scratch.path(storeFileName(first)));
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    const reader = await topic.openReader({ from: first });
    expect(() => reader.read(EVERYTHING)).to.throw(`Reading can go on at offset ${second}`);
    reader.close();
    await topic.close();
  });

  it('skips no more than what is damaged in a segment that was sealed since it was opened', async () => {
    const topic = await scratch.open();
    const base = bases.at(-1)!;
    const reader = await topic.openReader({ from: base, onDamage: 'skip' });
    expect(reader.read({ ...EVERYTHING, maxRecords: 1 }).type).to.equal('records');
    for (let count = 0; count < 20; count++) await topic.append([Buffer.alloc(200, 'z')]);
    const store = readFileSync(scratch.path(storeFileName(base)));
    const last = nextOffset - 1;
    store[(last - base) * 216 + 100]! ^= 1;
    writeFileSync(scratch.path(storeFileName(base)), store);
    await reader.refresh();
    expect(reader.read(EVERYTHING)).to.include({ type: 'records', nextOffset: last });
    expect(reader.read(EVERYTHING)).to.include({ type: 'damage', offset: last, nextReadable: nextOffset });
    reader.close();
    await topic.close();
  });

  it('gives the last record of an active store that has lost bytes before it', async () => {
    const base = bases.at(-1)!;
    const path = scratch.path(storeFileName(base));
    const store = readFileSync(path);
    const last = nextOffset - base - 1;
    expect(last).to.be.greaterThan(1);
    writeFileSync(path, Buffer.concat([store.subarray(0, (last - 1) * 216), store.subarray(last * 216)]));
    const { read, missing } = await offsetsFrom(base);
    expect(missing).to.deep.equal([nextOffset - 2]);
    expect(read).to.deep.equal([...range(base, nextOffset - 2), nextOffset - 1]);
  });

  it('ends with its topic, and does not go on in another that has the name by then', async () => {
    const data = scratch.dataDirectory();
    const topic = await data.openTopic(TOPIC, { mode: 'read' });
    const reader = await topic.openReader({ from: nextOffset });
    await data.deleteTopic(TOPIC);
    await scratch.fill(nextOffset + 5, { segmentBytes: 2048 });
    expect(await reader.waitForMore({ timeoutMs: 5000 })).to.equal('more');
    let refusal: unknown;
    await reader.refresh().catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'topic_not_found');
    reader.close();
    await topic.close();
  });

  it('takes nothing for damage that it misses because its topic was deleted meanwhile', async () => {
    const data = scratch.dataDirectory();
    const topic = await data.openTopic(TOPIC, { mode: 'read' });
    const reader = await topic.openReader({ from: 0 });
    await data.deleteTopic(TOPIC);
    await scratch.fill(5);
    expect(() => reader.read(EVERYTHING))
      .to.throw()
      .with.property('code', 'topic_not_found');
    reader.close();
    await topic.close();
  });
});
