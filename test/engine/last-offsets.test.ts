/** A topic that stands close to the last offset there is, 2^53 − 1. */
import { expect } from 'chai';
import { renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { indexFileName, storeFileName } from '../../src/engine/format/file-names.ts';
import { encodeHighWatermark } from '../../src/engine/format/high-watermark.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const LAST = Number.MAX_SAFE_INTEGER;
const BASE = LAST - 5;

describe('a topic close to the last offset', () => {
  let scratch: ScratchTopic;
  let topic: Topic;

  beforeEach(async () => {
    scratch = new ScratchTopic();
    await (await scratch.open()).close();
    renameSync(scratch.path(storeFileName(0)), scratch.path(storeFileName(BASE)));
    unlinkSync(scratch.path(indexFileName(0)));
    const mark = {
      nextOffset: BASE,
      baseOffset: BASE,
      startOffset: BASE,
      position: 0,
      timestamp: 0,
      generation: 1,
      flags: 0,
    };
    writeFileSync(scratch.path('high-watermark'), encodeHighWatermark(mark));
    topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'append' });
  });

  afterEach(async () => {
    await topic.close();
    scratch.remove();
  });

  const payloads = (count: number): Buffer[] =>
    Array.from({ length: count }, (_, at) => Buffer.from(String(at)));

  async function refusalOf(append: Promise<unknown>): Promise<unknown> {
    return append.then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  it('takes records up to it and reads them, and refuses whole what would pass it', async () => {
    expect(await refusalOf(topic.append(payloads(6)))).to.have.property('code', 'offsets_exhausted');
    expect(await topic.append(payloads(5))).to.include({
      offset: BASE,
      lastOffset: LAST - 1,
      nextOffset: LAST,
    });
    expect(await refusalOf(topic.append(payloads(1)))).to.have.property('code', 'offsets_exhausted');
    const offsets: number[] = [];
    for await (const entry of topic.records({ from: LAST - 3 })) offsets.push(entry.offset);
    expect(offsets).to.deep.equal([LAST - 3, LAST - 2, LAST - 1]);
    expect(await topic.status()).to.include({ startOffset: BASE, nextOffset: LAST, count: 5 });
  });

  it('has no more to wait for at its end', async () => {
    await topic.append(payloads(5));
    let count = 0;
    for await (const entry of topic.records({ follow: true })) count += entry.type === 'record' ? 1 : 0;
    expect(count).to.equal(5);
  });
});
