/** The sync of the mark behind acknowledgements: reported when it fails, and then written and synced again. */
import { expect } from 'chai';
import { DeferredMarkSync } from '../../src/engine/deferred-mark-sync.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

describe('a sync of the mark that fails a second after an append', () => {
  const { setTimeout } = globalThis;
  let scratch: ScratchTopic;
  /** What waits for its time. */
  let due: (() => void)[];

  beforeEach(() => {
    scratch = new ScratchTopic();
    due = [];
  });

  afterEach(() => {
    globalThis.setTimeout = setTimeout;
    scratch.remove();
  });

  it('is told, fails no append, and is written and synced again before the next one, once', async () => {
    const fileSystem = new FaultyFileSystem();
    const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append', create: {} });
    globalThis.setTimeout = ((run: () => void) => {
      due.push(run);
      return setTimeout(() => undefined, 0);
    }) as typeof setTimeout;
    await topic.append([Buffer.from('a')]);
    globalThis.setTimeout = setTimeout;
    fileSystem.failNext('sync', 'high-watermark');
    for (const run of due) run();
    while (scratch.warnings.length === 0) await new Promise(setImmediate);
    expect(scratch.warnings.join()).to.include('could not be synced');
    const syncsOf = async (payload: string): Promise<number> => {
      const before = fileSystem.changes.filter((change) => change === 'sync high-watermark').length;
      await topic.append([Buffer.from(payload)]);
      return fileSystem.changes.filter((change) => change === 'sync high-watermark').length - before;
    };
    expect(await syncsOf('b')).to.equal(1);
    expect(await syncsOf('c')).to.equal(0);
    await topic.close();
    expect(scratch.warnings).to.have.lengthOf(1);
  });

  it('is waited for by whoever closes the log while it is under way', async () => {
    globalThis.setTimeout = ((run: () => void) => {
      due.push(run);
      return setTimeout(() => undefined, 0);
    }) as typeof setTimeout;
    let end: (() => void) | undefined;
    const markSync = new DeferredMarkSync({
      sync: () => new Promise<void>((resolve) => (end = resolve)),
      onFailure: () => undefined,
    });
    markSync.schedule();
    globalThis.setTimeout = setTimeout;
    for (const run of due) run();
    while (end === undefined) await new Promise(setImmediate);
    let isFinished = false;
    const finished = markSync.finish().then(() => (isFinished = true));
    await new Promise(setImmediate);
    expect(isFinished).to.equal(false);
    end();
    await finished;
  });
});
