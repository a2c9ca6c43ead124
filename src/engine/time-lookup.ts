/**
 * From a time to an offset: the first record, in offset order, of the first segment whose last timestamp is at or after
 * the time. Timestamps never decrease within a segment but may between segments (a clock that was set back).
 */
import { scanFrames } from './frame-scanner.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { lastIndexedPlace, lookupTime, type LookupRequest } from './offset-index.ts';
import { withStore } from './segment-list.ts';
import { listStoreBases, type TopicContext } from './topic-directory.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES } from './format/frame.ts';

/** Offset of the first record at or after the time; NextOffset when there is none. Damage ends the search of a segment. */
export function offsetAtTime(context: TopicContext, mark: HighWatermark, timestampMs: number): number {
  const bases = listStoreBases(context).filter((base) => base <= mark.baseOffset);
  const first = Math.max(
    0,
    bases.findLastIndex((base) => base <= mark.startOffset),
  );
  for (const baseOffset of bases.slice(first)) {
    const found = searchSegment(context, { mark, baseOffset, timestampMs });
    if (found !== undefined) return Math.max(found, mark.startOffset);
  }
  return mark.nextOffset;
}

function searchSegment(
  context: TopicContext,
  wanted: { mark: HighWatermark; baseOffset: number; timestampMs: number },
): number | undefined {
  const { mark, baseOffset, timestampMs } = wanted;
  return withStore(context, baseOffset, (store) => {
    const isActive = baseOffset === mark.baseOffset;
    const endPosition = isActive ? mark.position : store.status().sizeBytes;
    if (endPosition === 0) return undefined;
    const request: LookupRequest = { store, baseOffset, endPosition, useMap: !isActive };
    if (!isActive || timestampMs > mark.timestamp) {
      const end = scanFrames({
        file: store,
        kernel: context.kernel,
        ...lastIndexedPlace(context, request),
        endPosition,
        minTimestamp: -Infinity,
      });
      if (end.lastTimestamp < timestampMs) return undefined;
    }
    return firstAtOrAfter(context, request, timestampMs);
  });
}

/** From the last entry before the time, frame by frame: a handful, since entries are close together. */
function firstAtOrAfter(
  context: TopicContext,
  request: LookupRequest,
  timestampMs: number,
): number | undefined {
  const place = lookupTime(context, { ...request, timestamp: timestampMs });
  let { position, offset } = place;
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  while (position + FRAME_HEADER_BYTES <= request.endPosition) {
    if (request.store.read(header, position) < FRAME_HEADER_BYTES) return undefined;
    const frame = decodeFrameHeader(header, 0);
    if (frame.timestamp >= timestampMs) return offset;
    const scan = scanFrames({
      file: request.store,
      kernel: context.kernel,
      position,
      offset,
      endPosition: position + frame.frameBytes,
      minTimestamp: -Infinity,
    });
    if (scan.stop !== 'end') return undefined;
    position = scan.endPosition;
    offset = scan.nextOffset;
  }
  return undefined;
}
