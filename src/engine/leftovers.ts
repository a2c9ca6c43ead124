/**
 * Leftovers of interrupted work in a topic's directory: files that are no part of the log and that nobody is working on.
 * Only the holder of the lock removes them, and nothing else is ever removed.
 */
import { join } from 'node:path';
import { FastQueueError } from './errors.ts';
import { classifyTopicFile } from './format/file-names.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import type { LockHold } from './topic-lock.ts';
import { peekMark, renewMark } from './mark-file.ts';
import { isIndexFree } from './offset-index.ts';
import { listSegments } from './segment-list.ts';
import { indexPath, listTopicFiles, storePath, type TopicContext } from './topic-directory.ts';

export interface Leftover {
  readonly path: string;
  readonly bytes: number;
}

/**
 * Temporary files that nobody holds, empty stores that the mark does not name, stores below StartOffset, superseded
 * stores, and the indexes of all these.
 */
export function listLeftovers(context: TopicContext, mark: HighWatermark): Leftover[] {
  const { below, empty, superseded, live } = listSegments(context, mark);
  const paths: string[] = [];
  for (const baseOffset of [...below, ...empty, ...superseded]) {
    if (isIndexFree(context, baseOffset)) paths.push(indexPath(context, baseOffset));
    paths.push(storePath(context, baseOffset));
  }
  const firstBase = live[0]?.baseOffset ?? 0;
  for (const name of listTopicFiles(context)) {
    const path = join(context.directory, name);
    const file = classifyTopicFile(name);
    if (file.type === 'temporary' && isAbandoned(context, path)) paths.push(path);
    // Its store went before it, which a power cut may make of any order.
    const isIndex = file.type === 'index' && file.baseOffset < firstBase;
    if (isIndex && !paths.includes(path) && isIndexFree(context, file.baseOffset)) paths.push(path);
  }
  return paths.flatMap((path) => {
    const status = context.fileSystem.status(path);
    return status === undefined ? [] : [{ path, bytes: status.sizeBytes }];
  });
}

/** Whoever prepares a file keeps it locked. */
function isAbandoned(context: TopicContext, path: string): boolean {
  try {
    const file = context.fileSystem.open(path, 'update');
    try {
      return file.tryLock();
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof FastQueueError) return false;
    throw error;
  }
}

/** Removes what `listLeftovers` found. What makes a file superfluous is made durable first. */
export async function removeLeftovers(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  leftovers: readonly Leftover[],
): Promise<void> {
  if (leftovers.length === 0) return;
  const { fileSystem, directory } = context;
  const mark = peekMark(hold.markFile);
  if (mark === undefined) return;
  await renewMark(hold.markFile, mark);
  await fileSystem.syncDirectory(directory);
  for (const { path } of leftovers) fileSystem.unlink(path);
  await fileSystem.syncDirectory(directory);
}
