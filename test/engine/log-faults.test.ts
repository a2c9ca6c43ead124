/**
 * A topic is made, appended to and rolled on a disk of which one change fails, or on which the process dies there, for
 * every change in turn. What was acknowledged is there afterwards, and what was refused is not.
 */
import { expect } from 'chai';
import { appendFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
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

describe('a store that a writer opens', () => {
  const scratch = ScratchTopic.forEach(1);

  /** One more record in the store, of which the mark says nothing: its writer died before the mark. */
  async function leaveTail(): Promise<{ markedBytes: number }> {
    const markedBytes = scratch.storeBytes();
    const mark = readFileSync(scratch.path('high-watermark'));
    await scratch.fill(1);
    writeFileSync(scratch.path('high-watermark'), mark);
    return { markedBytes };
  }

  /** A writer that meets an error at the first sync of a file of that name. */
  async function failToOpen(name: string): Promise<FaultyFileSystem> {
    const fileSystem = new FaultyFileSystem();
    fileSystem.failNext('sync', name);
    const refused: unknown = await scratch
      .dataDirectory(fileSystem)
      .openTopic(TOPIC, { mode: 'append' })
      .catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'io_error');
    return fileSystem;
  }

  it('is believed no further than its mark once its first sync has failed, however well it reads back', async () => {
    const { markedBytes } = await leaveTail();
    const fileSystem = await failToOpen('.store');
    expect(fileSystem.openCount).to.equal(0);
    expect(scratch.storeBytes()).to.equal(markedBytes);
    const topic = await scratch.open();
    expect(topic.expectedNextOffset).to.equal(1);
    await topic.close();
  });

  it('is told of by a reader that finds it so: nobody else will hear of it', async () => {
    const { markedBytes } = await leaveTail();
    const fileSystem = new FaultyFileSystem();
    fileSystem.failNext('sync', '.store');
    expect([...(await scratch.everyOffset(fileSystem)).keys()]).to.deep.equal([0]);
    expect(scratch.warnings.join()).to.include('could not be settled').and.include('EIO');
    expect(scratch.storeBytes()).to.equal(markedBytes);
  });

  it('is not made longer by that where it is shorter than its mark says', async () => {
    truncateSync(scratch.path('00000000000000000000.store'), 100);
    await failToOpen('.store');
    expect(scratch.storeBytes()).to.equal(100);
  });

  it('keeps a tail that quarantine has no room for, and leaves nothing of the attempt there', async () => {
    appendFileSync(scratch.path('00000000000000000000.store'), 'half a record');
    const sizeBytes = scratch.storeBytes();
    await failToOpen('manifest.json');
    expect(scratch.storeBytes()).to.equal(sizeBytes);
    expect(readdirSync(scratch.path('quarantine'))).to.deep.equal([]);
    await (await scratch.open()).close();
    expect(scratch.storeBytes()).to.be.lessThan(sizeBytes);
    expect(readdirSync(scratch.path('quarantine'))).to.have.length(1);
  });
});
