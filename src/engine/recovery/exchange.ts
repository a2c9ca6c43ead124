/**
 * Frames that stand in each other's places, good frames in between: which go where. A frame goes back only to a region
 * where the offset that it checks out at is missing, and only if times do not go back with it. Pure.
 */
import { isInOrder, type MovedFrame, type StandingFrame } from '../damage-scan.ts';
import type { RegionDamage, RegionPlace } from './damaged-region.ts';

/** A region, with the frames that come into it among `moved`. */
export interface ExchangedRegion extends RegionDamage {
  /** True where frames of it go to other regions, or come from there: such regions are repaired together or not at all. */
  readonly isExchanged: boolean;
  /** Frames here that go to other regions. */
  readonly givenCount: number;
}

interface Stray extends StandingFrame {
  readonly source: RegionPlace;
}

/**
 * A damaged frame checks out at any given offset once in 2^32. Where as many do not check out, and as many offsets are
 * missing, that one of them is likely to fit somewhere by accident (once in 65,536 logs), none is taken.
 */
const MAX_CHANCES = 2 ** 16;

/** Decides which frames of which regions are put back into which others. */
export function exchangeFrames(regions: readonly RegionDamage[]): ExchangedRegion[] {
  const taken = new Map<RegionDamage, readonly Stray[]>();
  if (chancesOf(regions) <= MAX_CHANCES)
    for (const [region, strays] of wantedIn(regions)) taken.set(region, acceptable(region, strays));
  const given = [...taken.values()].flat();
  return regions.map((region) => {
    const coming = taken.get(region) ?? [];
    const givenCount = given.filter(({ source }) => isPlaceOf(source, region)).length;
    const code = givenCount > 0 ? 'misplaced_frames' : region.code;
    const isExchanged = givenCount > 0 || coming.length > 0;
    return { ...region, code, moved: [...region.moved, ...coming], isExchanged, givenCount };
  });
}

const isPlaceOf = (place: RegionPlace, region: RegionDamage): boolean =>
  place.baseOffset === region.baseOffset && place.position === region.position;

function chancesOf(regions: readonly RegionDamage[]): number {
  const missingCount = regions.reduce((sum, { offset, nextOffset }) => sum + nextOffset - offset, 0);
  const unexplainedCount = regions.reduce((sum, { exchange }) => sum + (exchange?.unexplainedCount ?? 0), 0);
  return missingCount * (unexplainedCount + 1);
}

/** The strays of all regions, by the region where their offsets are missing. */
function wantedIn(regions: readonly RegionDamage[]): Map<RegionDamage, Stray[]> {
  const targets = [...regions].sort((left, right) => left.offset - right.offset);
  const wanted = new Map<RegionDamage, Stray[]>();
  for (const { baseOffset, position, exchange } of regions)
    for (const frame of exchange?.strays ?? []) {
      const target = targets[lastNotAbove(targets, frame.offset)];
      if (target === undefined || frame.offset + frame.offsetCount > target.nextOffset) continue;
      const stray = { ...frame, source: { baseOffset, position } };
      wanted.set(target, [...(wanted.get(target) ?? []), stray]);
    }
  return wanted;
}

/** Number of the last region whose first missing offset is not above this one; -1 where there is none. */
function lastNotAbove(regions: readonly RegionDamage[], offset: number): number {
  let low = 0;
  let high = regions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((regions[middle] as RegionDamage).offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Those that there is no doubt about: one for its offset, and all in the order of their times. */
function acceptable(region: RegionDamage, strays: readonly Stray[]): Stray[] {
  const moved = region.exchange?.moved ?? [];
  const sole = strays.filter((stray, number) => {
    const first = strays.findIndex(({ offset }) => offset === stray.offset);
    const isOnly = strays.every((other) => other.offset !== stray.offset || isSameFrame(other, stray));
    return first === number && isOnly && moved.every((other) => !overlaps(other, stray));
  });
  const all = [...moved, ...sole].sort((left, right) => left.offset - right.offset);
  return isInOrder(all, region.exchange ?? { timestampBefore: undefined, timestampAfter: undefined })
    ? sole
    : [];
}

const isSameFrame = (left: Stray, right: Stray): boolean =>
  left.bytes === right.bytes && left.timestamp === right.timestamp && left.checksum === right.checksum;

const overlaps = (left: MovedFrame, right: StandingFrame): boolean =>
  left.offset < right.offset + right.offsetCount && right.offset < left.offset + (left.offsetCount ?? 1);
