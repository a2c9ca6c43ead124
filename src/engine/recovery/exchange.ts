/**
 * Frames that stand in each other's places, good frames in between: which go where. A frame goes back only to a region
 * where the offset that it checks out at is missing, and only if times do not go back with it. Pure.
 */
import { isInOrder, type MovedFrame, type StandingFrame } from '../damage-scan.ts';
import { mapped, type Sequence } from '../sequence.ts';
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
export function exchangeFrames(regions: Sequence<RegionDamage>): Sequence<ExchangedRegion> {
  const taken = new Map<string, readonly Stray[]>();
  const givenCounts = new Map<string, number>();
  if (chancesOf(regions) <= MAX_CHANCES) {
    for (const [region, strays] of wantedIn(regions)) {
      const coming = acceptable(region, strays);
      taken.set(keyOf(region), coming);
      for (const { source } of coming)
        givenCounts.set(keyOf(source), (givenCounts.get(keyOf(source)) ?? 0) + 1);
    }
  }
  if (taken.size === 0)
    return mapped(regions, (region) => ({ ...region, isExchanged: false, givenCount: 0 }));
  return mapped(regions, (region) => {
    const coming = taken.get(keyOf(region)) ?? [];
    const givenCount = givenCounts.get(keyOf(region)) ?? 0;
    const code = givenCount > 0 ? 'misplaced_frames' : region.code;
    const isExchanged = givenCount > 0 || coming.length > 0;
    return { ...region, code, moved: [...region.moved, ...coming], isExchanged, givenCount };
  });
}

const keyOf = ({ baseOffset, position }: RegionPlace): string => `${baseOffset} ${position}`;

function chancesOf(regions: Iterable<RegionDamage>): number {
  let [missingCount, unexplainedCount] = [0, 0];
  for (const { offset, nextOffset, exchange } of regions) {
    missingCount += nextOffset - offset;
    unexplainedCount += exchange?.unexplainedCount ?? 0;
  }
  return missingCount * (unexplainedCount + 1);
}

/** The strays of all regions, by the region where their offsets are missing. */
function wantedIn(regions: Iterable<RegionDamage>): Map<RegionDamage, Stray[]> {
  const targets: RegionDamage[] = [];
  for (const region of regions) if (region.nextOffset > region.offset) targets.push(region);
  targets.sort((left, right) => left.offset - right.offset);
  const wanted = new Map<RegionDamage, Stray[]>();
  for (const { baseOffset, position, exchange } of regions)
    for (const frame of exchange?.strays ?? []) {
      const target = targets[lastNotAbove(targets, frame.offset)];
      if (target === undefined || frame.offset + frame.offsetCount > target.nextOffset) continue;
      const stray = { ...frame, source: { baseOffset, position } };
      const others = wanted.get(target);
      if (others === undefined) wanted.set(target, [stray]);
      else others.push(stray);
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
