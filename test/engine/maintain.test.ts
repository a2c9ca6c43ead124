import { expect } from 'chai';
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { FastQueueError } from '../../src/engine/errors.ts';
import { TopicLock } from '../../src/engine/topic-lock.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** The real disk, on which one directory may not be looked into. */
class ClosedDirectory extends FaultyFileSystem {
  readonly #name: string;

  constructor(name: string) {
    super();
    this.#name = name;
  }

  override list(path: string): string[] | undefined {
    if (basename(path) === this.#name)
      throw new FastQueueError('permission_denied', `Could not list ${path}: EACCES.`, { path });
    return super.list(path);
  }
}

describe('DataDirectory.maintain', () => {
  let scratch: ScratchTopic;

  beforeEach(() => {
    scratch = new ScratchTopic();
  });

  afterEach(() => {
    scratch.remove();
  });

  /** Ten records in segments of four, then a bound that two of the segments are past. */
  async function fillPastRetention(): Promise<void> {
    await scratch.fill(10, { segmentBytes: 1024 });
    const topic = await scratch.open();
    await topic.changeSettings({ retentionBytes: 1024 });
    await topic.close();
  }

  it('applies the retention of every topic and says what was deleted', async () => {
    await fillPastRetention();
    const report = await scratch.dataDirectory().maintain();
    expect(report.failures).to.deep.equal([]);
    expect(report.retained).to.deep.equal([
      { topic: TOPIC, startOffset: { before: 0, after: 8 }, segments: 2, bytes: 8 * 216 },
    ]);
    expect([...(await scratch.everyOffset()).keys()]).to.deep.equal([8, 9]);
    expect((await scratch.dataDirectory().maintain()).retained).to.deep.equal([]);
  });

  it('tells of a directory that it may not look into, and keeps the other topics in order', async () => {
    await fillPastRetention();
    mkdirSync(join(scratch.directory, 'locked'));
    const data = scratch.dataDirectory(new ClosedDirectory('locked'));
    expect(data.listTopics()).to.deep.equal(['locked', TOPIC]);
    const { retained, failures } = await data.maintain();
    expect(retained.map(({ topic }) => topic)).to.deep.equal([TOPIC]);
    expect(failures.map(({ topic, error }) => [topic, error.code])).to.deep.equal([
      ['locked', 'permission_denied'],
    ]);
  });

  it('tells onRetention too', async () => {
    await fillPastRetention();

    const told: string[] = [];
    const onRetention = (topic: string, { segments }: { segments: number }): void => {
      told.push(`${topic} ${segments}`);
    };
    await openDataDirectory(scratch.directory, { onRetention }).maintain();
    expect(told).to.deep.equal([`${TOPIC} 2`]);
  });

  it('does not ask for the lock of a topic where there is nothing to delete', async () => {
    await scratch.fill(10, { segmentBytes: 1024 });
    const lock = TopicLock.open(scratch.context());
    const hold = await lock.acquire(1000);
    if (hold === 'moved') throw new Error('moved');
    const report = await scratch.dataDirectory().maintain();
    hold.release();
    lock.close();
    expect(report.failures).to.deep.equal([]);
  });

  it('goes on with the other topics where one fails, and says which did', async () => {
    await fillPastRetention();
    mkdirSync(join(scratch.directory, 'broken'));
    writeFileSync(join(scratch.directory, 'broken', `${'0'.repeat(20)}.store`), 'xyz');
    const report = await scratch.dataDirectory().maintain();
    expect(report.failures.map(({ topic, error }) => [topic, error.code])).to.deep.equal([
      ['broken', 'damaged'],
    ]);
    expect(report.retained).to.have.lengthOf(1);
  });

  for (const type of ['die', 'fail'] as const) {
    it(`finishes a deletion that was to ${type} at any change of the disk`, async () => {
      for (let at = 1; ; at++) {
        const one = new ScratchTopic();
        try {
          await one.fill(10, { segmentBytes: 1024 });
          const disk = one.dataDirectory(new FaultyFileSystem({ at, type }));
          let refusal: unknown;
          const isDone = await disk.deleteTopic(TOPIC).then(
            () => true,
            (error: unknown) => {
              refusal = error;
              return false;
            },
          );
          const isThere = one.dataDirectory().listTopics().length > 0;
          // Nobody is told that nothing was done where the topic is gone.
          if (type === 'fail' && !isDone && !isThere)
            expect((refusal as FastQueueError).details.sideEffects).to.equal('unknown');
          const report = await one.dataDirectory().maintain();
          expect(report.failures).to.deep.equal([]);
          expect(readdirSync(one.directory)).to.deep.equal(isThere ? [TOPIC] : []);
          if (isDone) {
            expect(at).to.be.greaterThan(10);
            return;
          }
        } finally {
          one.remove();
        }
      }
    });
  }

  it('leaves a directory alone that is merely named like a deleted topic', async () => {
    await scratch.fill(2);
    const name = `.deleted-${randomUUID()}`;
    renameSync(join(scratch.directory, TOPIC), join(scratch.directory, name));
    mkdirSync(join(scratch.directory, '.deleted-by-hand'));
    expect((await scratch.dataDirectory().maintain()).deletionsFinished).to.equal(0);
    expect(readdirSync(scratch.directory)).to.deep.equal(['.deleted-by-hand', name].sort());
  });

  it('finds nothing to do where there is no data directory', async () => {
    scratch.remove();
    expect(await scratch.dataDirectory().maintain()).to.deep.equal({
      deletionsFinished: 0,
      retained: [],
      failures: [],
    });
  });
});
