/** Makes the entries of a topic and of its data directory durable, whoever made them. */
import { dirname } from 'node:path';
import { FastQueueError } from './errors.ts';
import type { TopicContext } from './topic-directory.ts';

/**
 * Syncs the data directory and the one that holds it.
 *
 * @throws FastQueueError disk errors as themselves
 */
export async function syncDirectoriesAbove({ fileSystem, directory }: TopicContext): Promise<void> {
  const dataDirectory = dirname(directory);
  await fileSystem.syncDirectory(dataDirectory);
  try {
    await fileSystem.syncDirectory(dirname(dataDirectory));
  } catch (error) {
    // A directory that may be passed through and not looked into (mode 0711) cannot be opened to be synced. Whoever made
    // the data directory there is somebody else, and long gone.
    if (!(error instanceof FastQueueError) || error.code !== 'permission_denied') throw error;
  }
}
