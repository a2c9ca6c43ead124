/** Reading through the library, one record at a time or as many as come together. */
import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { RECORDS_CHUNK_BYTES } from '../../src/engine/limits.ts';
import { recoverTopic } from '../../src/engine/recovery/recover.ts';
import type { RecordEntry } from '../../src/engine/segment-cursor.ts';
import type { GapEntry, RecordsOptions, Topic } from '../../src/engine/topic.ts';
import { ScratchTopic } from '../support/scratch-topic.ts';

type Entry = RecordEntry | GapEntry;

async function collected<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const entry of entries) all.push(entry);
  return all;
}

const isRecord = (entry: Entry): entry is RecordEntry => entry.type === 'record';

describe('Topic.batches', () => {
  const scratch = ScratchTopic.forEach(2000);
  let topic: Topic;

  beforeEach(async () => {
    topic = await scratch.open();
  });

  afterEach(() => topic.close());

  const batches = (options?: RecordsOptions): Promise<(readonly Entry[])[]> =>
    collected(topic.batches(options));

  it('gives what records() gives, offsets without a record too, in fewer pieces', async () => {
    const [store] = scratch.files('.store') as [string];
    const bytes = readFileSync(scratch.path(store));
    bytes[bytes.indexOf('1000:xxx')]! ^= 1;
    writeFileSync(scratch.path(store), bytes);
    await recoverTopic(scratch.context(), { dryRun: false, tryBitFlip: false, lockTimeoutMs: 2000 });
    const inBatches = await batches({ from: 3, until: 1990 });
    const oneByOne = await collected(topic.records({ from: 3, until: 1990 }));
    expect(inBatches.flat()).to.deep.equal(oneByOne);
    expect(oneByOne.filter((entry) => !isRecord(entry)).length).to.equal(1);
    expect(
      oneByOne
        .filter(isRecord)
        .map(({ offset, payload }) => payload.toString().split(':')[0] === `${offset}`),
    )
      .to.include(true)
      .and.not.include(false);
    expect(inBatches.length).to.be.within(3, 20);
  });

  it('gives payloads that stay as they are, whatever is read and appended later', async () => {
    const [first] = (await batches()) as [RecordEntry[]];
    await topic.append([Buffer.alloc(2 * RECORDS_CHUNK_BYTES, 'y')]);
    await batches();
    expect(first.length).to.be.greaterThan(100);
    for (const { offset, payload } of first)
      expect(payload.toString()).to.match(new RegExp(`^${offset}:x+$`));
  });

  it('keeps no more than one reading for a payload, and records() no more than that payload', async () => {
    const [first] = (await batches()) as [RecordEntry[]];
    expect(new Set(first.map(({ payload }) => payload.buffer)).size).to.equal(1);
    expect(first[0]?.payload.buffer.byteLength).to.be.at.most(RECORDS_CHUNK_BYTES);
    const [own] = (await collected(topic.records({ until: 1 }))) as [RecordEntry];
    expect(own.payload.buffer.byteLength).to.be.at.most(Buffer.poolSize);
  });

  it('gives a record that is larger than one reading alone', async () => {
    const large = Buffer.alloc(3 * RECORDS_CHUNK_BYTES, 'z');
    await topic.append([large, Buffer.from('behind')]);
    const [alone, ...rest] = (await batches({ from: 2000 })) as [RecordEntry[], RecordEntry[]];
    expect(alone.map(({ payload }) => payload.equals(large))).to.deep.equal([true]);
    expect(rest.flat().map(({ payload }) => payload.toString())).to.deep.equal(['behind']);
  });

  it('follows, and ends when it is told to', async () => {
    const stop = new AbortController();
    const offsets: number[] = [];
    for await (const entries of topic.batches({ from: 1999, follow: true, signal: stop.signal })) {
      offsets.push(...entries.map(({ offset }) => offset));
      if (offsets.length === 1) await topic.append([Buffer.from('a'), Buffer.from('b')]);
      else stop.abort();
    }
    expect(offsets).to.deep.equal([1999, 2000, 2001]);
  });
});
