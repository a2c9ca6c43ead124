/**
 * A topic as `verify` sees it: an index that the disk does not give up is told of, and then not there, or at its end. It
 * is a cache, and must not hide what can be found without it.
 */
import { basename } from 'node:path';
import { FastQueueError } from '../errors.ts';
import { classifyTopicFile } from '../format/file-names.ts';
import type { FileHandle } from '../io/file-system.ts';
import { isDiskError } from '../io/open-if-there.ts';
import type { TopicContext } from '../topic-directory.ts';
import { readOnlyView } from './read-only-view.ts';

/** What the disk says of an index that it does not give up. Plain data, as it may come from another thread. */
export interface UnreadableIndex {
  readonly path: string;
  readonly message: string;
}

/** The topic, seen with those indexes only that can be read. */
export function seenWithReadableIndexes(
  context: TopicContext,
  onUnreadable: (index: UnreadableIndex) => void,
): TopicContext {
  const { fileSystem } = context;
  const tell = (path: string, error: unknown): void => {
    if (!isDiskError(error)) throw error;
    onUnreadable({ path: error.details.path ?? path, message: error.message });
  };
  const open = (path: string): FileHandle => {
    if (classifyTopicFile(basename(path)).type !== 'index') return fileSystem.open(path, 'read');
    let file: FileHandle;
    try {
      file = fileSystem.open(path, 'read');
    } catch (error) {
      tell(path, error);
      throw new FastQueueError('io_error', `${path} is not to be had.`, { path, errno: 'ENOENT' });
    }
    const read = file.read.bind(file);
    return Object.assign(file, {
      read: (target: Uint8Array, position: number): number => {
        try {
          return read(target, position);
        } catch (error) {
          tell(path, error);
          return 0;
        }
      },
    });
  };
  return { ...context, fileSystem: readOnlyView(fileSystem, { open }) };
}
