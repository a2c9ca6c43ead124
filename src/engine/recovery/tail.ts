/**
 * What has to be right before anything below the mark can be repaired, under the lock: the mark itself, and what lies
 * behind it. Good frames there are adopted, holes become gaps, an unfinished end is cut, as settling does; all that is
 * replaced or cut is in quarantine first. Where the frames of the active store were moved, so that what lies behind the
 * mark is no tail, nothing is done here: past-mark.ts.
 */
import { HIGH_WATERMARK_FILE } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { FastQueueError } from '../errors.ts';
import type { FileHandle } from '../io/file-system.ts';
import { markFromStores } from '../mark-from-stores.ts';
import { isFailed, peekMark, writeMark } from '../mark-file.ts';
import { QuarantineRun } from '../quarantine.ts';
import { applyPlan } from './apply.ts';
import type { RegionDamage } from './damaged-region.ts';
import { findMisnamed } from './misnamed-stores.ts';
import { pastMarkOf } from './past-mark.ts';
import { planRecovery, type DamageList, type RecoveryPlan } from './plan.ts';
import { seenRenamed } from './renamed-view.ts';
import { markApplied } from './runs.ts';
import { scanStore, type Hole, type StoreScan } from '../damage-scan.ts';
import { placeStore } from './segments.ts';
import { describeHole } from './segment-reading.ts';
import { scanBehind, seenCut, settle, type TailCut } from '../settle.ts';
import { areFramesMoved } from '../store-end.ts';
import { storePath, type TopicContext, storeBytes } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';

type Hold = Pick<LockHold, 'markFile'>;

/**
 * Writes a mark made from the stores over one that is unsound. What was there is kept.
 *
 * @returns the run that kept it
 */
export async function rebuildMark(context: TopicContext, hold: Hold): Promise<string> {
  // Stores that bear another's name get their own right behind this.
  const seen = seenRenamed(context, findMisnamed(context));
  const mark = markFromStores(seen);
  const run = QuarantineRun.create(context, 'recover');
  const { sizeBytes } = hold.markFile.status();
  await run.keep(hold.markFile, HIGH_WATERMARK_FILE, { position: 0, byteCount: sizeBytes });
  await run.seal({ changes: [], created: [], renamed: [], lost: [], markBefore: mark, markLeft: mark });
  if (storeBytes(seen, mark.baseOffset) === undefined)
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
 * @returns the plan that was carried out for it and its run; undefined where settling was enough, where acknowledged
 *   records are missing, or where frames were moved: with these the plan for the rest of the log deals
 */
export async function settleTail(
  context: TopicContext,
  hold: Hold,
  options: TailOptions,
): Promise<{ plan: RecoveryPlan; run: string } | undefined> {
  const mark = peekMark(hold.markFile);
  if (mark === undefined || !isUnsettled(context, mark) || areFramesMoved(context, mark)) return undefined;
  const store = context.fileSystem.open(storePath(context, mark.baseOffset), 'update');
  try {
    if (await trySettle(context, hold, { mark, store })) return undefined;
    const plan = planRecovery(listTail(context, mark, { ...options, store }));
    const { run } = await applyPlan(context, hold, plan);
    return { plan, run };
  } finally {
    store.close();
  }
}

export interface TailOptions {
  /** Look for a single flipped bit in frames that do not check out. */
  readonly tryBitFlip: boolean;
}

/** What settleTail would do, seen without the lock: what it would cut, or repair where settling is not enough. */
export interface TailPreview {
  readonly cut: TailCut | undefined;
  readonly damage: DamageList | undefined;
}

export function previewTail(context: TopicContext, mark: HighWatermark, options: TailOptions): TailPreview {
  const nothing = { cut: undefined, damage: undefined };
  if (!isUnsettled(context, mark) || areFramesMoved(context, mark)) return nothing;
  const store = context.fileSystem.open(storePath(context, mark.baseOffset), 'read');
  try {
    if (isFailed(mark) || scanBehind(context, mark, store).ending !== 'damaged')
      return { ...nothing, cut: seenCut(context, mark) };
    return { ...nothing, damage: listTail(context, mark, { ...options, store }) };
  } finally {
    store.close();
  }
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

/** Damage behind the mark in the active store, seen with the lock or, for `--dry-run`, without. */
function listTail(
  context: TopicContext,
  mark: HighWatermark,
  options: TailOptions & { store: FileHandle },
): DamageList {
  const { store, tryBitFlip } = options;
  const storeBytes = store.status().sizeBytes;
  const { baseOffset, startOffset } = mark;
  const scan = scanStore(context, {
    store,
    baseOffset,
    position: mark.position,
    offset: mark.nextOffset,
    endPosition: storeBytes,
    endOffset: undefined,
    minTimestamp: mark.position > 0 ? mark.timestamp : -Infinity,
  });
  const holes =
    scan.goodEndPosition < storeBytes ? [...scan.holes, restBehind(scan, storeBytes)] : scan.holes;
  const segment = { baseOffset, isActive: true };
  const log = { offset: startOffset, nextOffset: scan.nextOffset };
  const found = holes.flatMap((hole) => describeHole(hole, { store, segment, storeBytes, tryBitFlip, log }));
  const regions = found.map((region): RegionDamage => ({
    ...region,
    timestamp: region.timestamp ?? mark.timestamp,
  }));
  return {
    topic: context.topic,
    generation: mark.generation,
    startOffset: mark.startOffset,
    regions,
    missingSegments: [],
    indexes: [],
    isSettingsUnsound: false,
    tryBitFlip,
    pastMark: pastMarkOf(scan, { mark, storeBytes, isMoved: false }),
  };
}

/** What a dead writer may have left behind the last good frame: no offset of it was ever given away. */
function restBehind(scan: StoreScan, storeBytes: number): Hole {
  const { goodEndPosition, nextOffset, lastTimestamp } = scan;
  return {
    position: goodEndPosition,
    endPosition: storeBytes,
    offset: nextOffset,
    nextOffset,
    timestampBefore: lastTimestamp,
    timestampAfter: undefined,
  };
}
