/** Directories that an append makes durable, and one that it may not open. */
import { expect } from 'chai';
import { basename, dirname } from 'node:path';
import { FastQueueError } from '../../src/engine/errors.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** The real disk, with one directory that may be passed through and not opened. */
class PassThrough extends FaultyFileSystem {
  readonly #closed: string;

  constructor(closed: string) {
    super();
    this.#closed = closed;
  }

  override async syncDirectory(path: string): Promise<void> {
    if (path === this.#closed)
      throw new FastQueueError('permission_denied', `Could not open ${path}: EACCES.`, { path });
    await super.syncDirectory(path);
  }
}

describe('a writer', () => {
  const scratch = new ScratchTopic();

  after(() => {
    scratch.remove();
  });

  it('syncs topic, data directory and the one that holds it, and does without one that it may not open', async () => {
    const names = [scratch.directory, dirname(scratch.directory)].map((path) => basename(path));
    const open = new FaultyFileSystem();
    const topic = await scratch.dataDirectory(open).openTopic(TOPIC, { mode: 'append', create: {} });
    await topic.close();
    for (const name of [TOPIC, ...names]) expect(open.changes).to.include(`sync ${name}`);

    const closed = new PassThrough(dirname(scratch.directory));
    const again = await scratch.dataDirectory(closed).openTopic(TOPIC, { mode: 'append' });
    expect((await again.append([Buffer.from('x')])).offset).to.equal(0);
    await again.close();
  });

  it('refuses where the data directory itself may not be opened', async () => {
    const closed = new PassThrough(scratch.directory);
    const refused: unknown = await scratch
      .dataDirectory(closed)
      .openTopic(TOPIC, { mode: 'append' })
      .catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'permission_denied');
  });
});
