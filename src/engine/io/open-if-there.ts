/** Opening a file that another process may remove at any time: to look first, and then to open, is a race. */
import { FastQueueError } from '../errors.ts';
import type { FileHandle, FileSystem, OpenMode } from './file-system.ts';

/** Undefined where there is no file of that name. @throws FastQueueError what else the disk says */
export function openIfThere(
  fileSystem: FileSystem,
  path: string,
  mode: OpenMode & ('read' | 'update') = 'read',
): FileHandle | undefined {
  try {
    return fileSystem.open(path, mode);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** True where the disk says that there is nothing of that name. */
export const isGone = (error: unknown): boolean =>
  error instanceof FastQueueError && error.details.errno === 'ENOENT';

/** What the disk says of itself; a file that is gone is not that. */
export function isDiskError(error: unknown): error is FastQueueError {
  if (!(error instanceof FastQueueError) || isGone(error)) return false;
  return error.details.errno !== undefined || error.code === 'io_error';
}
