/**
 * Where to begin in a segment: at what its index names or, where that is nearer, at what readers of the opened topic have
 * come by. Only hints: every answer was looked at and is a frame boundary.
 */
import {
  isFrameAt,
  lastIndexedPlace,
  lookupOffset,
  lookupTime,
  timestampAt,
  type LookupRequest,
  type SegmentPlace,
} from './offset-index.ts';
import type { PassedPlaces } from './passed-places.ts';
import type { TopicContext } from './topic-directory.ts';

export interface PlaceRequest extends LookupRequest {
  /** Of the mark: what was passed under another one counts for nothing. */
  readonly generation: number;
  readonly places: PassedPlaces;
}

/** The greatest known place at or before the offset. */
export function placeAtOffset(
  context: TopicContext,
  request: PlaceRequest & { offset: number },
): SegmentPlace {
  const passed = greatestPassed(request, ({ offset }) => offset <= request.offset);
  return nearer(request, lookupOffset(context, request), passed);
}

/** The greatest known place whose frame carries a timestamp before `timestamp`. */
export function placeBeforeTime(
  context: TopicContext,
  request: PlaceRequest & { timestamp: number },
): SegmentPlace {
  const passed = greatestPassed(request, (place) => timestampAt(request, place) < request.timestamp);
  return nearer(request, lookupTime(context, request), passed);
}

/** The greatest known place: close to the end of the segment once somebody has been there. */
export function lastPlace(context: TopicContext, request: PlaceRequest): SegmentPlace {
  const passed = greatestPassed(request, () => true);
  return nearer(request, lastIndexedPlace(context, request), passed);
}

/** Of those where a frame can stand: the end of a segment is a place that was come by, too. */
function greatestPassed(
  request: PlaceRequest,
  isAtMost: (place: SegmentPlace) => boolean,
): SegmentPlace | undefined {
  const canHoldFrame = ({ position }: SegmentPlace): boolean => position < request.endPosition;
  return request.places.greatest(request, (place) => canHoldFrame(place) && isAtMost(place));
}

function nearer(
  request: PlaceRequest,
  indexed: SegmentPlace,
  passed: SegmentPlace | undefined,
): SegmentPlace {
  const isNearer = passed !== undefined && passed.offset > indexed.offset && isFrameAt(request, passed);
  return isNearer ? passed : indexed;
}
