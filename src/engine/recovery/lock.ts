/**
 * The topic's lock for recovery, which must be had even where the mark that it is held on is missing or unsound.
 */
import { FastQueueError } from '../errors.ts';
import { markPath, topicNotFound, type TopicContext } from '../topic-directory.ts';
import { TopicLock, type LockHold } from '../topic-lock.ts';

/**
 * Runs `use` under the exclusive lock; looks at nothing.
 *
 * @throws FastQueueError `locked`, `topic_not_found`, `locking_unavailable`
 */
export async function withRecoveryLock<T>(
  context: TopicContext,
  lockTimeoutMs: number,
  use: (hold: LockHold) => Promise<T>,
): Promise<T> {
  const { fileSystem } = context;
  if (fileSystem.appendRefusal !== undefined)
    throw new FastQueueError('locking_unavailable', fileSystem.appendRefusal, { topic: context.topic });
  if (fileSystem.status(context.directory) === undefined) throw topicNotFound(context);
  await makeMarkFile(context);
  for (;;) {
    const lock = TopicLock.open(context);
    try {
      const hold = await lock.acquire(lockTimeoutMs);
      if (hold === 'moved') continue;
      try {
        return await use(hold);
      } finally {
        hold.release();
      }
    } finally {
      lock.close();
    }
  }
}

/** Makes a mark file where there is none: the lock is held on it. */
async function makeMarkFile(context: TopicContext): Promise<void> {
  if (context.fileSystem.status(markPath(context)) !== undefined) return;
  context.fileSystem.open(markPath(context), 'create').close();
  await context.fileSystem.syncDirectory(context.directory);
}
