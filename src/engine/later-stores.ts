/**
 * Stores behind the one that the mark names. A writer moves the mark before it writes into a new segment, so records
 * there say that the mark is an old one, put back from a copy. Reads only.
 */
import { scanStore } from './damage-scan.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { isSound, readFrameAt } from './frame-scanner.ts';
import { isFailed } from './mark-file.ts';
import { withStore } from './segment-list.ts';
import { listStoreBases, storeBytes, type TopicContext } from './topic-directory.ts';

/** Bytes of a store in which a frame of its own is looked for where its first one is damaged. */
const LOOKED_AT_BYTES = 1024 * 1024;

/** True where the segment that follows the one that the mark names has bytes: then the mark is an old one. */
export function hasNextSegment(context: TopicContext, mark: HighWatermark): boolean {
  return mark.nextOffset > mark.baseOffset && (storeBytes(context, mark.nextOffset) ?? 0) > 0;
}

/** Base offset of the last store behind an offset that holds frames of its own: not that of a stray copy. */
export function lastStoreBehind(
  context: TopicContext,
  mark: Pick<HighWatermark, 'baseOffset' | 'nextOffset'>,
): number | undefined {
  return storesBehind(context, mark).findLast((base) => holdsOwnFrames(context, base));
}

/** Base offsets of stores behind the end of the log that have bytes, whatever these are. */
export function storesBehind(
  context: TopicContext,
  { baseOffset, nextOffset }: Pick<HighWatermark, 'baseOffset' | 'nextOffset'>,
): number[] {
  return listStoreBases(context).filter(
    (base) => base > baseOffset && base >= nextOffset && (storeBytes(context, base) ?? 0) > 0,
  );
}

/**
 * The mark as it is to be where it is an old one: that of the last segment, before its first frame. All segments in
 * between are sealed then, and whatever is damaged in them is damage.
 */
export function markOfLastSegment(context: TopicContext, mark: HighWatermark): HighWatermark {
  // What a failed sync has left is never believed.
  const base = isFailed(mark) ? undefined : lastStoreBehind(context, mark);
  return base === undefined ? mark : { ...mark, baseOffset: base, nextOffset: base, position: 0 };
}

function holdsOwnFrames(context: TopicContext, baseOffset: number): boolean {
  const found = withStore(context, baseOffset, (store) => {
    const endPosition = store.status().sizeBytes;
    const first = { position: 0, offset: baseOffset, minTimestamp: -Infinity };
    if (isSound(readFrameAt(store, { ...first, endPosition }))) return true;
    const scan = scanStore(context, {
      store,
      baseOffset,
      ...first,
      endPosition: Math.min(endPosition, LOOKED_AT_BYTES),
      endOffset: undefined,
    });
    return scan.goodEndPosition > 0;
  });
  return found === true;
}
