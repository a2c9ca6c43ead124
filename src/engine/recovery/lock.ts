/**
 * The topic's lock for recovery, which must be had even where the mark that it is held on is missing or unsound.
 */
import { markPath, topicNotFound, type TopicContext } from '../topic-directory.ts';
import { refuseWithoutLocks, withTopicLock, type LockHold } from '../topic-lock.ts';

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
  refuseWithoutLocks(context);
  if (context.fileSystem.status(context.directory) === undefined) throw topicNotFound(context);
  await makeMarkFile(context);
  return withTopicLock(context, lockTimeoutMs, use);
}

/** Makes a mark file where there is none: the lock is held on it. */
async function makeMarkFile(context: TopicContext): Promise<void> {
  if (context.fileSystem.status(markPath(context)) !== undefined) return;
  context.fileSystem.open(markPath(context), 'create').close();
  await context.fileSystem.syncDirectory(context.directory);
}
