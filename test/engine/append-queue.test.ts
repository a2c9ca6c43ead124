/** Appends that come at once: which of them go together, and what each is told. */
import { expect } from 'chai';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { FastQueueError } from '../../src/engine/errors.ts';
import { MAX_BATCH_BYTES } from '../../src/engine/limits.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

describe('appends that come at once', () => {
  const scratch = ScratchTopic.forEach(1);
  const batches: { appendCount: number; frameBytes: number }[] = [];
  let topic: Topic;

  beforeEach(async () => {
    batches.length = 0;
    const dataDirectory = openDataDirectory(scratch.directory, {
      onBatch: (_, { appendCount, frameBytes }) => batches.push({ appendCount, frameBytes }),
    });
    topic = await dataDirectory.openTopic(TOPIC, { mode: 'append' });
  });

  afterEach(() => topic.close());

  const payloads = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text));

  it('share a batch, each with its own offsets; a condition counts those before it and refuses one alone', async () => {
    const outcomes = await Promise.all([
      topic.append(payloads('a', 'b', 'c')),
      topic.append(payloads('refused'), { expectedOffset: 2 }).catch((error: unknown) => error),
      topic.append(payloads('d'), { expectedOffset: 4 }),
      topic.append(payloads('e', 'f')),
    ]);
    const [first, refused, third, fourth] = outcomes;
    expect([first, third, fourth]).to.deep.include.members([
      { topic: TOPIC, offset: 1, lastOffset: 3, nextOffset: 4, count: 3, timestamp: first.timestamp },
      { topic: TOPIC, offset: 4, lastOffset: 4, nextOffset: 5, count: 1, timestamp: first.timestamp },
      { topic: TOPIC, offset: 5, lastOffset: 6, nextOffset: 7, count: 2, timestamp: first.timestamp },
    ]);
    expect(refused).to.be.instanceOf(FastQueueError);
    expect((refused as FastQueueError).details).to.include({ expectedOffset: 2, actualOffset: 4 });
    expect(batches).to.deep.equal([{ appendCount: 3, frameBytes: 6 * 16 + 6 }]);
    expect(
      [...(await scratch.everyOffset()).values()].map((seen) => seen.split(' ')[1]).slice(1),
    ).to.deep.equal(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('go into more than one batch where they would not fit one', async () => {
    const large = Buffer.alloc(MAX_BATCH_BYTES / 2 - 16, 'x');
    const acks = await Promise.all([1, 2, 3].map(() => topic.append([large])));
    expect(acks.map(({ offset }) => offset)).to.deep.equal([1, 2, 3]);
    expect(batches).to.deep.equal([
      { appendCount: 2, frameBytes: MAX_BATCH_BYTES },
      { appendCount: 1, frameBytes: MAX_BATCH_BYTES / 2 },
    ]);
  });
});
