/**
 * From a time to an offset: the first record, in offset order, of the first segment whose last timestamp is at or after
 * the time. Timestamps never decrease within a segment but may between segments (a clock that was set back).
 *
 * What is damaged or missing and may be as late as the time is answered rather than passed over: the reader who begins there tells.
 */
import { findFrameBehind } from './damage-scan.ts';
import { isSound, readFrameAt, scanFrames, type FrameReading } from './frame-scanner.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import type { SegmentPlace } from './offset-index.ts';
import type { PassedPlaces } from './passed-places.ts';
import { firstTimestampOf, listSegments, withStore, type LogSegment } from './segment-list.ts';
import { lastPlace, placeBeforeTime, type PlaceRequest } from './starting-place.ts';
import type { TopicContext } from './topic-directory.ts';

/** Bytes that are checked at once on the way to the time: what an index entry leaves is far less. */
const STRIDE_BYTES = 64 * 1024;

interface TimeRequest {
  readonly mark: HighWatermark;
  readonly timestampMs: number;
  /** What readers of the topic have come by: used where the index does not help, and added to. */
  readonly places: PassedPlaces;
}

/** Offset of the first record at or after the time, or of damage that may hide it. NextOffset when there is none. */
export function offsetAtTime(context: TopicContext, request: TimeRequest): number {
  for (;;) {
    const found = tryOffsetAtTime(context, request);
    // A store was removed, or merged into another, since it was listed.
    if (found !== 'gone') return found;
  }
}

function tryOffsetAtTime(context: TopicContext, request: TimeRequest): number | 'gone' {
  const { mark, timestampMs } = request;
  const { live } = listSegments(context, mark);
  const [first] = live;
  if (first === undefined || first.baseOffset > mark.startOffset) {
    const firstTimestamp = first === undefined ? undefined : firstTimestampOf(context, first.baseOffset);
    if ((firstTimestamp ?? Infinity) >= timestampMs) return mark.startOffset;
  }
  for (const segment of live) {
    const found = searchSegment(context, request, segment);
    if (found === 'gone') return found;
    if (found !== 'before') return Math.max(found, mark.startOffset);
  }
  // Where the active store is missing, the mark alone says what time it ended with.
  const isMissed = live.at(-1)?.isActive !== true && mark.timestamp >= timestampMs;
  return isMissed ? Math.max(mark.baseOffset, mark.startOffset) : mark.nextOffset;
}

/** `before`: all of the segment is before the time. */
function searchSegment(
  context: TopicContext,
  { mark, timestampMs, places }: TimeRequest,
  { baseOffset, isActive, endOffset }: LogSegment,
): number | 'before' | 'gone' {
  const found = withStore(context, baseOffset, (store) => {
    const endPosition = isActive ? mark.position : store.status().sizeBytes;
    if (endPosition === 0) return 'before';
    const { generation } = mark;
    const search = { store, baseOffset, endPosition, useMap: !isActive, generation, places, endOffset };
    const lastTimestamp = isActive ? mark.timestamp : lastTimestampOf(context, search);
    if (lastTimestamp < timestampMs) return 'before';
    return firstAtOrAfter(context, search, timestampMs) ?? 'before';
  });
  return found ?? 'gone';
}

/** One segment that is looked through. */
interface SegmentSearch extends PlaceRequest {
  /** Where the next segment begins, or the log ends. */
  readonly endOffset: number;
}

/** Where the end of a sealed segment does not check out, or more is missing behind it, the beginning of the next one speaks for it. */
function lastTimestampOf(context: TopicContext, search: SegmentSearch): number {
  const from = { ...lastPlace(context, search), lastTimestamp: -Infinity };
  const end = passBefore(context, search, from, Infinity);
  if (end.frame === undefined && end.offset >= search.endOffset) return end.lastTimestamp;
  return Math.max(end.lastTimestamp, firstTimestampOf(context, search.endOffset) ?? Infinity);
}

/**
 * From the last known place before the time. A frame that does not check out is passed over only if the next good one is
 * still before the time.
 */
function firstAtOrAfter(
  context: TopicContext,
  search: SegmentSearch,
  timestampMs: number,
): number | undefined {
  let from: Passing = {
    ...placeBeforeTime(context, { ...search, timestamp: timestampMs }),
    lastTimestamp: -Infinity,
  };
  let damagedOffset: number | undefined;
  for (;;) {
    const { frame, position, offset, lastTimestamp } = passBefore(context, search, from, timestampMs);
    if (position > from.position) damagedOffset = undefined;
    if (frame === undefined) return offset < search.endOffset ? offset : undefined;
    if (isSound(frame)) return damagedOffset ?? offset;
    const next = findFrameBehind(context, {
      ...search,
      position,
      offset,
      lastTimestamp,
      maxOffset: search.endOffset - 1,
      end: { position: search.endPosition, nextOffset: search.endOffset },
    });
    if (next === undefined) return offset;
    damagedOffset ??= offset;
    from = { ...next, lastTimestamp };
  }
}

interface Passing extends SegmentPlace {
  /** Of the last good frame before; -Infinity where that is none. */
  readonly lastTimestamp: number;
}

/**
 * Passes good frames before the time: in strides as long as all of one is before it, then one by one. `frame` is the one
 * that it ends at, which is at or after the time or not sound; undefined at the end of the segment.
 */
function passBefore(
  context: TopicContext,
  search: SegmentSearch,
  from: Passing,
  timestampMs: number,
): Passing & { frame: FrameReading | undefined } {
  const { store: file, endPosition } = search;
  let { position, offset, lastTimestamp } = from;
  let strideEnd = 0;
  while (position < endPosition) {
    const place = { position, offset, minTimestamp: lastTimestamp };
    if (position >= strideEnd) {
      const end = Math.min(position + STRIDE_BYTES, endPosition);
      const stride = scanFrames({ file, kernel: context.kernel, ...place, endPosition: end });
      if (stride.endPosition > position && stride.lastTimestamp < timestampMs) {
        ({ endPosition: position, nextOffset: offset, lastTimestamp } = stride);
        search.places.note(search, { position, offset });
        continue;
      }
      strideEnd = stride.endPosition;
    }
    const frame = readFrameAt(file, { ...place, endPosition });
    if (!isSound(frame) || frame.header.timestamp >= timestampMs)
      return { position, offset, lastTimestamp, frame };
    position += frame.header.frameBytes;
    offset += frame.offsetCount;
    lastTimestamp = frame.header.timestamp;
  }
  return { position, offset, lastTimestamp, frame: undefined };
}
