/**
 * Settling: what the holder of the lock does when the active store's size is not what the mark says, because a writer
 * died or failed between its write and its mark.
 *
 * Good frames past the mark are adopted (they were synced, or never acknowledged: both are allowed). An unfinished end
 * is a torn tail: kept in quarantine, then cut. Anything else is damage, which only recover may touch. The time this
 * takes depends on what lies past the mark, never on the size of the log.
 */
import { commandLine } from './command-line.ts';
import { FastQueueError } from './errors.ts';
import { storeFileName } from './format/file-names.ts';
import { MARK_FLAG, type HighWatermark } from './format/high-watermark.ts';
import { scanTail, type TailScan } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { hasNextSegment, lastStoreBehind } from './later-stores.ts';
import { isDeleted, isFailed, markUnsound, peekMark, refuseNewer, writeMark } from './mark-file.ts';
import { dropIndexBeyond } from './offset-index.ts';
import { pruneTornTails, QuarantineRun, type QuarantineReason } from './quarantine.ts';
import { endsAtMark } from './store-end.ts';
import { openIfThere } from './io/open-if-there.ts';
import { storePath, topicNotFound, type TopicContext } from './topic-directory.ts';
import { TopicLock } from './topic-lock.ts';

/** Where the log stands, under the exclusive lock. */
export interface LockedLog {
  readonly context: TopicContext;
  /** The locked mark file. */
  readonly markFile: FileHandle;
  /** The active store that `mark` names, open for update. */
  readonly store: FileHandle;
  readonly mark: HighWatermark;
}

/**
 * Makes store and mark agree and returns the mark, written and synced. It may name a later segment than before.
 *
 * @throws FastQueueError `damaged` when acknowledged records are missing or what lies past the mark is no torn tail;
 *   disk errors as themselves, with the flag `failed` left for whoever comes next
 */
export async function settle(log: LockedLog): Promise<HighWatermark> {
  const sizeBytes = log.store.status().sizeBytes;
  if (sizeBytes < log.mark.position) throw missingTail(log, sizeBytes);
  if (isFailed(log.mark)) {
    // A sync reported an error: what reads back past the mark may be page cache only. Never believed.
    return cutTail(log, { endPosition: log.mark.position, sizeBytes, reason: 'failed-write' });
  }
  await syncUnproven(log);
  const { context, store, mark } = log;
  const scan = scanBehind(context, mark, store);
  if (scan.ending === 'damaged' || isMovedEnd(log, scan))
    throw damagedTail(log, scan.goodEndPosition, scan.nextOffset);
  const adopted: HighWatermark = {
    ...mark,
    nextOffset: scan.nextOffset,
    position: scan.goodEndPosition,
    timestamp: scan.nextOffset > mark.nextOffset ? scan.lastTimestamp : mark.timestamp,
  };
  // Nobody rolls behind an unfinished end, nor before the next segment begins: what stands there was acknowledged.
  const later = lastStoreBehind(context, adopted);
  const isNext = scan.ending === 'clean' && hasNextSegment(context, adopted);
  if (later !== undefined && !isNext) throw damagedTail(log, scan.goodEndPosition, scan.nextOffset);
  if (scan.ending === 'torn-tail') {
    return cutTail(
      { ...log, mark: adopted },
      { endPosition: adopted.position, sizeBytes, reason: 'torn-tail' },
    );
  }
  if (isNext) return settleLaterSegment(log, adopted);
  writeMark(log.markFile, adopted);
  await log.markFile.datasync();
  return adopted;
}

/** The end of a store that settling cuts: what begins here is kept in quarantine. */
export interface TailCut {
  readonly baseOffset: number;
  readonly position: number;
  readonly byteCount: number;
}

/** What settling would cut, seen without the lock. Undefined where nothing is, or where it would meet damage. */
export function seenCut(context: TopicContext, mark: HighWatermark): TailCut | undefined {
  const { baseOffset } = mark;
  const store = openIfThere(context.fileSystem, storePath(context, baseOffset));
  if (store === undefined) return undefined;
  try {
    const { sizeBytes } = store.status();
    const cutAt = (position: number): TailCut | undefined =>
      sizeBytes > position ? { baseOffset, position, byteCount: sizeBytes - position } : undefined;
    if (isFailed(mark)) return cutAt(mark.position);
    const scan = scanBehind(context, mark, store);
    if (scan.ending === 'torn-tail') return cutAt(scan.goodEndPosition);
    const isLast = scan.ending === 'damaged' || scan.nextOffset === baseOffset;
    return isLast ? undefined : seenCut(context, { ...mark, ...laterSegment(scan.nextOffset) });
  } finally {
    store.close();
  }
}

const laterSegment = (nextOffset: number): Pick<HighWatermark, 'nextOffset' | 'baseOffset' | 'position'> => ({
  nextOffset,
  baseOffset: nextOffset,
  position: 0,
});

/** Judges what lies behind the mark in the active store. */
export function scanBehind(context: TopicContext, mark: HighWatermark, store: FileHandle): TailScan {
  return scanTail({
    file: store,
    kernel: context.kernel,
    position: mark.position,
    offset: mark.nextOffset,
    endPosition: store.status().sizeBytes,
    minTimestamp: mark.position === 0 ? -Infinity : mark.timestamp,
  });
}

/** What was acknowledged and now lies behind the mark, since bytes came in before it, looks unfinished and must not be cut. */
function isMovedEnd({ context, mark, store }: LockedLog, scan: TailScan): boolean {
  if (scan.ending !== 'torn-tail' || scan.goodEndPosition > mark.position) return false;
  return !endsAtMark(context, mark, store);
}

/** A stale mark (put back from a copy, say) may lie a roll behind: the next segment begins where this one ends. */
async function settleLaterSegment(log: LockedLog, adopted: HighWatermark): Promise<HighWatermark> {
  const store = log.context.fileSystem.open(storePath(log.context, adopted.nextOffset), 'update');
  try {
    return await settle({ ...log, store, mark: { ...adopted, ...laterSegment(adopted.nextOffset) } });
  } finally {
    store.close();
  }
}

/**
 * Syncs the store, since the frames of a dead writer may still be in the page cache only. An error here is the only report
 * there will be: whoever synced again would be told that all is well, so what lies behind the mark is cut (invariant 7).
 *
 * @throws FastQueueError with the disk's own code
 */
export async function syncUnproven(log: LockedLog): Promise<void> {
  const { store, mark } = log;
  try {
    await store.datasync();
  } catch (error) {
    // A store that ends before the mark lacks acknowledged records; cutting it there would make it longer.
    if (store.status().sizeBytes >= mark.position) await cutAfterFailure(log);
    throw error;
  }
}

/**
 * Quarantine, sync, flag, cut, sync, clear: in this order, so that a process killed anywhere in between leaves either
 * the tail where it was or a flag that says it must not be believed.
 */
async function cutTail(
  log: LockedLog,
  cut: { endPosition: number; sizeBytes: number; reason: QuarantineReason },
): Promise<HighWatermark> {
  const { context, mark, markFile, store } = log;
  if (cut.sizeBytes > cut.endPosition) {
    await keepTail(log, cut);
    writeMark(markFile, { ...mark, flags: mark.flags | MARK_FLAG.failed });
    dropIndexBeyond(context, { baseOffset: mark.baseOffset, position: cut.endPosition });
    store.truncate(cut.endPosition);
  }
  await store.sync();
  const settled = cleared(mark);
  writeMark(markFile, settled);
  await markFile.datasync();
  if (cut.reason === 'torn-tail') await pruneTornTails(context);
  return settled;
}

/**
 * Without the flag, in another generation: every writer opens the topic again, and syncs this mark before it appends.
 * Else a power cut could bring the flag back, and what was acknowledged meanwhile would not be believed.
 */
const cleared = (mark: HighWatermark): HighWatermark => ({
  ...mark,
  generation: mark.generation + 1,
  flags: mark.flags & ~MARK_FLAG.failed,
});

/** Durable when it resolves. Where the disk does not take it, nothing of it stays. */
async function keepTail(
  { context, mark, store }: LockedLog,
  cut: { endPosition: number; sizeBytes: number; reason: QuarantineReason },
): Promise<void> {
  const run = QuarantineRun.create(context, cut.reason);
  try {
    await run.keep(store, storeFileName(mark.baseOffset), {
      position: cut.endPosition,
      byteCount: cut.sizeBytes - cut.endPosition,
    });
    await run.seal({ nextOffset: mark.nextOffset, generation: mark.generation });
  } catch (error) {
    await run.discard();
    throw error;
  }
}

/**
 * What the holder of the lock does after a write or sync of the store failed or came up short (invariant 7): flag
 * `failed`, cut the store back to the mark, sync the cut, clear the flag. Resolves to true when all of that succeeded
 * and nothing of the batch exists; on false the flag stays, or could not even be set, and the outcome is unknown.
 */
export async function cutAfterFailure(log: LockedLog): Promise<boolean> {
  const { context, mark, markFile, store } = log;
  try {
    writeMark(markFile, { ...mark, flags: mark.flags | MARK_FLAG.failed });
    dropIndexBeyond(context, mark);
    store.truncate(mark.position);
    await store.sync();
    writeMark(markFile, cleared(mark));
    return true;
  } catch {
    return false;
  }
}

function missingTail(log: LockedLog, sizeBytes: number): FastQueueError {
  const { context, mark, store } = log;
  return new FastQueueError(
    'damaged',
    `Acknowledged records are missing at the end of "${context.topic}": ${store.path} has ${sizeBytes} bytes, ` +
      `and the high-water mark says ${mark.position}. Nothing is appended until ` +
      `"${commandLine(context, `recover ${context.topic}`)}" has recorded the gap, so that no offset is given twice.`,
    { topic: context.topic, path: store.path, position: sizeBytes, endOffset: mark.nextOffset },
  );
}

function damagedTail(log: LockedLog, position: number, offset: number): FastQueueError {
  const { context, store } = log;
  return new FastQueueError(
    'damaged',
    `What lies behind the high-water mark in ${store.path} is damaged from byte ${position} (offset ${offset}) on, ` +
      `and it is no torn tail. Run "${commandLine(context, `recover ${context.topic} --dry-run`)}" to see what would be done.`,
    { topic: context.topic, path: store.path, position, offset },
  );
}

/**
 * For a reader that may write and sees bytes past the mark: settles them if the lock is free this instant. A lock that
 * is taken means that a writer lives, and what it has not acknowledged is nobody's to read.
 *
 * @returns true when the lock was had and store and mark agree now
 */
export async function settleIfFree(context: TopicContext): Promise<boolean> {
  const { fileSystem } = context;
  if (fileSystem.appendRefusal !== undefined || !fileSystem.isWritable(context.directory)) return false;
  const lock = TopicLock.open(context);
  try {
    const hold = lock.tryAcquire();
    if (hold === undefined) return false;
    try {
      const mark = peekMark(hold.markFile);
      if (mark === undefined) throw markUnsound(context);
      if (isDeleted(refuseNewer(context, mark))) throw topicNotFound(context);
      const store = fileSystem.open(storePath(context, mark.baseOffset), 'update');
      try {
        if (!hold.isInPlace()) return false;
        if (store.status().sizeBytes !== mark.position || isFailed(mark) || hasNextSegment(context, mark)) {
          await settle({ context, markFile: hold.markFile, store, mark });
        }
      } finally {
        store.close();
      }
      return true;
    } finally {
      hold.release();
    }
  } finally {
    lock.close();
  }
}
