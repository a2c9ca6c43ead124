/**
 * Whether the frames of a store lead to one byte of it at one offset: told from a few KiB before that byte wherever
 * that is enough. Reads only.
 */
import type { HighWatermark } from './format/high-watermark.ts';
import { scanFrames } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { MAX_BATCH_BYTES } from './limits.ts';
import { isFailed } from './mark-file.ts';
import { findNextFrame } from './next-frame.ts';
import { lastIndexedPlace, type SegmentPlace } from './offset-index.ts';
import { storeBytes, storePath, type TopicContext } from './topic-directory.ts';

/** Bytes before an end in which frames that lead to it are looked for, before all of a store is read. */
const TAIL_BYTES = 64 * 1024;

interface StoreEnd extends SegmentPlace {
  readonly store: FileHandle;
  readonly baseOffset: number;
}

/** True where frames in the last few KiB before a byte lead to it, at this next offset. False where that cannot be told. */
export function isLedTo(context: TopicContext, end: StoreEnd): boolean {
  return isLedToWithin(context, end, { byteCount: TAIL_BYTES, minOffset: end.baseOffset });
}

/** True where the first frame of this offset or a later one in so many bytes before an end leads to it. */
function isLedToWithin(
  context: TopicContext,
  end: StoreEnd,
  { byteCount, minOffset }: { byteCount: number; minOffset: number },
): boolean {
  const { store, position } = end;
  const found = findNextFrame({
    file: store,
    fromPosition: Math.max(0, position - byteCount),
    endPosition: position,
    minOffset,
    maxOffset: end.offset - 1,
    minTimestamp: -Infinity,
    end: { position, nextOffset: end.offset },
  });
  return found !== undefined && leadsTo(context, found, end);
}

/**
 * Whether a frame of the active store ends where the mark says, at its offset. Bytes that came in between before it, or
 * went, move every frame behind them: what lies behind the mark then is no tail, and must not be cut for one.
 */
export function endsAtMark(context: TopicContext, mark: HighWatermark, store: FileHandle): boolean {
  const { baseOffset, position } = mark;
  const end = { store, baseOffset, position, offset: mark.nextOffset };
  const indexed = lastIndexedPlace(context, { store, baseOffset, endPosition: position, useMap: false });
  if (position - indexed.position > TAIL_BYTES && isLedTo(context, end)) return true;
  if (leadsTo(context, indexed, end)) return true;
  // What is damaged in between tells nothing of the last record, which begins within a batch of its end.
  const last = { byteCount: MAX_BATCH_BYTES, minOffset: Math.max(baseOffset, end.offset - 1) };
  return isLedToWithin(context, end, last);
}

/**
 * True where the active store is longer than the mark says, and no frame ends at the mark. What a failed sync has left
 * behind the mark is never believed, moved or not.
 */
export function areFramesMoved(context: TopicContext, mark: HighWatermark): boolean {
  if (isFailed(mark) || (storeBytes(context, mark.baseOffset) ?? 0) <= mark.position) return false;
  const store = openIfThere(context.fileSystem, storePath(context, mark.baseOffset));
  if (store === undefined) return false;
  try {
    return !endsAtMark(context, mark, store);
  } finally {
    store.close();
  }
}

function leadsTo(context: TopicContext, from: SegmentPlace, end: StoreEnd): boolean {
  const scan = scanFrames({
    file: end.store,
    kernel: context.kernel,
    ...from,
    endPosition: end.position,
    minTimestamp: -Infinity,
  });
  return scan.stop === 'end' && scan.nextOffset === end.offset;
}
