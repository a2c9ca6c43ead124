/**
 * The plan of a recovery: what is damaged, and what each place is to become. Pure; `--dry-run` prints it, apply.ts
 * carries it out. A plan names file, generation, position, length and checksum of all that it replaces, so that whoever
 * applies it can tell whether it still fits.
 */
import type { RegionDamage } from './damaged-region.ts';
import { exchangeFrames, type ExchangedRegion } from './exchange.ts';
import type { LogEnd, PastMark } from './past-mark.ts';
import { layOutRegion, type RegionLayout } from './regions.ts';

/** Offsets, `to` excluded. */
export interface LostOffsets {
  readonly from: number;
  readonly to: number;
}

/** A segment that is not there. */
export interface MissingSegment {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly timestamp: number;
}

export interface DamageList {
  readonly topic: string;
  /** Of the mark that all was seen under. */
  readonly generation: number;
  /** Where the log began. */
  readonly startOffset: number;
  readonly regions: readonly RegionDamage[];
  readonly missingSegments: readonly MissingSegment[];
  /** Base offsets of segments whose index is to be made again. */
  readonly indexes: readonly number[];
  readonly isSettingsUnsound: boolean;
  /** Size of the active store where no offset is missing in it and yet the mark names a later byte. */
  readonly activeEndPosition?: number | undefined;
  /** Where regions of the active store may lie beyond the mark. */
  readonly pastMark?: PastMark | undefined;
  /** Whether single flipped bits were looked for. */
  readonly tryBitFlip: boolean;
}

/**
 * `in-place`: the region keeps its length. `extended`: the store ends with it and grows. `rewritten`: it cannot keep its
 * length, so the segment is written again beside itself.
 */
export type RegionMethod = 'in-place' | 'extended' | 'rewritten';

export interface RegionRepair extends ExchangedRegion {
  readonly method: RegionMethod;
  readonly layout: RegionLayout;
}

export interface RecoveryPlan extends DamageList {
  /** By segment, then by position. */
  readonly regions: readonly RegionRepair[];
  /** Offsets that will have no record, ascending. */
  readonly lost: readonly LostOffsets[];
  /** Where the log ends afterwards, if that is not where the mark says. */
  readonly end?: LogEnd | undefined;
}

/** Decides what becomes of each place. */
export function planRecovery(damage: DamageList): RecoveryPlan {
  const { pastMark } = damage;
  const regions = exchangeFrames(damage.regions)
    .map(planRegion)
    .sort((left, right) => left.baseOffset - right.baseOffset || left.position - right.position);
  const lost = [
    ...regions.flatMap((region) => region.layout.lost),
    ...damage.missingSegments.map(({ baseOffset, nextOffset }) => ({ from: baseOffset, to: nextOffset })),
  ];
  const end = pastMark === undefined ? undefined : endAfter(regions, pastMark);
  return { ...damage, regions, lost: joinRanges(lost), end };
}

/** The store ends with its last region, or with a good frame. */
function endAfter(regions: readonly RegionRepair[], { baseOffset, storeBytes, end }: PastMark): LogEnd {
  const own = regions.filter((region) => region.baseOffset === baseOffset);
  // Times must not go back behind what was put there.
  const times = own.flatMap(({ moved }) => moved.map((frame) => frame.timestamp ?? -Infinity));
  const last = own.at(-1);
  return {
    ...end,
    timestamp: Math.max(end.timestamp, ...times),
    position: last?.endPosition === storeBytes ? last.position + last.layout.byteCount : storeBytes,
  };
}

/**
 * What is left of it once retention has taken whole segments from the beginning of the log.
 *
 * @param startOffset where the log begins now
 */
export function damageFrom(damage: DamageList, startOffset: number): DamageList {
  const isLeft = (baseOffset: number): boolean => baseOffset >= startOffset;
  return {
    ...damage,
    startOffset,
    regions: damage.regions.filter(({ baseOffset }) => isLeft(baseOffset)),
    missingSegments: damage.missingSegments.filter(({ baseOffset }) => isLeft(baseOffset)),
    indexes: damage.indexes.filter(isLeft),
  };
}

/** True where there is nothing to do. */
export function isEmptyPlan(plan: RecoveryPlan): boolean {
  const isElse = plan.isSettingsUnsound || plan.activeEndPosition !== undefined;
  return !changesStores(plan) && plan.indexes.length === 0 && !isElse;
}

/** True where a store is patched, made, moved or replaced, or gets another end. */
export function changesStores(plan: RecoveryPlan): boolean {
  return plan.regions.length + plan.missingSegments.length > 0 || plan.end !== undefined;
}

function planRegion(found: ExchangedRegion): RegionRepair {
  // A frame that is right at another offset, every bit of it, is that one: no bit of it was flipped.
  const region = found.isExchanged ? { ...found, flip: undefined } : found;
  const byteCount = region.endPosition - region.position;
  if (region.flip !== undefined) {
    const at = region.flip.position - region.position;
    const part = { type: 'byte', at, byteCount: 1, value: region.flip.value } as const;
    return { ...region, method: 'in-place', layout: { parts: [part], byteCount, lost: [] } };
  }
  const mayGrow = region.endPosition === region.storeBytes;
  const layout = layOutRegion({ ...region, byteCount, mayGrow });
  return {
    ...region,
    layout,
    method: methodOf({ byteCount, mayGrow, layout, isExchanged: region.isExchanged }),
  };
}

/**
 * A store that frames are exchanged in is only made longer by being rewritten: a writer may append as soon as it is longer,
 * and what was exchanged with it could no longer be put back.
 */
function methodOf(region: {
  byteCount: number;
  mayGrow: boolean;
  isExchanged: boolean;
  layout: RegionLayout;
}): RegionMethod {
  const { byteCount, layout, mayGrow, isExchanged } = region;
  if (layout.byteCount === byteCount) return 'in-place';
  return mayGrow && !isExchanged && layout.byteCount > byteCount ? 'extended' : 'rewritten';
}

/** Ascending, neighbours joined. */
export function joinRanges(ranges: readonly LostOffsets[]): LostOffsets[] {
  const joined: { from: number; to: number }[] = [];
  for (const range of [...ranges].sort((left, right) => left.from - right.from)) {
    const last = joined.at(-1);
    if (last !== undefined && range.from <= last.to) last.to = Math.max(last.to, range.to);
    else if (range.to > range.from) joined.push({ ...range });
  }
  return joined;
}
