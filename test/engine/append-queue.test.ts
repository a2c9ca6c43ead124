/** Appends that come at once: which of them go together, and what each is told. */
import { expect } from 'chai';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import type { FastQueueError } from '../../src/engine/errors.ts';
import { MAX_BATCH_BYTES } from '../../src/engine/limits.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
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

  it('share a batch, each with its own offsets; a condition counts those before it', async () => {
    const [first, second, third] = await Promise.all([
      topic.append(payloads('a', 'b', 'c')),
      topic.append(payloads('d'), { expectedOffset: 4 }),
      topic.append(payloads('e', 'f')),
    ]);
    const { timestamp } = first;
    expect([first, second, third]).to.deep.equal([
      { topic: TOPIC, offset: 1, lastOffset: 3, nextOffset: 4, count: 3, timestamp },
      { topic: TOPIC, offset: 4, lastOffset: 4, nextOffset: 5, count: 1, timestamp },
      { topic: TOPIC, offset: 5, lastOffset: 6, nextOffset: 7, count: 2, timestamp },
    ]);
    expect(batches).to.deep.equal([{ appendCount: 3, frameBytes: 6 * 16 + 6 }]);
    expect(
      [...(await scratch.everyOffset()).values()].map((seen) => seen.split(' ')[1]).slice(1),
    ).to.deep.equal(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('are stored whatever is thrown by who is told of a batch, and so are those that come meanwhile', async () => {
    const warnings: string[] = [];
    const data = openDataDirectory(scratch.directory, {
      onWarning: (sentence) => warnings.push(sentence),
      onBatch: () => {
        throw new Error('of the caller');
      },
    });
    const told = await data.openTopic(TOPIC, { mode: 'append' });
    const first = told.append(payloads('a'));
    const acks = await Promise.all([
      first,
      told.append(payloads('b')),
      first.then(() => told.append(payloads('c'))),
    ]);
    await told.close();
    expect(acks.map(({ offset }) => offset)).to.deep.equal([1, 2, 3]);
    expect(warnings[0]).to.include('of the caller');
  });

  const refusalOf = (append: Promise<unknown>): Promise<FastQueueError | undefined> =>
    append.then(
      () => undefined,
      (error: unknown) => error as FastQueueError,
    );

  it('are refused for their conditions alone, once what is in the way is durable', async () => {
    const stored: string[] = [];
    const [, refused, alsoRefused] = await Promise.all([
      topic.append(payloads('a', 'b', 'c')).then(() => stored.push('first')),
      refusalOf(topic.append(payloads('refused'), { expectedOffset: 2 })).then((error) => {
        stored.push('refusal');
        return error;
      }),
      refusalOf(topic.append(payloads('refused'), { expectedOffset: 1 })),
      topic.append(payloads('d')),
    ]);
    expect(stored).to.deep.equal(['first', 'refusal']);
    for (const error of [refused, alsoRefused]) expect(error?.details.actualOffset).to.equal(4);
    expect(batches.map(({ appendCount }) => appendCount)).to.deep.equal([1, 1]);
  });

  it('are judged by what the log has where those before them could not be stored', async () => {
    const fileSystem = new FaultyFileSystem();
    const failing = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append' });
    fileSystem.failNext('sync', '.store');
    const [first, refused, , ack] = await Promise.all([
      refusalOf(failing.append(payloads('a', 'b', 'c'))),
      refusalOf(failing.append(payloads('refused'), { expectedOffset: 9 })),
      // Right only because the first has failed.
      failing.append(payloads('d'), { expectedOffset: 1 }),
      failing.append(payloads('e')),
    ]);
    await failing.close();
    expect(first?.code).to.equal('io_error');
    expect(refused?.details.actualOffset).to.equal(1);
    expect(ack.offset).to.equal(2);
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
