/**
 * Reading and judging the high-water mark file. Writing it is the lock holder's (topic-lock.ts hands the file out).
 *
 * A mark is rewritten in place by one `pwrite`, so a reader without the lock may catch it halfway: a wrong checksum is
 * read again before it is believed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { commandLine } from './command-line.ts';
import { FastQueueError } from './errors.ts';
import { classifyTopicFile } from './format/file-names.ts';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  HIGH_WATERMARK_BYTES,
  MARK_FLAG,
  type HighWatermark,
} from './format/high-watermark.ts';
import { isAllZeros } from './format/zeros.ts';
import type { FileHandle, OpenMode } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import {
  MARK_REREAD_COUNT,
  MARK_REREAD_COUNT_UNLOCKED,
  MARK_REREAD_DELAY_MS,
  MARK_REREAD_DELAY_UNLOCKED_MS,
} from './limits.ts';
import {
  listStoreBases,
  listTopicFiles,
  markPath,
  storePath,
  topicNotFound,
  type TopicContext,
} from './topic-directory.ts';

/** Of a mark that is being looked at: decoded before anybody else looks. A byte more than a mark has. */
const PEEKED = Buffer.alloc(HIGH_WATERMARK_BYTES + 1);

const KNOWN_FLAGS = MARK_FLAG.failed | MARK_FLAG.deleted;

/**
 * Opens the mark's file. It is made when a topic is, and by recover: nobody else makes it.
 *
 * @throws FastQueueError `damaged` where the topic has none, `topic_not_found` where the topic is gone
 */
export function openMark(context: TopicContext, mode: OpenMode & ('read' | 'update')): FileHandle {
  const file = openIfThere(context.fileSystem, markPath(context), mode);
  if (file === undefined) throw markUnsound(context);
  return file;
}

/** One look at the file: `undefined` when what is there now is no sound mark. */
export function peekMark(file: FileHandle): HighWatermark | undefined {
  return decodeHighWatermark(PEEKED.subarray(0, file.read(PEEKED, 0)));
}

/**
 * The mark as of now, for a reader that does not hold the lock. Where the copy does not check out it is read again a
 * millisecond apart, then once under a shared lock; where no lock is to be had, for a second.
 *
 * @throws FastQueueError `damaged` when the mark is unsound, `newer_format` when it carries an unknown flag
 */
export async function readMark(context: TopicContext, file: FileHandle): Promise<HighWatermark> {
  for (let attempt = 0; attempt <= MARK_REREAD_COUNT; attempt++) {
    if (attempt > 0) await delay(MARK_REREAD_DELAY_MS);
    const mark = peekMark(file);
    if (mark !== undefined) return refuseNewer(context, mark);
  }
  const mark = context.fileSystem.locksAvailable
    ? await peekUnderLock(context, file)
    : await peekPatiently(file);
  if (mark === undefined) throw markUnsound(context);
  return refuseNewer(context, mark);
}

/**
 * The topic's mark now, without the lock.
 *
 * @throws FastQueueError `topic_not_found`, `damaged`, `newer_format`
 */
export async function currentMark(context: TopicContext): Promise<HighWatermark> {
  const file = openMark(context, 'read');
  try {
    const mark = await readMark(context, file);
    if (isDeleted(mark)) throw topicNotFound(context);
    return mark;
  } finally {
    file.close();
  }
}

/** On a handle of its own, since the caller's may be used for an exclusive lock elsewhere in this process. */
async function peekUnderLock(context: TopicContext, file: FileHandle): Promise<HighWatermark | undefined> {
  const own = context.fileSystem.open(file.path, 'read');
  try {
    for (let attempt = 0; attempt < MARK_REREAD_COUNT_UNLOCKED; attempt++) {
      if (own.tryLock({ shared: true })) {
        try {
          return peekMark(own);
        } finally {
          own.unlock();
        }
      }
      const mark = peekMark(own);
      if (mark !== undefined) return mark;
      await delay(MARK_REREAD_DELAY_UNLOCKED_MS);
    }
    return undefined;
  } finally {
    own.close();
  }
}

async function peekPatiently(file: FileHandle): Promise<HighWatermark | undefined> {
  for (let attempt = 0; attempt < MARK_REREAD_COUNT_UNLOCKED; attempt++) {
    await delay(MARK_REREAD_DELAY_UNLOCKED_MS);
    const mark = peekMark(file);
    if (mark !== undefined) return mark;
  }
  return undefined;
}

/**
 * Writes the mark with one `pwrite`. Visible to every process at once; durable after the file's next sync.
 *
 * @throws FastQueueError with the disk's own code; `io_error` when fewer than 64 bytes were taken
 */
export function writeMark(file: FileHandle, mark: HighWatermark): void {
  writeMarkBytes(file, encodeHighWatermark(mark));
}

/** The same for a mark that was encoded ahead. */
export function writeMarkBytes(file: FileHandle, bytes: Buffer): void {
  const written = file.write(bytes, 0);
  if (written !== HIGH_WATERMARK_BYTES) {
    throw new FastQueueError(
      'io_error',
      `Only ${written} of ${HIGH_WATERMARK_BYTES} bytes of ${file.path} could be written. Check the disk.`,
      { path: file.path },
    );
  }
}

/**
 * Makes the mark durable though a sync of it may have failed, here or in a process that is gone: the kernel then believes
 * that all is well, and only what is written again is synced.
 *
 * @param mark what the mark says now, or is to say
 */
export async function renewMark(file: FileHandle, mark: HighWatermark): Promise<void> {
  writeMark(file, mark);
  await file.datasync();
}

/** A mark with a flag this version does not know was written by a newer one: nothing is safe to assume. */
export function refuseNewer(context: TopicContext, mark: HighWatermark): HighWatermark {
  if ((mark.flags & ~KNOWN_FLAGS) !== 0) {
    throw new FastQueueError(
      'newer_format',
      `The topic "${context.topic}" was written by a newer FastQueue (unknown flags ${mark.flags} in its high-water mark). Upgrade this one.`,
      { topic: context.topic },
    );
  }
  return mark;
}

/** Without topic.json: all stores empty, and the mark missing, blank or at offset 0. */
export function isHalfMade(context: TopicContext, mark: HighWatermark | undefined): boolean {
  const isEmpty = (path: string): boolean => (context.fileSystem.status(path)?.sizeBytes ?? 0) === 0;
  if (mark === undefined ? !isMarkBlank(context) : mark.nextOffset !== 0) return false;
  return listStoreBases(context).every((baseOffset) => isEmpty(storePath(context, baseOffset)));
}

/** Missing, empty or all zeros, which is all that a power cut leaves of a mark that was never synced. */
function isMarkBlank(context: TopicContext): boolean {
  const file = openIfThere(context.fileSystem, markPath(context));
  try {
    const byteCount = file?.read(PEEKED, 0) ?? 0;
    return byteCount === 0 || (byteCount < PEEKED.length && isAllZeros(PEEKED.subarray(0, byteCount)));
  } finally {
    file?.close();
  }
}

/** The refusal of a mark that is missing or damaged; where the topic is only being made, there is none yet. */
export function markUnsound(context: TopicContext): FastQueueError {
  const isMade = listTopicFiles(context).some((name) => classifyTopicFile(name).type === 'settings');
  if (!isMade && isHalfMade(context, undefined)) return topicNotFound(context);
  return new FastQueueError(
    'damaged',
    `The high-water mark of the topic "${context.topic}" is missing or damaged, so it is not known how far the log is durable. ` +
      `Run "${commandLine(context, `recover ${context.topic} --dry-run`)}" to see what would be done.`,
    { topic: context.topic, path: context.directory },
  );
}

export function isDeleted(mark: HighWatermark): boolean {
  return (mark.flags & MARK_FLAG.deleted) !== 0;
}

export function isFailed(mark: HighWatermark): boolean {
  return (mark.flags & MARK_FLAG.failed) !== 0;
}
