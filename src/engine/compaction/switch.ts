/**
 * Putting prepared files in their places, under the lock, in the one order in which a process that is killed anywhere
 * leaves a log that every reader reads rightly:
 *
 *     raise the generation → unlink the indexes concerned, sync the directory → rename the new store over the first, sync
 *     → unlink the others, sync → new index, sync
 *
 * Killed before the rename, the old stores are all there, without indexes; behind it, the others are superseded: a store
 * whose whole range lies inside the one before it is no part of the log.
 */
import type { SealedSegment } from './list.ts';
import { isSameFile } from '../io/file-system.ts';
import type { PreparedSegment } from './prepare.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { writeMark } from '../mark-file.ts';
import { removeIndex } from '../offset-index.ts';
import { storePath, type TopicContext } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';

/**
 * Puts a merged store in the place of its sources. The caller holds the lock; `mark` is what the mark says now.
 *
 * @returns the mark as it stands afterwards, or undefined where the log is no longer what was planned: nothing was changed
 * @throws FastQueueError disk errors as themselves: what is left of it the next compact does
 */
export async function switchStore(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  request: {
    mark: HighWatermark;
    generation: number;
    segments: readonly SealedSegment[];
    prepared: PreparedSegment;
  },
): Promise<HighWatermark | undefined> {
  const { segments, prepared } = request;
  if (!isStill(context, request, [prepared])) return undefined;
  const { fileSystem, directory } = context;
  const mark = await raiseGeneration(hold, request.mark);
  for (const { baseOffset } of segments) removeIndex(context, baseOffset);
  await fileSystem.syncDirectory(directory);
  prepared.store?.place();
  await fileSystem.syncDirectory(directory);
  for (const { baseOffset } of segments.slice(1)) fileSystem.unlink(storePath(context, baseOffset));
  await fileSystem.syncDirectory(directory);
  prepared.index.place();
  await fileSystem.syncDirectory(directory);
  return mark;
}

/** Puts new indexes in their places; everything else as `switchStore`. */
export async function switchIndexes(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  request: {
    mark: HighWatermark;
    generation: number;
    segments: readonly SealedSegment[];
    prepared: readonly PreparedSegment[];
  },
): Promise<HighWatermark | undefined> {
  if (!isStill(context, request, request.prepared)) return undefined;
  const mark = await raiseGeneration(hold, request.mark);
  for (const { index } of request.prepared) index.place();
  await context.fileSystem.syncDirectory(context.directory);
  return mark;
}

/** True where the generation, the files and what was prepared are what the plan saw, and none is below the start. */
function isStill(
  context: TopicContext,
  request: { mark: HighWatermark; generation: number; segments: readonly SealedSegment[] },
  prepared: readonly PreparedSegment[],
): boolean {
  const { mark, generation, segments } = request;
  return (
    mark.generation === generation &&
    segments.every(({ baseOffset, endOffset, file }) => {
      const named = context.fileSystem.status(storePath(context, baseOffset));
      const isSame = isSameFile(named, file) && named?.sizeBytes === file.sizeBytes;
      return isSame && endOffset > mark.startOffset && baseOffset < mark.baseOffset;
    }) &&
    prepared.every(({ store, index }) => store?.isThere() !== false && index.isThere())
  );
}

async function raiseGeneration(
  hold: Pick<LockHold, 'markFile'>,
  mark: HighWatermark,
): Promise<HighWatermark> {
  const raised = { ...mark, generation: mark.generation + 1 };
  writeMark(hold.markFile, raised);
  await hold.markFile.datasync();
  return raised;
}
