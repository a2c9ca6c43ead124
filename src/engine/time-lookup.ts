/**
 * From a time to an offset: the first record, in offset order, of the first segment whose last timestamp is at or after
 * the time. Timestamps never decrease within a segment but may between segments (a clock that was set back).
 *
 * What is damaged or missing and may be as late as the time is answered rather than passed over: the reader who begins there tells.
 */
import { readFrameAt, scanFrames, isSound } from './frame-scanner.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { findNextFrame } from './next-frame.ts';
import { entriesAfter, lastIndexedPlace, lookupTime, type LookupRequest } from './offset-index.ts';
import { firstTimestampOf, listSegments, withStore, type LogSegment } from './segment-list.ts';
import type { TopicContext } from './topic-directory.ts';

/** Index entries behind damage that are tried as hints. */
const HINT_COUNT = 256;

/** Offset of the first record at or after the time, or of damage that may hide it. NextOffset when there is none. */
export function offsetAtTime(context: TopicContext, mark: HighWatermark, timestampMs: number): number {
  for (;;) {
    const found = tryOffsetAtTime(context, mark, timestampMs);
    // A store was removed, or merged into another, since it was listed.
    if (found !== 'gone') return found;
  }
}

function tryOffsetAtTime(context: TopicContext, mark: HighWatermark, timestampMs: number): number | 'gone' {
  const { live } = listSegments(context, mark);
  const [first] = live;
  if (first === undefined || first.baseOffset > mark.startOffset) {
    const firstTimestamp = first === undefined ? undefined : firstTimestampOf(context, first.baseOffset);
    if ((firstTimestamp ?? Infinity) >= timestampMs) return mark.startOffset;
  }
  for (const segment of live) {
    const found = searchSegment(context, { mark, segment, timestampMs });
    if (found === 'gone') return found;
    if (found !== 'before') return Math.max(found, mark.startOffset);
  }
  return mark.nextOffset;
}

/** `before`: all of the segment is before the time. */
function searchSegment(
  context: TopicContext,
  wanted: { mark: HighWatermark; segment: LogSegment; timestampMs: number },
): number | 'before' | 'gone' {
  const { mark, segment, timestampMs } = wanted;
  const { baseOffset, isActive, endOffset } = segment;
  const found = withStore(context, baseOffset, (store) => {
    const endPosition = isActive ? mark.position : store.status().sizeBytes;
    if (endPosition === 0) return 'before';
    const request = { store, baseOffset, endPosition, useMap: !isActive };
    const lastTimestamp = isActive ? mark.timestamp : lastTimestampOf(context, request, endOffset);
    if (lastTimestamp < timestampMs) return 'before';
    return firstAtOrAfter(context, { ...request, endOffset }, timestampMs) ?? 'before';
  });
  return found ?? 'gone';
}

/** Where the end of a sealed segment does not check out, or more is missing behind it, the beginning of the next one speaks for it. */
function lastTimestampOf(context: TopicContext, request: LookupRequest, endOffset: number): number {
  const end = scanFrames({
    file: request.store,
    kernel: context.kernel,
    ...lastIndexedPlace(context, request),
    endPosition: request.endPosition,
    minTimestamp: -Infinity,
  });
  if (end.stop === 'end' && end.nextOffset >= endOffset) return end.lastTimestamp;
  return Math.max(end.lastTimestamp, firstTimestampOf(context, endOffset) ?? Infinity);
}

/**
 * From the last entry before the time, frame by frame: a handful, since entries are close together. A frame that does
 * not check out is passed over only if the next good one is still before the time.
 */
function firstAtOrAfter(
  context: TopicContext,
  request: LookupRequest & { endOffset: number },
  timestampMs: number,
): number | undefined {
  const { store, endPosition } = request;
  let { position, offset } = lookupTime(context, { ...request, timestamp: timestampMs });
  let damagedOffset: number | undefined;
  let minTimestamp = -Infinity;
  while (position < endPosition) {
    const frame = readFrameAt(store, { position, offset, endPosition, minTimestamp });
    if (isSound(frame)) {
      minTimestamp = frame.header.timestamp;
      if (minTimestamp >= timestampMs) return damagedOffset ?? offset;
      damagedOffset = undefined;
      position += frame.header.frameBytes;
      offset += frame.offsetCount;
      continue;
    }
    const next = nextGoodFrame(context, request, { position, offset, minTimestamp });
    if (next === undefined) return offset;
    damagedOffset ??= offset;
    ({ position, offset } = next);
  }
  return offset < request.endOffset ? offset : undefined;
}

function nextGoodFrame(
  context: TopicContext,
  request: LookupRequest & { endOffset: number },
  damage: { position: number; offset: number; minTimestamp: number },
): { position: number; offset: number } | undefined {
  const { store, baseOffset, endPosition, endOffset } = request;
  return findNextFrame({
    file: store,
    fromPosition: damage.position + 1,
    endPosition,
    minOffset: damage.offset,
    maxOffset: endOffset - 1,
    minTimestamp: damage.minTimestamp,
    end: { position: endPosition, nextOffset: endOffset },
    indexEntries: entriesAfter(context, { baseOffset, position: damage.position, count: HINT_COUNT }),
  });
}
