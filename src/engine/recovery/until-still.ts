/**
 * Reading a log beside retention and compact, which take segments between their being listed and read. What was taken is
 * neither missing nor an error: all is looked at again. Takes no lock.
 */
import { FastQueueError } from '../errors.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { isGone, openIfThere } from '../io/open-if-there.ts';
import { isDeleted, peekMark, refuseNewer } from '../mark-file.ts';
import { markPath, topicNotFound, type TopicContext } from '../topic-directory.ts';

/** How often a log is read anew because it began elsewhere meanwhile; then that is said. */
const MAX_READINGS = 20;

/**
 * Runs `read` until nobody takes anything away meanwhile.
 *
 * @param begin.mark the mark before; where it is unsound, nobody takes anything
 * @param begin.onBytes told how many bytes were read since it was told last: less than none, where all is read again
 * @param read given the mark as it is by then; undefined where the log began elsewhere meanwhile
 * @throws FastQueueError `locked` when that was so again and again; what `read` throws
 */
export async function untilStill<T, Mark extends HighWatermark | undefined>(
  context: TopicContext,
  begin: { mark: Mark; onBytes: ((byteCount: number) => void) | undefined },
  read: (mark: Mark | HighWatermark, onBytes: (byteCount: number) => void) => Promise<T | undefined>,
): Promise<T> {
  let mark: Mark | HighWatermark = begin.mark;
  for (let count = 0; count < MAX_READINGS; count++) {
    let readBytes = 0;
    const onBytes = (byteCount: number): void => {
      readBytes += byteCount;
      begin.onBytes?.(byteCount);
    };
    try {
      const found = await read(mark, onBytes);
      if (found !== undefined) return found;
    } catch (error) {
      if (!isGone(error) || !hasMoved(mark, seenMark(context))) throw error;
    }
    begin.onBytes?.(-readBytes);
    mark = seenMark(context) ?? mark;
  }
  throw new FastQueueError(
    'locked',
    `The topic "${context.topic}" was changed again and again while it was read. Try again when it is left alone.`,
    { topic: context.topic },
  );
}

const hasMoved = (before: HighWatermark | undefined, now: HighWatermark | undefined): boolean =>
  before !== undefined &&
  now !== undefined &&
  (now.startOffset !== before.startOffset || now.generation !== before.generation);

/**
 * The mark now, one look at it: undefined where it is missing or unsound, which is what recovery is for.
 *
 * @throws FastQueueError `topic_not_found`, `newer_format`
 */
export function seenMark(context: TopicContext): HighWatermark | undefined {
  const file = openIfThere(context.fileSystem, markPath(context));
  if (file === undefined) {
    if (context.fileSystem.status(context.directory) === undefined) throw topicNotFound(context);
    return undefined;
  }
  try {
    const mark = peekMark(file);
    if (mark !== undefined && isDeleted(refuseNewer(context, mark))) throw topicNotFound(context);
    return mark;
  } finally {
    file.close();
  }
}
