/** The lock of a topic when the disk answers an error at the moment the lock is had. */
import { expect } from 'chai';
import { symlinkSync, truncateSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { FastQueueError } from '../../src/engine/errors.ts';
import type { FileStatus } from '../../src/engine/io/file-system.ts';
import { TopicLock, type LockHold } from '../../src/engine/topic-lock.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** The real disk, on which files cannot be looked at while `isBlind`. */
class BlindFileSystem extends FaultyFileSystem {
  isBlind = false;

  override readonly beforeLook = (path: string): void => {
    if (this.isBlind) throw new FastQueueError('io_error', `Could not look at ${path}: EIO.`, { path });
  };
}

/** The real disk, on which the directory `alias` has the inode of the directory of the topic, as one made later may. */
class ReusedInodeFileSystem extends FaultyFileSystem {
  reused: FileStatus | undefined;

  override status(path: string): FileStatus | undefined {
    return this.reused !== undefined && path.endsWith('/alias') ? this.reused : super.status(path);
  }
}

describe('TopicLock', () => {
  const scratch = ScratchTopic.forEach(1);

  it('serves those who wait for it in the order in which they asked', async () => {
    const lock = TopicLock.open(scratch.context());
    const served: number[] = [];
    await Promise.all(
      [0, 1, 2, 3, 4].map(async (number) => {
        const hold = (await lock.acquire(2000)) as LockHold;
        served.push(number);
        hold.release();
      }),
    );
    lock.close();
    expect(served).to.deep.equal([0, 1, 2, 3, 4]);
  });

  it('is free again after an error met at the moment it was had at once', async () => {
    const fileSystem = new BlindFileSystem();
    const lock = TopicLock.open(scratch.context(fileSystem));
    const other = fileSystem.open(scratch.path('high-watermark'), 'update');
    fileSystem.isBlind = true;
    let refusal: unknown;
    await lock.acquire(1000).catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'io_error');
    expect(() => lock.tryAcquire()).to.throw(FastQueueError);
    expect(other.tryLock(), 'nobody holds it').to.equal(true);
    other.close();
    lock.close();
  });

  it('is free again after an error met when a long wait was over, and only who waited is told', async () => {
    const fileSystem = new BlindFileSystem();
    const context = scratch.context(fileSystem);
    const lock = TopicLock.open(context);
    // A descriptor of its own excludes as another process would.
    const other = fileSystem.open(scratch.path('high-watermark'), 'update');
    expect(other.tryLock()).to.equal(true);
    let refusal: unknown;
    const waiting = lock.acquire(5000).catch((error: unknown) => (refusal = error));
    fileSystem.isBlind = true;
    other.unlock();
    await waiting;
    fileSystem.isBlind = false;
    expect(refusal).to.be.instanceOf(FastQueueError).with.property('code', 'io_error');
    const hold = await lock.acquire(1000);
    expect(hold).not.to.equal('moved');
    (hold as LockHold).release();
    expect(other.tryLock(), 'the lock was released').to.equal(true);
    other.close();
    lock.close();
  });

  it('names the last writer to who waited in vain, and takes a lock that comes later for the next', async () => {
    const lock = TopicLock.open(scratch.context());
    const other = new FaultyFileSystem().open(scratch.path('high-watermark'), 'update');
    expect(other.tryLock()).to.equal(true);
    let refusal: unknown;
    await lock.acquire(20).catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'locked');
    expect((refusal as Error).message).to.include(`pid ${process.pid}`);
    const next = lock.acquire(5000);
    other.unlock();
    const hold = (await next) as LockHold;
    expect(hold.waited).to.equal(true);
    expect(other.tryLock(), 'it excludes').to.equal(false);
    hold.release();
    other.close();
    lock.close();
  });

  it('is not taken for that of a new directory that has the inode of a deleted one', async () => {
    const fileSystem = new ReusedInodeFileSystem();
    const data = scratch.dataDirectory(fileSystem);
    const old = await data.openTopic(TOPIC, { mode: 'append' });
    fileSystem.reused = fileSystem.status(join(scratch.directory, TOPIC));
    const topic = await data.openTopic('alias', { mode: 'append', create: {} });
    expect((await topic.append([Buffer.from('new')])).offset).to.equal(0);
    expect((await old.append([Buffer.from('old')])).offset).to.equal(1);
    await topic.close();
    await old.close();
    expect(fileSystem.openCount).to.equal(0);
  });

  it('is another one where the name that it was opened by leads elsewhere now, and its topic has its own still', async () => {
    const link = `${scratch.directory}-link`;
    symlinkSync(scratch.directory, link);
    const fileSystem = new FaultyFileSystem();
    const linked = await openDataDirectory(link, { fileSystem }).openTopic(TOPIC, { mode: 'append' });
    const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append' });
    expect((await topic.append([Buffer.from('through either name')])).offset).to.equal(1);
    unlinkSync(link);
    expect((await topic.append([Buffer.from('through its own')])).offset).to.equal(2);
    await topic.retain();
    let refusal: unknown;
    await linked.append([Buffer.from('through the link')]).catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'topic_not_found');
    await linked.close();
    await topic.close();
    expect(fileSystem.openCount).to.equal(0);
  });

  it('waits in the kernel once, however often who gave up comes again', async () => {
    const fileSystem = new FaultyFileSystem();
    const other = fileSystem.open(scratch.path('high-watermark'), 'update');
    expect(other.tryLock()).to.equal(true);
    const data = openDataDirectory(scratch.directory, { fileSystem, lockTimeoutMs: 10 });
    for (let number = 0; number < 5; number++) {
      let refusal: unknown;
      await data.openTopic(TOPIC, { mode: 'append' }).catch((error: unknown) => (refusal = error));
      expect(refusal).to.have.property('code', 'locked');
    }
    const { openCount } = fileSystem;
    other.close();
    expect(openCount, 'the other one and the one that waits').to.equal(2);
    const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append' });
    expect((await topic.append([Buffer.from('again')])).offset).to.equal(1);
    await topic.close();
    expect(fileSystem.openCount).to.equal(0);
  });

  it('leaves no file open where the topic could not be opened for append', async () => {
    truncateSync(scratch.path('00000000000000000000.store'), 5);
    const fileSystem = new FaultyFileSystem();
    let refusal: unknown;
    const opening = scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append' });
    await opening.catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'damaged');
    expect(fileSystem.openCount).to.equal(0);
  });
});
