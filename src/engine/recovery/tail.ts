/**
 * What has to be right before anything below the mark can be repaired, under the lock: the mark itself, and what lies
 * behind it. Good frames there are adopted, holes become gaps, an unfinished end is cut, as settling does; all that is
 * replaced or cut is in quarantine first.
 */
import { HIGH_WATERMARK_FILE } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { FastQueueError } from '../errors.ts';
import { scanFrames } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { isIndexSound } from '../index-rebuild.ts';
import { markFromStores } from '../mark-from-stores.ts';
import { isFailed, peekMark, writeMark } from '../mark-file.ts';
import { lastIndexedPlace } from '../offset-index.ts';
import { QuarantineRun } from '../quarantine.ts';
import { applyPlan } from './apply.ts';
import type { RegionDamage } from './damaged-region.ts';
import { planRecovery, type DamageList, type RecoveryPlan } from './plan.ts';
import { markApplied } from './runs.ts';
import { scanStore, type Hole, type StoreScan } from '../damage-scan.ts';
import { placeStore } from './segments.ts';
import { describeHole } from './segment-reading.ts';
import { settle } from '../settle.ts';
import { storePath, type TopicContext, storeBytes } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';

type Hold = Pick<LockHold, 'markFile'>;

/**
 * Writes a mark made from the stores over one that is unsound. What was there is kept.
 *
 * @returns the run that kept it
 */
export async function rebuildMark(context: TopicContext, hold: Hold): Promise<string> {
  const mark = markFromStores(context);
  const run = QuarantineRun.create(context, 'recover');
  const { sizeBytes } = hold.markFile.status();
  await run.keep(hold.markFile, HIGH_WATERMARK_FILE, { position: 0, byteCount: sizeBytes });
  await run.seal({ changes: [], created: [], renamed: [], lost: [], markBefore: mark, markLeft: mark });
  if (storeBytes(context, mark.baseOffset) === undefined)
    await placeStore(context, { baseOffset: mark.baseOffset, bytes: Buffer.alloc(0), run: run.id });
  writeMark(hold.markFile, mark);
  hold.markFile.truncate(MARK_BYTES);
  await hold.markFile.sync();
  await context.fileSystem.syncDirectory(context.directory);
  await markApplied(context, run.id);
  return run.id;
}

const MARK_BYTES = 64;

/**
 * Makes the active store end at the mark: settles, and where settling finds damage behind the mark, repairs that first.
 *
 * @returns the plan that was carried out for it and its run; undefined where settling was enough, or where acknowledged
 *   records are missing, which the plan for the rest of the log deals with
 */
export async function settleTail(
  context: TopicContext,
  hold: Hold,
): Promise<{ plan: RecoveryPlan; run: string } | undefined> {
  const mark = peekMark(hold.markFile);
  if (mark === undefined) return undefined;
  const path = storePath(context, mark.baseOffset);
  if (!isUnsettled(context, mark)) return undefined;
  const store = context.fileSystem.open(path, 'update');
  try {
    const isTail = !areFramesMoved(context, mark, store);
    if (isTail && (await trySettle(context, hold, { mark, store }))) return undefined;
    const { damage, end } = listTail(context, mark, store);
    const plan = planRecovery(damage);
    const { run } = await applyPlan(context, hold, plan, endAfter(plan, end));
    const repaired = peekMark(hold.markFile) as HighWatermark;
    if (repaired.position !== store.status().sizeBytes || isFailed(repaired))
      await settle({ context, markFile: hold.markFile, store, mark: repaired });
    return { plan, run };
  } finally {
    store.close();
  }
}

/** Where the log ends once the plan was carried out. */
function endAfter(plan: RecoveryPlan, end: LogEnd): LogEnd {
  const last = plan.regions.at(-1);
  return last === undefined || last.endPosition < end.position
    ? end
    : { ...end, position: last.position + last.layout.byteCount };
}

/**
 * Whether a frame ends where the mark says, at its offset. Bytes that came in between before it, or went, move every
 * frame behind them: what lies behind the mark then is no tail, and must not be cut for one.
 */
function endsAtMark(context: TopicContext, mark: HighWatermark, store: FileHandle): boolean {
  const request = { store, baseOffset: mark.baseOffset, endPosition: mark.position, useMap: false };
  const place = lastIndexedPlace(context, request);
  const scan = scanFrames({
    file: store,
    kernel: context.kernel,
    ...place,
    endPosition: mark.position,
    minTimestamp: -Infinity,
  });
  return scan.stop === 'end' && scan.nextOffset === mark.nextOffset;
}

/** The same, for a store that is longer than the mark says. What a failed sync has left is never believed, moved or not. */
const areFramesMoved = (context: TopicContext, mark: HighWatermark, store: FileHandle): boolean =>
  !isFailed(mark) && !endsAtMark(context, mark, store);

/** What settleTail would repair, seen without the lock. */
export interface TailPreview {
  readonly damage: DamageList;
  /** True where it is all of the active store, whose frames were moved: what lies below the mark is not to be listed again. */
  readonly isWhole: boolean;
  /** False where the index of the active store contradicts what is not damaged there. */
  readonly isIndexSound: boolean;
}

/** Undefined where nothing behind the mark is looked at. */
export function previewTail(context: TopicContext, mark: HighWatermark): TailPreview | undefined {
  if (isFailed(mark) || (storeBytes(context, mark.baseOffset) ?? 0) <= mark.position) return undefined;
  const store = context.fileSystem.open(storePath(context, mark.baseOffset), 'read');
  try {
    const { damage } = listTail(context, mark, store);
    const { regions } = damage;
    const segment = { store, baseOffset: mark.baseOffset, storeBytes: Infinity, regions };
    return {
      damage,
      isWhole: areFramesMoved(context, mark, store),
      isIndexSound: isIndexSound(context, segment),
    };
  } finally {
    store.close();
  }
}

/** What is damaged in an active store whose frames were moved, past the mark too. Undefined where that is not so. */
export function listMovedFrames(context: TopicContext, mark: HighWatermark): DamageList | undefined {
  const tail = previewTail(context, mark);
  return tail?.isWhole === true ? tail.damage : undefined;
}

/** True where the active store is longer than the mark says, a write failed, or a segment lies behind a stale mark. */
function isUnsettled(context: TopicContext, mark: HighWatermark): boolean {
  const size = storeBytes(context, mark.baseOffset);
  if (size === undefined || size < mark.position) return false;
  const hasLater = mark.nextOffset > mark.baseOffset && (storeBytes(context, mark.nextOffset) ?? 0) > 0;
  return size > mark.position || isFailed(mark) || hasLater;
}

/** False where settling met damage. */
async function trySettle(
  context: TopicContext,
  hold: Hold,
  log: { mark: HighWatermark; store: FileHandle },
): Promise<boolean> {
  try {
    await settle({ context, markFile: hold.markFile, ...log });
    return true;
  } catch (error) {
    if (error instanceof FastQueueError && error.code === 'damaged') return false;
    throw error;
  }
}

/** Where a log ends: its next offset, the byte, and the time of its last record. */
export interface LogEnd {
  readonly nextOffset: number;
  readonly position: number;
  readonly timestamp: number;
}

/**
 * Damage behind the mark in the active store (in all of it, where no frame ends at the mark), seen with the lock or, for
 * `--dry-run`, without.
 */
export function listTail(
  context: TopicContext,
  mark: HighWatermark,
  store: FileHandle,
): { damage: DamageList; end: LogEnd } {
  const storeBytes = store.status().sizeBytes;
  const { baseOffset } = mark;
  const isBehind = endsAtMark(context, mark, store);
  const scan = scanStore(context, {
    store,
    baseOffset,
    position: isBehind ? mark.position : 0,
    offset: isBehind ? mark.nextOffset : baseOffset,
    endPosition: storeBytes,
    endOffset: undefined,
    likelyEndOffset: isBehind ? undefined : mark.nextOffset,
    minTimestamp: isBehind && mark.position > 0 ? mark.timestamp : -Infinity,
  });
  const holes = [...scan.holes];
  const isShort = scan.nextOffset < mark.nextOffset;
  if (isShort) holes.push(holeAtEnd(scan, { storeBytes, nextOffset: mark.nextOffset }));
  const segment = { baseOffset, isActive: true };
  const log = {
    scope: 'tail' as const,
    offset: mark.startOffset,
    nextOffset: Math.max(scan.nextOffset, mark.nextOffset),
  };
  const request = { store, segment, lastTimestamp: mark.timestamp, storeBytes, log };
  const damage: DamageList = {
    topic: context.topic,
    generation: mark.generation,
    regions: holes.map((hole) => describeTail(hole, request)),
    missingSegments: [],
    indexes: [],
    isSettingsUnsound: false,
  };
  const end: LogEnd = {
    nextOffset: Math.max(scan.nextOffset, mark.nextOffset),
    position: isShort ? storeBytes : scan.goodEndPosition,
    timestamp: scan.lastTimestamp ?? mark.timestamp,
  };
  const fits = planRecovery(damage).regions.every(({ method }) => method !== 'rewritten');
  return { damage: fits ? damage : { ...damage, regions: [wholeTail(scan, holes, request)] }, end };
}

function holeAtEnd(scan: StoreScan, end: { storeBytes: number; nextOffset: number }): Hole {
  return {
    position: scan.goodEndPosition,
    endPosition: end.storeBytes,
    offset: scan.nextOffset,
    nextOffset: end.nextOffset,
    timestampBefore: scan.lastTimestamp,
    timestampAfter: undefined,
  };
}

interface TailRequest {
  readonly store: FileHandle;
  readonly segment: { readonly baseOffset: number; readonly isActive: boolean };
  /** What a gap is stamped with where no frame says. */
  readonly lastTimestamp: number;
  readonly storeBytes: number;
  readonly log: { readonly scope: 'tail'; readonly offset: number; readonly nextOffset: number };
}

function describeTail(hole: Hole, request: TailRequest): RegionDamage {
  const found = describeHole(hole, { ...request, isEnd: false, tryBitFlip: false });
  return { ...found, timestamp: found.timestamp ?? request.lastTimestamp };
}

/** One region from the first hole to the end: runs of good frames move up a little to make room for their gaps. */
function wholeTail(scan: StoreScan, holes: readonly Hole[], request: TailRequest): RegionDamage {
  const [first, last] = [holes[0] as Hole, holes.at(-1) as Hole];
  const nextOffset = Math.max(last.nextOffset, scan.nextOffset);
  const hole = { ...first, endPosition: request.storeBytes, nextOffset };
  const described = describeTail(hole, request);
  const moved = scan.runs.filter(({ position }) => position >= hole.position);
  return {
    ...described,
    moved,
    exchange: undefined,
    code: last.nextOffset === first.offset ? 'foreign_bytes' : 'bad_length',
  };
}
