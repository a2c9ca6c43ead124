/**
 * `recover --undo`: what a run replaced is written back, all of it or nothing. Every place is looked at first: only what
 * still holds what the run left there is touched, so that no record that came later is ever overwritten.
 *
 * The caller holds the lock. Killed anywhere, it can be run again: a place that is half written back is still the run's.
 */
import { commandLine, shellWord } from '../command-line.ts';
import { FastQueueError } from '../errors.ts';
import { classifyTopicFile } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { FileHandle } from '../io/file-system.ts';
import { markUnsound, peekMark, writeMark } from '../mark-file.ts';
import { removeIndex } from '../offset-index.ts';
import type { QuarantineManifest } from '../quarantine.ts';
import { openIfThere } from '../io/open-if-there.ts';
import { copyBytes } from '../io/write-whole.ts';
import { standingOf, type ChangeStanding } from './comparison.ts';
import { canGoBack, renameByWayOf, settleRenames, standsAsFound } from './misnamed-stores.ts';
import {
  copyPath,
  findRun,
  isRecoverManifest,
  listRuns,
  markUndone,
  openRunFile,
  runPath,
  type CreatedStore,
  type RecoverManifest,
  type RecoveryRun,
  type StoreChange,
} from './runs.ts';
import { placeStore, replaceStores, type Splice } from './segments.ts';
import { storePath, type TopicContext } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';

export interface UndoReport {
  readonly topic: string;
  readonly run: string;
  /** Places that were written back; 0 where the run had replaced none, or had been undone already. */
  readonly restored: number;
  readonly wasUndone: boolean;
  readonly bytes: number;
}

type Hold = Pick<LockHold, 'markFile'>;

/**
 * Takes a run back.
 *
 * @throws FastQueueError `recovery_incomplete` where something else stands at one of its places (nothing is changed);
 *   `invalid_argument` for a run that is not there or kept nothing
 */
export async function undoRun(context: TopicContext, hold: Hold, runId: string): Promise<UndoReport> {
  const run = findRun(context, runId);
  if (run.manifest === undefined) {
    throw new FastQueueError(
      'invalid_argument',
      `The run ${runId} ended before it had changed anything, so there is nothing to undo. "${commandLine(context, `recover ${context.topic} --purge ${runId}`)}" removes it.`,
      { topic: context.topic, path: run.path },
    );
  }
  refuseBeforeNewer(context, run);
  const { manifest } = run;
  const restored = isRecoverManifest(manifest)
    ? await undoRepairs(context, hold, { manifest, isUndone: run.state === 'undone' })
    : await undoCut(context, hold, manifest);
  if (restored.count > 0 || run.state !== 'undone') {
    if (isRecoverManifest(manifest)) await syncRun(context, manifest);
    await markUndone(context, runId);
  }
  const wasUndone = run.state === 'undone' && restored.count === 0;
  return { topic: context.topic, run: runId, restored: restored.count, wasUndone, bytes: restored.bytes };
}

/** Newest first: what a later run repaired at the same place has to be taken back before. */
function refuseBeforeNewer(context: TopicContext, run: RecoveryRun): void {
  const newer = listRuns(context).find(
    (other) => other.run > run.run && other.state !== 'undone' && touchSamePlace(run, other),
  );
  if (newer === undefined) return;
  throw new FastQueueError(
    'recovery_incomplete',
    `The run ${run.run} cannot be undone before ${newer.run}, which repaired the same place later. Nothing was changed. ` +
      `Run "${commandLine(context, `recover ${context.topic} --undo ${newer.run}`)}" first.`,
    { topic: context.topic, path: newer.path, sideEffects: 'none' },
  );
}

function touchSamePlace(left: RecoveryRun, right: RecoveryRun): boolean {
  if (!isRecoverManifest(left.manifest) || !isRecoverManifest(right.manifest)) return false;
  const { changes } = right.manifest;
  return left.manifest.changes.some((one) =>
    changes.some(
      (other) =>
        one.baseOffset === other.baseOffset &&
        one.leftPosition < other.position + Math.max(1, other.byteCount) &&
        other.position < one.leftPosition + Math.max(1, one.leftByteCount),
    ),
  );
}

interface Restored {
  readonly count: number;
  readonly bytes: number;
}

/** A tail that was cut comes back only if the store still ends at the cut. It lies past the mark, as it did. */
async function undoCut(context: TopicContext, hold: Hold, manifest: QuarantineManifest): Promise<Restored> {
  const [region] = manifest.regions;
  const mark = peekMark(hold.markFile);
  if (mark === undefined) throw markUnsound(context);
  if (region === undefined) return { count: 0, bytes: 0 };
  const file = classifyTopicFile(region.file);
  const baseOffset = file.type === 'store' ? file.baseOffset : -1;
  const refusal = noLongerThere(context, manifest.run, region.copy);
  if (baseOffset !== mark.baseOffset || mark.position !== region.position) throw refusal;
  const store = context.fileSystem.open(storePath(context, baseOffset), 'update');
  const copy = openRunFile(context, manifest.run, region.copy);
  try {
    const standing = tailStanding(store, copy, region);
    if (standing === 'other') throw refusal;
    const isBack = standing === 'left';
    if (!isBack) copyBytes(copy, store, { from: 0, to: region.position, byteCount: region.byteCount });
    // Also what an undo that was killed has written back.
    await store.sync();
    return isBack ? { count: 0, bytes: 0 } : { count: 1, bytes: region.byteCount };
  } finally {
    copy.close();
    store.close();
  }
}

/** `before`: cut, or written back in part; `left`: all of it is there. */
function tailStanding(
  store: FileHandle,
  copy: FileHandle,
  region: { position: number; byteCount: number },
): ChangeStanding {
  const tailBytes = store.status().sizeBytes - region.position;
  if (tailBytes < 0 || tailBytes > region.byteCount) return 'other';
  const [now, old] = [Buffer.alloc(tailBytes), Buffer.alloc(tailBytes)];
  store.read(now, region.position);
  copy.read(old, 0);
  if (!now.equals(old)) return 'other';
  return tailBytes === region.byteCount ? 'left' : 'before';
}

interface Standing {
  readonly change: StoreChange;
  readonly standing: ChangeStanding;
}

export async function undoRepairs(
  context: TopicContext,
  hold: Hold,
  { manifest, isUndone }: { manifest: RecoverManifest; isUndone: boolean },
): Promise<Restored> {
  if (peekMark(hold.markFile) === undefined) throw markUnsound(context);
  const renames = await undoRenames(context, hold, manifest);
  const mark = peekMark(hold.markFile) as HighWatermark;
  const standings = standingsOf(context, manifest);
  const created = manifest.created.filter((store) => isStillThere(context, manifest, store));
  const open = standings.filter(({ standing }) => standing !== 'before').map(({ change }) => change);
  // What an undo that did not end has written back is written again: it may never have reached the disk.
  const unproven = standings
    .filter(({ change, standing }) => !isUndone && standing === 'before' && change.method !== 'rewritten')
    .map(({ change }) => change);
  const isMarkLeft = hasMoved(manifest) && isSameEnd(mark, manifest.markLeft);
  if (open.length + unproven.length + created.length > 0 || isMarkLeft) {
    writeMark(hold.markFile, { ...mark, generation: mark.generation + 1 });
    await hold.markFile.datasync();
    await restoreStores(context, manifest, { open: [...open, ...unproven], created });
  }
  if (isMarkLeft) {
    const { position } = manifest.markBefore;
    writeMark(hold.markFile, { ...mark, position, generation: mark.generation + 1 });
    await hold.markFile.datasync();
  }
  const bytes = open.reduce((sum, change) => sum + change.byteCount, 0);
  return { count: open.length + created.length + renames, bytes };
}

/** Stores that still stand as they were renamed are all renamed back. Such a run changed nothing else. */
async function undoRenames(context: TopicContext, hold: Hold, manifest: RecoverManifest): Promise<number> {
  const { renamed, run } = manifest;
  await settleRenames(context, hold, manifest);
  const open = renamed.filter((one) => !standsAsFound(context, one));
  if (open.length === 0) return 0;
  if (!canGoBack(context, { run, renamed: open })) throw noLongerThere(context, run, '');
  await renameByWayOf(context, hold, { run, renamed: open.map(({ from, to }) => ({ from: to, to: from })) });
  return open.length;
}

/**
 * What stands at each place of a run.
 *
 * @throws FastQueueError `recovery_incomplete` where it is something else than before or after
 */
export function standingsOf(context: TopicContext, manifest: RecoverManifest): Standing[] {
  const rewrittenBases = new Set<number>();
  // Rewritten ones first: where their segment stands as it was left, the places of the others are those of after.
  const ordered = [...manifest.changes].sort(
    (left, right) => Number(right.method === 'rewritten') - Number(left.method === 'rewritten'),
  );
  return ordered.map((change) => {
    const standing = withStore(context, change.baseOffset, (store) =>
      standingOf(context, manifest.run, {
        change,
        store,
        isRewritten: rewrittenBases.has(change.baseOffset),
      }),
    );
    if (standing === undefined || standing === 'other')
      throw noLongerThere(context, manifest.run, change.copy);
    if (standing === 'left' && change.method === 'rewritten') rewrittenBases.add(change.baseOffset);
    return { change, standing };
  });
}

export function isStillThere(
  context: TopicContext,
  manifest: RecoverManifest,
  created: CreatedStore,
): boolean {
  const bytes = Buffer.from(created.hex, 'hex');
  return (
    withStore(context, created.baseOffset, (store) => {
      if (created.wasEmpty === true && store.status().sizeBytes === 0) return false;
      const now = Buffer.alloc(bytes.length + 1);
      if (!now.subarray(0, store.read(now, 0)).equals(bytes)) throw noLongerThere(context, manifest.run, '');
      return true;
    }) ?? false
  );
}

async function restoreStores(
  context: TopicContext,
  manifest: RecoverManifest,
  work: { open: readonly StoreChange[]; created: readonly CreatedStore[] },
): Promise<void> {
  const { fileSystem, directory } = context;
  const splices = work.open
    .filter(({ method }) => method === 'rewritten')
    .map((change): Splice => ({
      baseOffset: change.baseOffset,
      position: change.leftPosition,
      byteCount: change.leftByteCount,
      file: change.copy,
    }));
  await replaceStores(context, manifest.run, splices);
  for (const change of work.open) {
    if (change.method === 'rewritten') continue;
    await restoreRegion(context, manifest.run, change);
  }
  for (const { baseOffset, wasEmpty } of work.created) {
    removeIndex(context, baseOffset);
    if (wasEmpty === true)
      await placeStore(context, { baseOffset, bytes: Buffer.alloc(0), run: manifest.run });
    else fileSystem.unlink(storePath(context, baseOffset));
  }
  if (work.created.length > 0) await fileSystem.syncDirectory(directory);
}

/** Writes back what stood at one place, in a store whose other bytes stand where they did. */
export async function restoreRegion(context: TopicContext, run: string, change: StoreChange): Promise<void> {
  const store = context.fileSystem.open(storePath(context, change.baseOffset), 'update');
  const copy = openRunFile(context, run, change.copy);
  try {
    copyBytes(copy, store, { from: 0, to: change.position, byteCount: change.byteCount });
    if (change.method === 'extended') store.truncate(change.position + change.byteCount);
    await store.sync();
  } finally {
    copy.close();
    store.close();
  }
}

/** Offsets that the run gave a meaning keep it, so a mark that counts more of them now stays where it is. */
function hasMoved({ markBefore, markLeft }: RecoverManifest): boolean {
  return markLeft.position !== markBefore.position && markLeft.nextOffset === markBefore.nextOffset;
}

function isSameEnd(
  left: { nextOffset: number; baseOffset: number; position: number },
  right: { nextOffset: number; baseOffset: number; position: number },
): boolean {
  return (
    left.nextOffset === right.nextOffset &&
    left.baseOffset === right.baseOffset &&
    left.position === right.position
  );
}

export function withStore<T>(
  context: TopicContext,
  baseOffset: number,
  use: (store: FileHandle) => T,
): T | undefined {
  const path = storePath(context, baseOffset);
  if (context.fileSystem.status(path) === undefined) return undefined;
  const store = context.fileSystem.open(path, 'read');
  try {
    return use(store);
  } finally {
    store.close();
  }
}

function noLongerThere(context: TopicContext, run: string, copy: string): FastQueueError {
  const path = copyPath(context, run, { copy });
  return new FastQueueError(
    'recovery_incomplete',
    `The run ${run} cannot be undone: the log of "${context.topic}" no longer holds what it left there. Nothing was changed. ` +
      `The bytes it kept are in ${path}; "fastqueue inspect-segment ${shellWord(path)} --payload --json | ${commandLine(context, `produce ${context.topic} --input json`)}" ` +
      'stores the records among them as new ones.',
    { topic: context.topic, path, sideEffects: 'none' },
  );
}

/**
 * Makes durable what a run, or its undo, has changed until now. One that was killed may not have come to that: what reads
 * as done a power cut takes back. The caller holds the lock.
 */
export async function syncRun(context: TopicContext, { run, changes }: RecoverManifest): Promise<void> {
  const { fileSystem, directory } = context;
  for (const baseOffset of new Set(changes.map((change) => change.baseOffset))) {
    const store = openIfThere(fileSystem, storePath(context, baseOffset), 'update');
    try {
      await store?.sync();
    } finally {
      store?.close();
    }
  }
  await fileSystem.syncDirectory(directory);
  await fileSystem.syncDirectory(runPath(context, run));
}
