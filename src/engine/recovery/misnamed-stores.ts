/**
 * Stores that bear another store's name: exchanged, or renamed. Their frames say which offsets they hold, so they are
 * given their own names back. In between they stand in the run's folder, where nothing is ever taken for a leftover.
 */
import { join } from 'node:path';
import { storeFileName } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { isSound, readFrameAt } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { MAX_OFFSET } from '../limits.ts';
import { peekMark, writeMark } from '../mark-file.ts';
import { removeIndex } from '../offset-index.ts';
import { QuarantineRun } from '../quarantine.ts';
import { markApplied, runPath, type RenamedStore } from './runs.ts';
import { scanStore, solvedOffset } from '../damage-scan.ts';
import { headerAt } from '../frame-header.ts';
import { openStoreIfThere } from '../segment-list.ts';
import { listStoreBases, storePath, type TopicContext, storeBytes } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';

/** The stores whose frames check out from another base offset, where that name is free or becomes free. */
export function findMisnamed(context: TopicContext): RenamedStore[] {
  const bases = listStoreBases(context);
  const found = bases.flatMap((from) => {
    const to = actualBaseOf(context, from, bases);
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

const isTaken = (context: TopicContext, baseOffset: number): boolean =>
  (storeBytes(context, baseOffset) ?? 0) > 0;

/** Undefined where nobody can tell: an empty store, a damaged beginning, one that retention has just taken. */
function actualBaseOf(
  context: TopicContext,
  baseOffset: number,
  bases: readonly number[],
): number | undefined {
  const store = openStoreIfThere(context, baseOffset);
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
  writeMark(hold.markFile, { ...mark, generation: mark.generation + 1 });
  await hold.markFile.datasync();
  await moveAway(context, run.id, renamed);
  await finishRenaming(context, run.id, renamed);
  await markApplied(context, run.id);
  return run.id;
}

/** Into the run's folder, indexes removed. The generation was raised. */
export async function moveAway(
  context: TopicContext,
  run: string,
  renamed: readonly RenamedStore[],
): Promise<void> {
  const { fileSystem, directory } = context;
  for (const { from, to } of renamed) {
    removeIndex(context, from);
    removeIndex(context, to);
  }
  await fileSystem.syncDirectory(directory);
  for (const { from } of renamed) fileSystem.rename(storePath(context, from), awayPath(context, run, from));
  await fileSystem.syncDirectory(runPath(context, run));
  await fileSystem.syncDirectory(directory);
}

/** Out of the run's folder, to the names that they are to have; also what a killed run left there. */
export async function finishRenaming(
  context: TopicContext,
  run: string,
  renamed: readonly RenamedStore[],
): Promise<void> {
  const { fileSystem } = context;
  const waiting = renamed.filter(({ from }) => fileSystem.status(awayPath(context, run, from)) !== undefined);
  for (const { from, to } of waiting) {
    if (!isTaken(context, to)) fileSystem.rename(awayPath(context, run, from), storePath(context, to));
  }
  if (waiting.length === 0) return;
  await fileSystem.syncDirectory(context.directory);
  await fileSystem.syncDirectory(runPath(context, run));
}

const awayPath = (context: TopicContext, run: string, baseOffset: number): string =>
  join(runPath(context, run), storeFileName(baseOffset));

/** The renames that take a run's own back. */
export const reversed = (renamed: readonly RenamedStore[]): RenamedStore[] =>
  renamed.map(({ from, to }) => ({ from: to, to: from }));

/** True where every store stands under the name that the run gave it. */
export function standRenamed(context: TopicContext, renamed: readonly RenamedStore[]): boolean {
  return renamed.every(({ to }) => isTaken(context, to) && actualBaseOf(context, to, [to]) === to);
}

/** True where they stand under the names that the run found. */
export function standAsFound(context: TopicContext, renamed: readonly RenamedStore[]): boolean {
  return renamed.every(({ from, to }) => isTaken(context, from) && actualBaseOf(context, from, [to]) === to);
}
