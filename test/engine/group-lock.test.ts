/** The lock of a consumer group, beside whoever replaces its file. */
import { expect } from 'chai';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { nextRefusedLock } from '../support/refused-lock.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

describe('the lock of a group', () => {
  let scratch: ScratchTopic;

  beforeEach(() => {
    scratch = new ScratchTopic();
  });

  afterEach(() => {
    scratch.remove();
  });

  it('is that of the file of its name: one that was replaced while somebody waited for it does not count', async () => {
    const topic = await scratch.open();
    const first = await topic.openGroup('g');
    const isWaiting = nextRefusedLock();
    const waiting = topic.openGroup('g');
    await isWaiting;
    const path = scratch.path('groups/g');
    writeFileSync(`${path}.new`, '');
    renameSync(`${path}.new`, path);
    first.close();
    const second = await waiting;
    const hasty = await openDataDirectory(scratch.directory, { lockTimeoutMs: 50 }).openTopic(TOPIC, {
      mode: 'read',
    });
    const third: unknown = await hasty.openGroup('g').catch((error: unknown) => error);
    expect(third).to.include({ code: 'locked' });
    second.close();
    await hasty.close();
    await topic.close();
  });
});

describe('the file of a group', () => {
  const scratch = ScratchTopic.forEach(1);

  it('is made durable by whoever stores its first position, though somebody else made it and died', async () => {
    mkdirSync(scratch.path('groups'));
    writeFileSync(scratch.path('groups/g'), '');
    const fileSystem = new FaultyFileSystem();
    const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
    const syncs = (): string[] => fileSystem.changes.filter((change) => change.startsWith('sync'));
    const group = await topic.openGroup('g');
    expect(syncs()).to.deep.equal(['sync groups', `sync ${TOPIC}`]);
    await group.commit(1);
    group.close();
    (await topic.openGroup('g')).close();
    expect(syncs(), 'and no more than once').to.deep.equal(['sync groups', `sync ${TOPIC}`, 'sync g']);
    await topic.close();
  });
});
