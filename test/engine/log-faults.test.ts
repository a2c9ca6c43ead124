/**
 * A topic is made, appended to and rolled on a disk of which one change fails, or on which the process dies there, for
 * every change in turn. What was acknowledged is there afterwards, and what was refused is not.
 */
import { expect } from 'chai';
import { FastQueueError } from '../../src/engine/errors.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { FaultyFileSystem, type Fault } from '../support/faulty-file-system.ts';
import { readTopicFiles } from '../support/log-files.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';
import { join } from 'node:path';

const APPENDS = 8;
const SETTINGS = { segmentBytes: 1024, indexIntervalBytes: 64 };
const payloadOf = (number: number): string => `record ${number} `.padEnd(300, 'x');

interface Outcome {
  readonly acknowledged: Map<number, string>;
  readonly refused: Set<string>;
  /** True when the fault was met. */
  readonly met: boolean;
}

async function appendAll(scratch: ScratchTopic, fault: Fault): Promise<Outcome> {
  const acknowledged = new Map<number, string>();
  const refused = new Set<string>();
  const note = (error: unknown, payload?: string): void => {
    expect(error, String(error)).to.be.instanceOf(FastQueueError);
    const { sideEffects } = (error as FastQueueError).details;
    if (payload !== undefined && sideEffects !== 'unknown') refused.add(payload);
  };
  const fileSystem = new FaultyFileSystem(fault);
  let topic: Topic | undefined;
  try {
    topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append', create: SETTINGS });
  } catch (error) {
    note(error);
  }
  for (let number = 0; topic !== undefined && number < APPENDS; number++) {
    const payload = payloadOf(number);
    try {
      acknowledged.set((await topic.append([Buffer.from(payload)])).offset, payload);
    } catch (error) {
      note(error, payload);
    }
  }
  await topic?.close();
  return { acknowledged, refused, met: fileSystem.changeCount >= fault.at };
}

describe('a log on a failing disk', () => {
  for (const type of ['fail', 'die'] as const) {
    for (const errno of type === 'fail' ? ['EIO', 'ENOSPC'] : ['EIO']) {
      it(`keeps what it acknowledged and nothing that it refused, where any one change is to ${type} with ${errno}`, async () => {
        let at = 1;
        for (; ; at++) {
          const scratch = new ScratchTopic();
          try {
            const { acknowledged, refused, met } = await appendAll(scratch, { at, type, errno });
            const sound = await scratch.open(SETTINGS);
            const { offset } = await sound.append([Buffer.from('after')]);
            await sound.close();
            const records = readTopicFiles(join(scratch.directory, TOPIC)).map(({ payload }) =>
              payload.toString(),
            );
            expect(records[offset]).to.equal('after');
            for (const [place, payload] of acknowledged)
              expect(records[place], `fault at ${at}`).to.equal(payload);
            for (const record of records)
              expect(refused.has(record), `fault at ${at}: ${record}`).to.equal(
                type === 'die' && refused.has(record),
              );
            expect(new Set(records).size, 'no record twice').to.equal(records.length);
            if (!met) break;
          } finally {
            scratch.remove();
          }
        }
        expect(at).to.be.greaterThan(50);
      });
    }
  }
});
