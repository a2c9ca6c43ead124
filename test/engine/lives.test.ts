/**
 * A topic over many lives of its writers. Each life opens it, appends batches of all sizes, rolls, retains and changes
 * settings, by a clock that steps, until it is done, one change of the disk fails, or it dies at a change. After each life
 * every reader must find the same log, and in it all that was acknowledged and nothing that was refused.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import { join } from 'node:path';
import type { DataDirectory } from '../../src/engine/data-directory.ts';
import { FastQueueError } from '../../src/engine/errors.ts';
import type { RecordEntry } from '../../src/engine/segment-cursor.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { FaultyFileSystem, type Fault } from '../support/faulty-file-system.ts';
import { readMarkFile, readTopicFiles } from '../support/log-files.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const SETTINGS = { segmentBytes: 1024, indexIntervalBytes: 64, retentionAgeMs: 0 };

type Step =
  | { readonly type: 'append'; readonly payloadBytes: readonly number[] }
  | { readonly type: 'clock'; readonly byMs: number }
  | { readonly type: 'retain'; readonly bytes: number }
  | { readonly type: 'segment-bytes'; readonly bytes: number };

interface Life {
  readonly fault: Fault | null;
  readonly steps: readonly Step[];
}

const appendStep = fc.record({
  type: fc.constant('append' as const),
  payloadBytes: fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 4 }),
});
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: appendStep },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('clock' as const),
      byMs: fc.integer({ min: -150_000, max: 150_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('retain' as const),
      bytes: fc.integer({ min: 1024, max: 8192 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('segment-bytes' as const),
      bytes: fc.constantFrom(1024, 1500, 3000),
    }),
  },
);
const anyLife: fc.Arbitrary<Life> = fc.record({
  fault: fc.option(
    fc.record({
      at: fc.integer({ min: 1, max: 60 }),
      type: fc.constantFrom('fail' as const, 'die' as const),
      errno: fc.constantFrom('EIO', 'ENOSPC'),
    }),
    { freq: 6 },
  ),
  steps: fc.array(anyStep, { minLength: 1, maxLength: 10 }),
});

class World {
  readonly scratch = new ScratchTopic();
  readonly acknowledged = new Map<number, string>();
  readonly refused = new Set<string>();
  nowMs = Date.UTC(2026, 0, 1);
  #payloadCount = 0;

  async live({ fault, steps }: Life): Promise<void> {
    const data = this.scratch.dataDirectory(new FaultyFileSystem(fault ?? undefined));
    let topic: Topic | undefined;
    try {
      topic = await data.openTopic(TOPIC, { mode: 'append', create: SETTINGS });
      for (const step of steps) await this.#take(topic, step);
    } catch (error) {
      // A sentence of its own is all that a life may end with.
      expect(error, String(error)).to.be.instanceOf(FastQueueError);
    }
    await topic?.close();
  }

  async #take(topic: Topic, step: Step): Promise<void> {
    switch (step.type) {
      case 'append':
        return this.#append(topic, step.payloadBytes);
      case 'clock':
        this.nowMs += step.byMs;
        return;
      case 'retain':
        await topic.changeSettings({ retentionBytes: step.bytes });
        await topic.retain();
        await topic.changeSettings({ retentionBytes: 0 });
        return;
      case 'segment-bytes':
        await topic.changeSettings({ segmentBytes: step.bytes });
    }
  }

  async #append(topic: Topic, sizes: readonly number[]): Promise<void> {
    const payloads = sizes.map((size) => `${(this.#payloadCount += 1)}:`.padEnd(size, 'x'));
    this.nowMs += 1;
    try {
      const { offset, timestamp } = await topic.append(payloads.map((payload) => Buffer.from(payload)));
      expect(timestamp, 'a clock that was wrong holds nobody up').to.be.at.most(this.nowMs + 60_000);
      payloads.forEach((payload, at) => this.acknowledged.set(offset + at, payload));
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
      if (error.details.sideEffects === 'none') for (const payload of payloads) this.refused.add(payload);
    }
  }

  /** What holds after every life. */
  async judge(): Promise<void> {
    const data = this.scratch.dataDirectory();
    await this.#readUnsettled(data);
    // Whoever appends next settles what is left, makes what a dead creator has not made, and goes on: in the old segment
    // as long as there is room, so that what a killed roll left may come to lie inside it.
    const writer = await data.openTopic(TOPIC, { mode: 'append', create: SETTINGS });
    const before = this.acknowledged.size;
    await this.#append(writer, [this.#payloadCount % 2 === 0 ? 10 : 1000]);
    expect(this.acknowledged.size, 'the next writer can append').to.equal(before + 1);
    await writer.close();
    const { startOffset, nextOffset } = readMarkFile(join(this.scratch.directory, TOPIC));
    const topic = await data.openTopic(TOPIC, { mode: 'read' });
    const log = await recordsFrom(topic, startOffset);
    expect(log.map(({ offset }) => offset)).to.deep.equal(range(startOffset, nextOffset));
    const payloads = log.map(({ payload }) => payload.toString());
    expect(new Set(payloads).size, 'no record twice').to.equal(payloads.length);
    for (const [offset, payload] of this.acknowledged)
      if (offset >= startOffset) expect(payloads[offset - startOffset]).to.equal(payload);
    for (const payload of payloads) expect(this.refused.has(payload), payload).to.equal(false);
    await this.#judgeLookups(topic, log);
    await topic.close();
    if (startOffset === 0)
      expect(
        readTopicFiles(join(this.scratch.directory, TOPIC)).map(({ payload }) => payload.toString()),
      ).to.deep.equal(payloads);
    const report = await verifyTopic(this.scratch.context(), { quick: false, onBytes: () => undefined });
    expect([...report.findings].filter(({ severity }) => severity === 'error')).to.deep.equal([]);
  }

  /** A reader comes first, before any writer: it settles what it can and meets no damage. */
  async #readUnsettled(data: DataDirectory): Promise<void> {
    try {
      const topic = await data.openTopic(TOPIC, { mode: 'read' });
      await recordsFrom(topic, (await topic.mark()).startOffset);
      await topic.close();
    } catch (error) {
      expect(error).to.have.property('code', 'topic_not_found');
    }
  }

  async #judgeLookups(topic: Topic, log: readonly RecordEntry[]): Promise<void> {
    const bases = this.scratch.files('.store').map((name) => Number(name.slice(0, 20)));
    const { startOffset, nextOffset } = await topic.mark();
    for (let from = startOffset; from <= nextOffset; from += 5) {
      const [first] = await recordsFrom(topic, from, from + 1);
      expect(first?.payload.toString()).to.equal(log[from - startOffset]?.payload.toString());
    }
    for (const { timestamp } of log.filter((_, at) => at % 5 === 0))
      for (const time of [timestamp, timestamp + 1])
        expect(await topic.offsetAtTime(time), `time ${time}`).to.equal(
          firstAtOrAfter(log, bases, time) ?? nextOffset,
        );
  }
}

/** The first record, in offset order, of the first segment whose last timestamp is at or after the time. */
function firstAtOrAfter(
  log: readonly RecordEntry[],
  bases: readonly number[],
  time: number,
): number | undefined {
  for (const [at, base] of bases.entries()) {
    const segment = log.filter(({ offset }) => offset >= base && offset < (bases[at + 1] ?? Infinity));
    const found =
      (segment.at(-1)?.timestamp ?? -Infinity) < time
        ? undefined
        : segment.find(({ timestamp }) => timestamp >= time);
    if (found !== undefined) return found.offset;
  }
  return undefined;
}

async function recordsFrom(topic: Topic, from: number, until?: number): Promise<RecordEntry[]> {
  const records: RecordEntry[] = [];
  for await (const entry of topic.records(until === undefined ? { from } : { from, until })) {
    expect(entry.type).to.equal('record');
    records.push(entry as RecordEntry);
  }
  return records;
}

const range = (first: number, end: number): number[] =>
  Array.from({ length: end - first }, (_, at) => first + at);

describe('a log over many lives of its writers', () => {
  const realNow = Date.now;

  afterEach(() => {
    Date.now = realNow;
  });

  it('has all that was acknowledged, once and in order, nothing that was refused, and every lookup finds its place', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyLife, { minLength: 1, maxLength: 6 }), async (lives) => {
        const world = new World();
        Date.now = () => world.nowMs;
        try {
          for (const life of lives) {
            await world.live(life);
            await world.judge();
          }
        } finally {
          Date.now = realNow;
          world.scratch.remove();
        }
      }),
      { numRuns: 15 },
    );
  });
});
