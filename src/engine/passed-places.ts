/**
 * Frame boundaries that readers of one opened topic have come by, in memory: what a reader has instead of an index that
 * is missing or damaged, so that it scans a segment once and not for every lookup. Evidence of nothing, as an index: a
 * place is looked at again before it is used. Holds for one generation.
 */
import type { SegmentPlace } from './offset-index.ts';

/** Places of one segment at the most; then every second one goes, and twice as many bytes lie between two. */
const MAX_PLACES = 1024;

/** Bytes between two places at the least. */
const MIN_INTERVAL_BYTES = 64 * 1024;

/** Segments at the most: about two megabytes in all. The one that was noted first goes first. */
const MAX_SEGMENTS = 64;

interface SegmentPlaces {
  /** Ascending. */
  places: SegmentPlace[];
  intervalBytes: number;
}

export class PassedPlaces {
  readonly #segments = new Map<number, SegmentPlaces>();
  #generation: number | undefined;

  /** The reader stands at a frame boundary: everything up to it was good, or was told. Not called on every record. */
  note(segment: { generation: number; baseOffset: number }, place: SegmentPlace): void {
    if (segment.generation !== this.#generation) {
      this.#segments.clear();
      this.#generation = segment.generation;
    }
    const passed = this.#segments.get(segment.baseOffset) ?? this.#begin(segment.baseOffset);
    const { places, intervalBytes } = passed;
    const before = lastNumber(places, ({ offset }) => offset <= place.offset);
    const beforePosition = places[before]?.position ?? 0;
    const afterPosition = places[before + 1]?.position ?? Infinity;
    if (place.position - beforePosition < intervalBytes || afterPosition - place.position < intervalBytes)
      return;
    places.splice(before + 1, 0, { offset: place.offset, position: place.position });
    if (places.length < MAX_PLACES) return;
    passed.places = places.filter((_, number) => number % 2 === 1);
    passed.intervalBytes *= 2;
  }

  /**
   * The greatest place of this generation that is not too great.
   *
   * @param isAtMost holds of the first places of a segment and not of those behind them
   */
  greatest(
    segment: { generation: number; baseOffset: number },
    isAtMost: (place: SegmentPlace) => boolean,
  ): SegmentPlace | undefined {
    if (segment.generation !== this.#generation) return undefined;
    const places = this.#segments.get(segment.baseOffset)?.places ?? [];
    return places[lastNumber(places, isAtMost)];
  }

  #begin(baseOffset: number): SegmentPlaces {
    const [first] = this.#segments.keys();
    if (this.#segments.size >= MAX_SEGMENTS && first !== undefined) this.#segments.delete(first);
    const passed = { places: [], intervalBytes: MIN_INTERVAL_BYTES };
    this.#segments.set(baseOffset, passed);
    return passed;
  }
}

/** Number of the last place that is not too great, -1 where there is none. */
function lastNumber(places: readonly SegmentPlace[], isAtMost: (place: SegmentPlace) => boolean): number {
  let low = 0;
  let high = places.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    if (isAtMost(places[middle] as SegmentPlace)) low = middle + 1;
    else high = middle - 1;
  }
  return high;
}
