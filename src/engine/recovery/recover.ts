/**
 * `recover`: list → plan → apply, for one topic. A dry run stops after the plan. Everything that changes the disk happens
 * under the topic's lock; the long part, reading the log, without.
 *
 *     lock: what killed runs left half done, the mark, what lies behind it   → list, plan (no lock)   → lock: apply
 */
import { randomUUID } from 'node:crypto';
import { dirname, join, relative } from 'node:path';
import { FastQueueError } from '../errors.ts';
import { FRAME_HEADER_BYTES } from '../format/frame.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { isDeleted, isFailed, markUnsound, peekMark, refuseNewer, writeMark } from '../mark-file.ts';
import { applyPlan } from './apply.ts';
import { rebuildIndex } from '../index-rebuild.ts';
import { listDamage } from './damage-list.ts';
import {
  changesStores,
  damageFrom,
  isEmptyPlan,
  joinRanges,
  planRecovery,
  type DamageList,
  type LostOffsets,
  type RecoveryPlan,
} from './plan.ts';
import { copyTarget, copyTopic, type UnreadableRange } from './salvage.ts';
import { withRecoveryLock } from './lock.ts';
import {
  cutRepair,
  describePlan,
  markRepair,
  renameRepair,
  takenBackRepair,
  untoldRepair,
  type RepairReport,
} from './report.ts';
import { findMisnamed, renameStores } from './misnamed-stores.ts';
import { seenRenamed } from './renamed-view.ts';
import {
  findRun,
  isRecoverManifest,
  listRuns,
  markTold,
  purgeRun,
  runPath,
  type RecoveryRun,
} from './runs.ts';
import { markOfLastSegment } from '../later-stores.ts';
import { markFromStores } from '../mark-from-stores.ts';
import { previewTail, rebuildMark, settleTail } from './tail.ts';
import { halfExchanged, halfRecovered, isUntold, rollBackInterrupted, untoldOf } from './interrupted-runs.ts';
import { syncRun, undoRun, type UndoReport } from './undo.ts';
import { openSegmentReaders } from './segment-readers.ts';
import { filtered, joined, mapped, type Sequence } from '../sequence.ts';
import { makeUnderWay } from './unfinished-copy.ts';
import { seenMark, untilStill } from './until-still.ts';
import { DEFAULT_TOPIC_SETTINGS } from '../settings.ts';
import { seenCut, type TailCut } from '../settle.ts';
import { topicNotFound, type TopicContext, storeBytes, storePath } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';
import { readTopicSettings, settingsForNewTopic, writeTopicSettings } from '../topic-settings.ts';

export interface RecoverOptions {
  readonly dryRun: boolean;
  readonly tryBitFlip: boolean;
  readonly lockTimeoutMs: number;
  /** Repair a copy in this data directory and only read the topic itself. */
  readonly out?: string | undefined;
  /** With `out`: take sectors that cannot be read as damage. */
  readonly unreadableAsDamage?: boolean;
  /** Told how many bytes of stores were read since it was told last. */
  readonly onBytes?: (byteCount: number) => void;
  /** How many threads read; default: this one. */
  readonly jobs?: number | undefined;
}

export interface RecoverReport {
  readonly topic: string;
  readonly dryRun: boolean;
  readonly repairs: Sequence<RepairReport>;
  /** Offsets that have no record any more, ascending. */
  readonly lost: Sequence<LostOffsets>;
  /** Where the repaired copy is, if that was asked for. */
  readonly out?: string;
  /** Runs in quarantine, in the order they were made, with the path of each. */
  readonly runs: readonly { readonly run: string; readonly path: string }[];
}

/**
 * Repairs one topic, or says how it would be repaired.
 *
 * @throws FastQueueError `condition_failed` when the log changed between plan and repair; `locked`; `topic_not_found`;
 *   `newer_format`; disk errors as themselves, which are never repaired in place
 */
export async function recoverTopic(context: TopicContext, options: RecoverOptions): Promise<RecoverReport> {
  if (options.dryRun) return previewRecovery(context, options);
  return options.out === undefined ? repair(context, options) : salvage(context, options, options.out);
}

async function salvage(context: TopicContext, options: RecoverOptions, out: string): Promise<RecoverReport> {
  const target = copyTarget(context, out);
  return makeUnderWay(target, async (copy) => {
    const unreadable = await copyTopic(context, copy, {
      unreadableAsDamage: options.unreadableAsDamage === true,
      onBytes: options.onBytes ?? (() => undefined),
    });
    // What a failed sync has left is not copied.
    const mark = seenMark(context);
    const cut = mark !== undefined && isFailed(mark) ? seenCut(context, mark) : undefined;
    const report = await repair(copy, options);
    // The indexes are not copied: that the copy's were made is no repair of anything.
    const repairs = filtered(report.repairs, ({ code }) => code !== 'index_unsound');
    const placed = <T extends { readonly path: string }>(one: T): T => ({
      ...one,
      path: join(target.directory, relative(copy.directory, one.path)),
    });
    return {
      ...report,
      repairs: joined([
        unreadable.map(unreadableRepair),
        mapped(joined([cutRepairs(copy, cut), repairs]), placed),
      ]),
      runs: report.runs.map(placed),
      out: target.directory,
    };
  });
}

const unreadableRepair = ({ path, position, bytes }: UnreadableRange): RepairReport => ({
  code: 'io_error',
  path,
  position,
  bytes,
  repair: 'could not be read, and was taken as zeros',
  lost: [],
});

async function repair(context: TopicContext, options: RecoverOptions): Promise<RecoverReport> {
  const { lockTimeoutMs } = options;
  const before = await withRecoveryLock(context, lockTimeoutMs, (hold) => prepare(context, hold, options));
  const damage = await listStill(context, before.mark, options);
  const seen = planRecovery(damage);
  const { plan, runs } = isEmptyPlan(seen)
    ? { plan: seen, runs: [] }
    : await withRecoveryLock(context, lockTimeoutMs, (hold) => mend(context, hold, damage));
  await noteTold(context, lockTimeoutMs, before.interrupted);
  return {
    topic: context.topic,
    dryRun: false,
    repairs: joined([before.repairs, describePlan(context, plan)]),
    lost: joinRanges(joined([before.lost, plan.lost])),
    runs: [...before.runs, ...runs].map((run) => ({ run, path: runPath(context, run) })),
  };
}

/** Where that cannot be noted, the next recover tells of them once more. */
async function noteTold(
  context: TopicContext,
  lockTimeoutMs: number,
  interrupted: readonly RecoveryRun[],
): Promise<void> {
  if (interrupted.length === 0) return;
  try {
    await withRecoveryLock(context, lockTimeoutMs, async () => {
      for (const { run } of interrupted) await markTold(context, run);
    });
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
  }
}

interface Prepared {
  readonly mark: HighWatermark;
  readonly repairs: readonly RepairReport[];
  readonly lost: Sequence<LostOffsets>;
  readonly runs: readonly string[];
  /** Told of by this recover, which is noted once the rest of the log is repaired. */
  readonly interrupted: readonly RecoveryRun[];
}

/** Under the lock: whatever stands in the way of reading the log up to its mark. */
async function prepare(context: TopicContext, hold: LockHold, options: RecoverOptions): Promise<Prepared> {
  const repairs: RepairReport[] = [];
  const runsBefore = listRuns(context);
  const known = new Set(runsBefore.map(({ run }) => run));
  const found = peekMark(hold.markFile);
  if (found !== undefined && isDeleted(refuseNewer(context, found))) throw topicNotFound(context);
  if (found === undefined) {
    await rebuildMark(context, hold);
    repairs.push(markRepair(context));
  }
  const takenBack = await rollBackInterrupted(context, hold, runsBefore);
  repairs.push(...takenBack.map(takenBackRepair));
  const interrupted = runsBefore.filter(isUntold);
  const untold = untoldOf(context, interrupted);
  repairs.push(...untold.map(untoldRepair));
  const misnamed = findMisnamed(context);
  if (misnamed.length > 0) await renameStores(context, hold, misnamed);
  repairs.push(...misnamed.map((store) => renameRepair(context, store)));
  await moveToLastSegment(context, hold);
  const tail = await settleTail(context, hold, options);
  if (tail !== undefined) repairs.push(...describePlan(context, tail.plan));
  const mark = peekMark(hold.markFile) as HighWatermark;
  const runs = listRuns(context).filter(({ run }) => !known.has(run));
  repairs.push(...keptCuts(context, runs));
  return {
    mark,
    repairs,
    lost: joined([untold.flatMap(({ lost }) => lost), tail?.plan.lost ?? []]),
    runs: [...untold.map(({ run }) => run), ...runs].map(({ run }) => run),
    interrupted,
  };
}

/** An old mark, put back from a copy, say: what lies behind the segment that it names is part of the log. */
async function moveToLastSegment(context: TopicContext, hold: LockHold): Promise<void> {
  const mark = peekMark(hold.markFile) as HighWatermark;
  const moved = markOfLastSegment(context, mark);
  if (moved === mark) return;
  writeMark(hold.markFile, { ...moved, generation: mark.generation + 1 });
  await hold.markFile.datasync();
}

function activeBytes(context: TopicContext, hold: LockHold): number {
  const mark = peekMark(hold.markFile) as HighWatermark;
  return storeBytes(context, mark.baseOffset) ?? 0;
}

function cutRepairs(context: TopicContext, cut: TailCut | undefined): RepairReport[] {
  return cut === undefined ? [] : [cutRepair({ ...cut, path: storePath(context, cut.baseOffset) })];
}

function keptCuts(context: TopicContext, runs: readonly RecoveryRun[]): RepairReport[] {
  const cuts = runs.filter(({ manifest }) => manifest !== undefined && manifest.reason !== 'recover');
  const regions = cuts.flatMap(({ manifest }) => manifest?.regions ?? []);
  return regions.map((region) => cutRepair({ ...region, path: join(context.directory, region.file) }));
}

/** Under the lock: plans what is still part of the log, and carries that out. */
async function mend(
  context: TopicContext,
  hold: LockHold,
  damage: DamageList,
): Promise<{ plan: RecoveryPlan; runs: readonly string[] }> {
  const mark = peekMark(hold.markFile);
  if (mark === undefined) throw markUnsound(context);
  const plan = planRecovery(damageFrom(damage, mark.startOffset));
  return { plan, runs: await apply(context, hold, plan) };
}

/** Under the lock: the plan, then topic.json. Returns the runs that were made. */
async function apply(context: TopicContext, hold: LockHold, plan: RecoveryPlan): Promise<string[]> {
  const runs: string[] = [];
  const indexes = new Set(plan.indexes);
  if (changesStores(plan)) {
    const { run, changes, created } = await applyPlan(context, hold, plan);
    runs.push(run);
    // Their indexes went with the old stores, or never were: a store that was too short for a frame needed none.
    for (const { method, baseOffset, position, byteCount } of changes)
      if (method === 'rewritten' || position + byteCount < FRAME_HEADER_BYTES) indexes.add(baseOffset);
    for (const { baseOffset } of created) indexes.add(baseOffset);
  }
  if (plan.activeEndPosition !== undefined) await moveMark(context, hold, plan.activeEndPosition);
  if (indexes.size > 0) await rebuildIndexes(context, hold, indexes);
  if (plan.isSettingsUnsound) await renewSettings(context, hold);
  return runs;
}

async function renewSettings(context: TopicContext, hold: LockHold): Promise<void> {
  await raiseGeneration(hold);
  const settings = settingsForNewTopic({
    fileSystem: context.fileSystem,
    dataDirectory: dirname(context.directory),
    settings: {},
  });
  await writeTopicSettings(context, {
    format: 1,
    id: randomUUID(),
    created: new Date().toISOString(),
    settings,
  });
}

async function raiseGeneration(hold: LockHold): Promise<void> {
  const mark = peekMark(hold.markFile) as HighWatermark;
  writeMark(hold.markFile, { ...mark, generation: mark.generation + 1 });
  await hold.markFile.datasync();
}

async function rebuildIndexes(
  context: TopicContext,
  hold: LockHold,
  bases: ReadonlySet<number>,
): Promise<void> {
  const { indexIntervalBytes } = readTopicSettings(context)?.settings ?? DEFAULT_TOPIC_SETTINGS;
  await raiseGeneration(hold);
  for (const baseOffset of bases) {
    if (storeBytes(context, baseOffset) !== undefined)
      await rebuildIndex(context, { baseOffset, intervalBytes: indexIntervalBytes });
  }
}

/** A recovery that was killed let the store end earlier than the mark says: no offset is missing, only the byte is wrong. */
async function moveMark(context: TopicContext, hold: LockHold, position: number): Promise<void> {
  const mark = peekMark(hold.markFile) as HighWatermark;
  if (activeBytes(context, hold) !== position || mark.position <= position) return;
  writeMark(hold.markFile, { ...mark, position, generation: mark.generation + 1 });
  await hold.markFile.datasync();
}

/**
 * What is damaged in the log as it is by then: what retention took meanwhile is no part of it.
 *
 * @throws FastQueueError `locked` when stores went away under it again and again; disk errors as themselves
 */
function listStill(
  context: TopicContext,
  markBefore: HighWatermark,
  options: RecoverOptions,
): Promise<DamageList> {
  return untilStill(context, { mark: markBefore, onBytes: options.onBytes }, async (mark, onBytes) => {
    const damage = await listWith(context, markOfLastSegment(context, mark), { ...options, onBytes });
    // What another recover has done meanwhile is no reason to plan anew: the plan is refused as one that no longer fits.
    return damageFrom(damage, (seenMark(context) ?? mark).startOffset);
  });
}

async function listWith(
  context: TopicContext,
  mark: HighWatermark,
  options: RecoverOptions,
): Promise<DamageList> {
  const { tryBitFlip, onBytes = () => undefined } = options;
  const readers = openSegmentReaders(context, options.jobs);
  try {
    return await listDamage(context, mark, { readers, tryBitFlip, onBytes });
  } finally {
    await readers.close();
  }
}

/** The plan, seen without the lock. */
async function previewRecovery(context: TopicContext, options: RecoverOptions): Promise<RecoverReport> {
  const found = seenMark(context);
  const repairs = found === undefined ? [markRepair(context)] : [];
  const runs = listRuns(context);
  const half = halfExchanged(context, runs);
  if (half.length > 0) {
    // What else is damaged can only be seen once that is done.
    repairs.push(...half.map(takenBackRepair));
    return { topic: context.topic, dryRun: true, repairs, lost: [], runs: [] };
  }
  const untold = untoldOf(context, runs.filter(isUntold));
  repairs.push(...untold.map(untoldRepair));
  const misnamed = findMisnamed(context);
  const seen = seenRenamed(context, misnamed);
  const mark = markOfLastSegment(seen, found ?? markFromStores(seen));
  // Of the tail, then of the rest of the log: they are carried out one after the other.
  const tail = previewTail(seen, mark, options);
  const log = await listStill(seen, mark, {
    ...options,
    // Other threads see the disk as it is.
    jobs: misnamed.length > 0 ? undefined : options.jobs,
  });
  const { cut, damage } = tail;
  // Where the mark says that the active store has no frame, its index is mended, or dropped, with what lies behind.
  const isMended = mark.position === 0 && (cut ?? damage) !== undefined;
  const indexes = isMended ? log.indexes.filter((base) => base !== mark.baseOffset) : log.indexes;
  const plans = [...(damage === undefined ? [] : [damage]), { ...log, indexes }].map(planRecovery);
  return {
    topic: context.topic,
    dryRun: true,
    repairs: joined([
      repairs,
      misnamed.map((store) => renameRepair(context, store)),
      cutRepairs(context, cut),
      ...plans.map((plan) => describePlan(context, plan)),
    ]),
    lost: joinRanges(joined([untold.flatMap(({ lost }) => lost), ...plans.map((plan) => plan.lost)])),
    runs: [],
  };
}

/**
 * Takes a run back. The topic's lock is taken for it.
 *
 * @throws FastQueueError as undoRun does, and `locked`
 */
export function undoRecovery(
  context: TopicContext,
  options: { run: string; lockTimeoutMs: number },
): Promise<UndoReport> {
  return withRecoveryLock(context, options.lockTimeoutMs, (hold) => undoRun(context, hold, options.run));
}

/** Every run of a topic, oldest first. */
export function listRecoveryRuns(context: TopicContext): RecoveryRun[] {
  return listRuns(context);
}

/**
 * Removes a run from quarantine: it cannot be undone afterwards.
 *
 * @throws FastQueueError `recovery_incomplete` where it was interrupted and keeps what stands nowhere else; as purgeRun does
 */
export function purgeRecovery(
  context: TopicContext,
  options: { run: string; lockTimeoutMs: number },
): Promise<RecoveryRun> {
  const { run, lockTimeoutMs } = options;
  return withRecoveryLock(context, lockTimeoutMs, async () => {
    const { manifest } = findRun(context, run);
    if (isRecoverManifest(manifest)) await syncRun(context, manifest);
    const isNeeded = halfExchanged(context, listRuns(context)).some((half) => half.run === run);
    if (isNeeded) throw halfRecovered(context, run);
    return purgeRun(context, run);
  });
}
