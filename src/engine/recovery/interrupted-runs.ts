/**
 * Recover runs that were killed, or whose undo was: which keep what may stand nowhere else, what of theirs stands, and what
 * the next run does about them.
 */
import { commandLine } from '../command-line.ts';
import { FastQueueError } from '../errors.ts';
import type { LockHold } from '../topic-lock.ts';
import type { TopicContext } from '../topic-directory.ts';
import { standingOf } from './comparison.ts';
import { hasStoresAway, pendingRenames, settleRenames } from './misnamed-stores.ts';
import type { LostOffsets } from './plan.ts';
import {
  isRecoverManifest,
  listRuns,
  markUndone,
  runPath,
  type RecoverManifest,
  type RecoveryRun,
} from './runs.ts';
import { isStillThere, restoreRegion, standingsOf, syncRun, undoRepairs, withStore } from './undo.ts';

/** Runs that were killed, or whose undo was, while frames or stores of theirs may have been in neither place. */
export function halfExchanged(context: TopicContext, runs: readonly RecoveryRun[]): RecoveryRun[] {
  return runs.filter((run) => areFramesBetween(context, run) || areStoresBetween(context, run));
}

function areStoresBetween(context: TopicContext, { manifest }: RecoveryRun): boolean {
  return isRecoverManifest(manifest) && pendingRenames(context, manifest).length > 0;
}

/** Of a run, or an undo, that did not end, nobody can tell from what reads as done what is on the disk. */
function areFramesBetween(context: TopicContext, { state, manifest }: RecoveryRun): boolean {
  if (state === 'undone' || !isRecoverManifest(manifest)) return false;
  if (!manifest.changes.some(({ isExchanged }) => isExchanged)) return false;
  const standings = ifKnown(() => standingsOf(context, manifest));
  return standings?.some(({ standing }) => state === 'interrupted' || standing !== 'left') === true;
}

/** True of a run that was killed, and of one whose undo was: what it moved or replaced may be in its folder only. */
export function isHalfDone(context: TopicContext, { state, manifest }: RecoveryRun): boolean {
  if (!isRecoverManifest(manifest)) return false;
  if (state === 'interrupted' || hasStoresAway(context, manifest)) return true;
  if (state === 'undone') return false;
  return ifKnown(() => standingsOf(context, manifest))?.some(({ standing }) => standing !== 'left') === true;
}

/**
 * Of who is about to put other stores in the place of those that are there: frames that an interrupted recovery was
 * moving would then be in its copies only, and could no longer be put back. The caller holds the lock.
 *
 * @throws FastQueueError `recovery_incomplete`
 */
export function refuseHalfRecovered(context: TopicContext): void {
  const [half] = halfExchanged(context, listRuns(context));
  if (half !== undefined) throw halfRecovered(context, half.run);
}

/** The refusal of what must not be done before an interrupted recovery is settled. */
export function halfRecovered(context: TopicContext, run: string): FastQueueError {
  return new FastQueueError(
    'recovery_incomplete',
    `${runPath(context, run)} keeps what an interrupted recovery was moving, and it may stand nowhere else. ` +
      `Nothing of it was touched. Run "${commandLine(context, `recover ${context.topic}`)}" first.`,
    { topic: context.topic, path: runPath(context, run), sideEffects: 'none' },
  );
}

/** Undefined where something else stands at a place of the run: then it cannot be taken back, nor need it be. */
function ifKnown<Known>(look: () => Known): Known | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof FastQueueError && error.code === 'recovery_incomplete') return undefined;
    throw error;
  }
}

/** A run that was killed when it had changed the log: nobody was told of it. */
export interface UntoldRun {
  readonly run: RecoveryRun;
  /** Offsets that lost their records where the log stands as the run left it. */
  readonly lost: readonly LostOffsets[];
}

/** True of a run that was killed while it changed the log, which nobody was told of since. */
export const isUntold = ({ state, isTold }: RecoveryRun): boolean => state === 'interrupted' && !isTold;

/**
 * Of the interrupted runs that nobody was told of, those that changed anything. Where something else stands at a place by
 * now, appended records say, all that a run was to lose counts as lost: rather told than not.
 */
export function untoldOf(context: TopicContext, runs: readonly RecoveryRun[]): UntoldRun[] {
  return runs.flatMap((run) => {
    const { manifest } = run;
    if (!isRecoverManifest(manifest)) return [];
    const parts = ifKnown(() => partsOf(context, manifest));
    if (parts === undefined) return [{ run, lost: manifest.lost }];
    if (!parts.some(({ isLeft }) => isLeft)) return [];
    let at = -1;
    // Both are in ascending order.
    const lost = manifest.lost.filter(({ from }) => {
      while ((parts[at + 1]?.offset ?? Infinity) <= from) at += 1;
      return parts[at]?.isLeft === true;
    });
    return [{ run, lost }];
  });
}

/** Each place and each store of a run, by the offset that it begins with, and whether it stands as the run left it. */
function partsOf(context: TopicContext, manifest: RecoverManifest): { offset: number; isLeft: boolean }[] {
  const changes = standingsOf(context, manifest).map(({ change, standing }) => ({
    offset: change.offset,
    isLeft: standing === 'left',
  }));
  const stores = manifest.created.map((store) => ({
    offset: store.baseOffset,
    isLeft: isStillThere(context, manifest, store),
  }));
  return [...changes, ...stores].sort((left, right) => left.offset - right.offset);
}

/**
 * Puts back what a killed run, or its undo, had half replaced, so that nothing of it has to be looked for in quarantine:
 * frames that were being moved would otherwise be found in neither place. Where frames went from one region to another,
 * all of the run is taken back. Stores that were being renamed, or renamed back, get their own names.
 *
 * @returns the runs whose frames or stores may have been in neither place
 * @throws FastQueueError `damaged` where that would have to be done and the mark is unsound
 */
export async function rollBackInterrupted(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  runs: readonly RecoveryRun[],
): Promise<RecoveryRun[]> {
  const half: RecoveryRun[] = [];
  for (const one of runs) {
    const { run, state, manifest } = one;
    if (!isRecoverManifest(manifest)) continue;
    if (await settleRenames(context, hold, manifest)) half.push(one);
    if (state === 'undone' || manifest.changes.some(({ isExchanged }) => isExchanged)) continue;
    for (const change of manifest.changes) {
      if (change.method === 'rewritten' || change.content === undefined) continue;
      const standing = withStore(context, change.baseOffset, (store) =>
        standingOf(context, run, { change, store, isRewritten: false }),
      );
      if (standing === 'mixed') await restoreRegion(context, run, change);
    }
  }
  for (const one of runs.filter((run) => areFramesBetween(context, run))) {
    await undoRepairs(context, hold, { manifest: one.manifest as RecoverManifest, isUndone: false });
    await syncRun(context, one.manifest as RecoverManifest);
    await markUndone(context, one.run);
    half.push(one);
  }
  return half;
}
