/**
 * Stores that bear another store's name: exchanged, or renamed. Their frames say which offsets they hold, so they are
 * given their own names back. In between they stand in the run's folder, where nothing is ever taken for a leftover. A
 * run or an undo that was killed there is carried on from what the stores themselves say: all of them get their own names.
 */
import { join } from 'node:path';
import { storeFileName } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { isSound, readFrameAt } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { MAX_OFFSET } from '../limits.ts';
import { openIfThere } from '../io/open-if-there.ts';
import { peekMark, writeMark } from '../mark-file.ts';
import { removeIndex } from '../offset-index.ts';
import { QuarantineRun } from '../quarantine.ts';
import { markApplied, runPath, type RecoverManifest, type RenamedStore } from './runs.ts';
import { scanStore, solvedOffset } from '../damage-scan.ts';
import { headerAt } from '../frame-header.ts';
import { seenMark } from './until-still.ts';
import { listStoreBases, storePath, type TopicContext, storeBytes } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';

/** The stores whose frames check out from another base offset, where that name is free or becomes free. */
export function findMisnamed(context: TopicContext): RenamedStore[] {
  const stores = listStoreBases(context);
  const bases = withActiveBase(context, stores);
  const found = stores.flatMap((from) => {
    const to = actualBaseOf(context, nameOf(context, from), bases);
    return to === undefined || to === from ? [] : [{ from, to }];
  });
  let movable = found.filter(({ to }, number) => found.findIndex((other) => other.to === to) === number);
  // A name that stays taken keeps its claimant where it is, and that one's name is not free then either.
  for (let count = -1; count !== movable.length;) {
    count = movable.length;
    const leaving = new Set(movable.map(({ from }) => from));
    movable = movable.filter(({ to }) => !isTaken(context, to) || leaving.has(to));
  }
  return movable;
}

/** Base offsets that segments are known to have: that of the active one stands in the mark, be there such a store or not. */
function withActiveBase(context: TopicContext, stores: readonly number[]): readonly number[] {
  const active = seenMark(context)?.baseOffset;
  if (active === undefined || stores.includes(active)) return stores;
  return [...stores, active].sort((left, right) => left - right);
}

const isTaken = (context: TopicContext, baseOffset: number): boolean =>
  (storeBytes(context, baseOffset) ?? 0) > 0;

/** A place that a store may be at, and the base offset that its name says. */
interface NamedStore {
  readonly path: string;
  readonly baseOffset: number;
}

const nameOf = (context: TopicContext, baseOffset: number): NamedStore => ({
  path: storePath(context, baseOffset),
  baseOffset,
});

/** Undefined where nobody can tell: no such store, an empty one, a damaged beginning. */
function actualBaseOf(
  context: TopicContext,
  { path, baseOffset }: NamedStore,
  bases: readonly number[],
): number | undefined {
  const store = openIfThere(context.fileSystem, path);
  if (store === undefined) return undefined;
  try {
    if (store.status().sizeBytes === 0) return undefined;
    const fits = [baseOffset, ...bases].find((offset) => endOfFrame(store, 0, offset) !== undefined);
    const claimed = fits ?? solvedBase(store, baseOffset, bases);
    if (claimed === undefined || claimed === baseOffset) return claimed;
    // The first frame alone may have been exchanged: the store is what most of its frames say.
    const countUnder = (base: number): number => framesUnder(context, store, { baseOffset: base, bases });
    return countUnder(claimed) > countUnder(baseOffset) ? claimed : baseOffset;
  } finally {
    store.close();
  }
}

/** How many frames of a store check out, damage or not, if that is its base offset. */
function framesUnder(
  context: TopicContext,
  store: FileHandle,
  name: { baseOffset: number; bases: readonly number[] },
): number {
  const { baseOffset, bases } = name;
  let count = 0;
  scanStore(context, {
    store,
    baseOffset,
    position: 0,
    offset: baseOffset,
    endPosition: store.status().sizeBytes,
    endOffset: bases.find((base) => base > baseOffset),
    minTimestamp: -Infinity,
    visitor: {
      onRecords: (_frames, _place, recordCount) => {
        count += recordCount;
      },
      onSpecial: () => {
        count += 1;
      },
    },
  });
  return count;
}

/**
 * An offset that nobody has named is believed only if the second frame follows it, and only outside the store's own
 * range: inside, it is the first frame that is missing.
 */
function solvedBase(store: FileHandle, baseOffset: number, bases: readonly number[]): number | undefined {
  const endOffset = bases.find((base) => base > baseOffset) ?? MAX_OFFSET;
  const lowest = Math.floor(baseOffset / 2 ** 32) * 2 ** 32;
  const header = headerAt(store, { position: 0 });
  if (header === undefined || header.frameBytes > store.status().sizeBytes) return undefined;
  const offset = solvedOffset(store, 0, { offset: lowest, nextOffset: lowest + 2 ** 32 });
  if (offset === undefined || (offset > baseOffset && offset < endOffset)) return undefined;
  const next = endOfFrame(store, 0, offset);
  const isConfirmed = next !== undefined && endOfFrame(store, next.position, next.offset) !== undefined;
  return isConfirmed ? offset : undefined;
}

/** Where the frame at a place ends, and at which offset; undefined where it does not check out. */
function endOfFrame(
  store: FileHandle,
  position: number,
  offset: number,
): { position: number; offset: number } | undefined {
  const endPosition = store.status().sizeBytes;
  if (position >= endPosition) return undefined;
  const frame = readFrameAt(store, { position, offset, endPosition, minTimestamp: -Infinity });
  return isSound(frame)
    ? { position: position + frame.header.frameBytes, offset: offset + frame.offsetCount }
    : undefined;
}

/** Gives stores their names back, as a run of its own. The caller holds the lock. Returns the run. */
export async function renameStores(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  renamed: readonly RenamedStore[],
): Promise<string> {
  const mark = peekMark(hold.markFile) as HighWatermark;
  const run = QuarantineRun.create(context, 'recover');
  await run.seal({ changes: [], created: [], renamed, lost: [], markBefore: mark, markLeft: mark });
  await renameByWayOf(context, hold, { run: run.id, renamed });
  await markApplied(context, run.id);
  return run.id;
}

/** Renames stores all at once, by way of a run's folder. The names that they get are free, or theirs. */
export async function renameByWayOf(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  { run, renamed }: Renaming,
): Promise<void> {
  const { fileSystem, directory } = context;
  await beginRenaming(context, hold, renamed);
  for (const { from } of renamed) fileSystem.rename(storePath(context, from), awayPath(context, run, from));
  await fileSystem.syncDirectory(runPath(context, run));
  await fileSystem.syncDirectory(directory);
  for (const { from, to } of renamed) fileSystem.rename(awayPath(context, run, from), storePath(context, to));
  await fileSystem.syncDirectory(directory);
  await fileSystem.syncDirectory(runPath(context, run));
}

/** The part of a manifest that says what a run renamed. */
type Renaming = Pick<RecoverManifest, 'run' | 'renamed'>;

/** The generation raised, then no indexes of stores that get other names: all of it durable. */
async function beginRenaming(
  context: TopicContext,
  { markFile }: Pick<LockHold, 'markFile'>,
  renamed: readonly RenamedStore[],
): Promise<void> {
  const mark = peekMark(markFile) as HighWatermark;
  writeMark(markFile, { ...mark, generation: mark.generation + 1 });
  await markFile.datasync();
  for (const { from, to } of renamed) {
    removeIndex(context, from);
    removeIndex(context, to);
  }
  await context.fileSystem.syncDirectory(context.directory);
}

/**
 * Gives the stores of a run their own names where it, or its undo, was killed while some of them had none.
 *
 * @returns false where there was nothing to do
 */
export async function settleRenames(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  renaming: Renaming,
): Promise<boolean> {
  const { fileSystem, directory } = context;
  const moves = pendingRenames(context, renaming);
  if (moves.length === 0) return false;
  await beginRenaming(context, hold, renaming.renamed);
  for (const { path, to } of moves) {
    fileSystem.rename(path, storePath(context, to));
    // Each before the next, which may take the name that this one had.
    await fileSystem.syncDirectory(directory);
    await fileSystem.syncDirectory(runPath(context, renaming.run));
  }
  if (areRenamed(context, renaming)) await markApplied(context, renaming.run);
  return true;
}

interface PendingRename {
  readonly path: string;
  readonly to: number;
}

/**
 * What settleRenames would do, in an order in which every name is free by its turn. Nothing where all stores have names,
 * or where those that are away would have to take the names of others.
 */
export function pendingRenames(context: TopicContext, { run, renamed }: Renaming): PendingRename[] {
  if (!hasStoresAway(context, { run, renamed })) return [];
  const strays = renamed.flatMap(({ from, to }): PendingRename[] => {
    const places = [
      { path: awayPath(context, run, from), baseOffset: from },
      { path: awayPath(context, run, to), baseOffset: to },
      nameOf(context, from),
    ];
    const found = places.find((place) => actualBaseOf(context, place, [to]) === to);
    return found === undefined ? [] : [{ path: found.path, to }];
  });
  const moves: PendingRename[] = [];
  const isFree = (base: number): boolean =>
    !isTaken(context, base) || moves.some(({ path }) => path === storePath(context, base));
  for (;;) {
    const next = strays.find((stray) => !moves.includes(stray) && isFree(stray.to));
    if (next === undefined) return moves;
    moves.push(next);
  }
}

/** True where stores stand in the folder of a run that was renaming them, or of one that was being undone. */
export function hasStoresAway(context: TopicContext, { run, renamed }: Renaming): boolean {
  return renamed.some(({ from, to }) =>
    [from, to].some((base) => context.fileSystem.status(awayPath(context, run, base)) !== undefined),
  );
}

const awayPath = (context: TopicContext, run: string, baseOffset: number): string =>
  join(runPath(context, run), storeFileName(baseOffset));

/** True where a store stands under the name that the run found. */
export function standsAsFound(context: TopicContext, { from, to }: RenamedStore): boolean {
  return isTaken(context, from) && actualBaseOf(context, nameOf(context, from), [to]) === to;
}

/** True where every store stands under the name that the run gave it. */
function areRenamed(context: TopicContext, renaming: Renaming): boolean {
  const isRenamed = ({ to }: RenamedStore): boolean =>
    isTaken(context, to) && actualBaseOf(context, nameOf(context, to), [to]) === to;
  return !hasStoresAway(context, renaming) && renaming.renamed.every(isRenamed);
}

/** True where renaming them back takes no name, nor a place in the run's folder, from another store. */
export function canGoBack(context: TopicContext, renaming: Renaming): boolean {
  const leaving = new Set(renaming.renamed.map(({ to }) => to));
  return (
    areRenamed(context, renaming) &&
    renaming.renamed.every(({ from }) => leaving.has(from) || !isTaken(context, from))
  );
}
