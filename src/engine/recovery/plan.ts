/**
 * The plan of a recovery: what is damaged, and what each place is to become. Pure; `--dry-run` prints it, apply.ts
 * carries it out. A plan names file, generation, position, length and checksum of all that it replaces, so that whoever
 * applies it can tell whether it still fits.
 */
import type { RegionDamage } from './damaged-region.ts';
import { exchangeFrames, type ExchangedRegion } from './exchange.ts';
import type { LogEnd, PastMark } from './past-mark.ts';
import { layOutRegion, type RegionLayout } from './regions.ts';
import { addRow, numberAt, numberRows, type NumberRows } from '../number-rows.ts';
import { filtered, mapped, sequence, type Sequence } from '../sequence.ts';

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
  /** By segment, then by position. */
  readonly regions: Sequence<RegionDamage>;
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
  readonly regions: Sequence<RegionRepair>;
  /** Offsets that will have no record, ascending. */
  readonly lost: Sequence<LostOffsets>;
  /** Where the log ends afterwards, if that is not where the mark says. */
  readonly end?: LogEnd | undefined;
}

/** Decides what becomes of each place. */
export function planRecovery(damage: DamageList): RecoveryPlan {
  const { pastMark } = damage;
  const regions = mapped(exchangeFrames(damage.regions), planRegion);
  const lost = joinRanges(lostWith(regions, damage.missingSegments));
  const end = pastMark === undefined ? undefined : endAfter(regions, pastMark);
  return { ...damage, regions, lost, end };
}

function* lostWith(
  regions: Iterable<RegionRepair>,
  missingSegments: readonly MissingSegment[],
): Generator<LostOffsets, void, undefined> {
  for (const { layout } of regions) yield* layout.lost;
  for (const { baseOffset, nextOffset } of missingSegments) yield { from: baseOffset, to: nextOffset };
}

/** The store ends with its last region, or with a good frame. */
function endAfter(regions: Sequence<RegionRepair>, { baseOffset, storeBytes, end }: PastMark): LogEnd {
  let { timestamp } = end;
  let last: RegionRepair | undefined;
  for (const region of regions) {
    if (region.baseOffset !== baseOffset) continue;
    // Times must not go back behind what was put there.
    for (const frame of region.moved) timestamp = Math.max(timestamp, frame.timestamp ?? -Infinity);
    last = region;
  }
  return {
    ...end,
    timestamp,
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
    regions: filtered(damage.regions, ({ baseOffset }) => isLeft(baseOffset)),
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
export function joinRanges(ranges: Iterable<LostOffsets>): Sequence<LostOffsets> {
  const rows = numberRows(2);
  let last: { from: number; to: number } | undefined;
  let isAscending = true;
  for (const { from, to } of ranges) {
    if (to <= from) continue;
    if (last !== undefined && from >= last.from && from <= last.to) {
      last.to = Math.max(last.to, to);
      continue;
    }
    isAscending &&= last === undefined || from > last.from;
    if (last !== undefined) addRow(rows, [last.from, last.to]);
    last = { from, to };
  }
  if (last !== undefined) addRow(rows, [last.from, last.to]);
  const joined = sequence(rows.length, () => rangesIn(rows));
  return isAscending ? joined : joinRanges([...joined].sort((left, right) => left.from - right.from));
}

function* rangesIn(rows: NumberRows): Generator<LostOffsets, void, undefined> {
  for (let row = 0; row < rows.length; row++)
    yield { from: numberAt(rows, row, 0) as number, to: numberAt(rows, row, 1) as number };
}
