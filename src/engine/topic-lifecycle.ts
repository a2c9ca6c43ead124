/**
 * How a topic comes to be and goes: creation, finishing what a killed creator left, deletion, finishing that.
 * A directory is a topic if it has a topic.json or a store.
 */
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { syncDirectoriesAbove } from './directory-sync.ts';
import { FastQueueError } from './errors.ts';
import {
  classifyTopicFile,
  deletedDirectoryName,
  HIGH_WATERMARK_FILE,
  isDeletedDirectoryName,
} from './format/file-names.ts';
import { MARK_FLAG, type HighWatermark } from './format/high-watermark.ts';
import { isSameFile, type FileSystem } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { isDeleted, isHalfMade, markUnsound, peekMark, renewMark, writeMark } from './mark-file.ts';
import type { TopicSettings } from './settings.ts';
import {
  listStoreBases,
  listTopicFiles,
  markPath,
  storePath,
  topicNotFound,
  type TopicContext,
} from './topic-directory.ts';
import {
  refuseMoved,
  refuseWithoutLocks,
  TopicMoved,
  withTopicLock,
  writeHolder,
  type LockHold,
} from './topic-lock.ts';
import { writeTopicSettings } from './topic-settings.ts';

/** What stands under a topic's name. `half-made`: a creator was killed; `deleted`: a deletion was. */
export type TopicStanding = 'none' | 'half-made' | 'deleted' | 'topic';

/** Looks without the lock and changes nothing. */
export function topicStanding(context: TopicContext): TopicStanding {
  const names = context.fileSystem.list(context.directory);
  if (names === undefined) return 'none';
  const types = new Set(names.map((name) => classifyTopicFile(name).type));
  const mark = (): HighWatermark | undefined => peekMarkFile(context.fileSystem, markPath(context));
  if (types.has('mark') && isDeleted(mark() ?? NO_FLAGS)) return 'deleted';
  if (types.has('settings')) return 'topic';
  if (!types.has('store')) return 'half-made';
  return isHalfMade(context, mark()) ? 'half-made' : 'topic';
}

const NO_FLAGS = { flags: 0 } as HighWatermark;

function peekMarkFile(fileSystem: FileSystem, path: string): HighWatermark | undefined {
  const file = openIfThere(fileSystem, path);
  if (file === undefined) return undefined;
  try {
    return peekMark(file);
  } finally {
    file.close();
  }
}

/**
 * Makes the topic, or finishes one that is half made. Durable when it resolves, directory entries included. A topic
 * that is there already is left as it is.
 *
 * @returns true when this call made it
 */
export async function createTopic(
  context: TopicContext,
  options: { settings: TopicSettings; lockTimeoutMs: number },
): Promise<boolean> {
  const { fileSystem, directory } = context;
  refuseWithoutLocks(context);
  if (topicStanding(context) === 'deleted') await finishDeletion(context, options.lockTimeoutMs);
  await makeDirectories(fileSystem, dirname(directory));
  fileSystem.makeDirectory(directory);
  if (listStoreBases(context).length === 0) fileSystem.open(markPath(context), 'create').close();
  return withTopicLock(context, options.lockTimeoutMs, async (hold) => {
    if (!isUnfinished(context, hold)) return false;
    writeHolder(context);
    await makeMissing(context, hold);
    refuseMoved(context, hold);
    await writeTopicSettings(context, {
      format: 1,
      id: randomUUID(),
      created: new Date().toISOString(),
      settings: options.settings,
    });
    await syncDirectoriesAbove(context);
    return true;
  });
}

function isUnfinished(context: TopicContext, hold: LockHold): boolean {
  if (listTopicFiles(context).some((name) => classifyTopicFile(name).type === 'settings')) return false;
  return isHalfMade(context, peekMark(hold.markFile));
}

/** Store, then mark, both synced with their directory; topic.json comes last and makes it a topic. */
async function makeMissing(context: TopicContext, hold: LockHold): Promise<void> {
  const { fileSystem, directory } = context;
  const store = fileSystem.open(storePath(context, 0), 'create');
  try {
    await store.sync();
  } finally {
    store.close();
  }
  writeMark(hold.markFile, {
    nextOffset: 0,
    baseOffset: 0,
    position: 0,
    timestamp: 0,
    startOffset: 0,
    // Never used before, so that nobody takes this topic for one of the same name that was deleted.
    generation: Date.now(),
    flags: 0,
  });
  await hold.markFile.sync();
  await fileSystem.syncDirectory(directory);
}

/** `mkdir -p`, each entry durable. */
export async function makeDirectories(fileSystem: FileSystem, path: string): Promise<void> {
  if (fileSystem.status(path)?.isDirectory === true) return;
  const parent = dirname(path);
  if (parent !== path) await makeDirectories(fileSystem, parent);
  fileSystem.makeDirectory(path);
  await fileSystem.syncDirectory(parent);
}

/**
 * Deletes the topic, records, groups and quarantine included. Once the flag in the mark is durable it is gone for
 * everybody; the rest is clearing up, which others finish if this process dies.
 *
 * @throws FastQueueError `topic_not_found`, `locked`
 */
export async function deleteTopic(context: TopicContext, lockTimeoutMs: number): Promise<void> {
  const standing = topicStanding(context);
  if (standing === 'none') throw topicNotFound(context);
  if (standing === 'deleted') {
    await finishDeletion(context, lockTimeoutMs);
    throw topicNotFound(context);
  }
  const removed = await withTopicLock(context, lockTimeoutMs, async (hold) => {
    const mark = peekMark(hold.markFile);
    if (mark === undefined) throw markUnsound(context);
    if (isDeleted(mark)) throw topicNotFound(context);
    const generation = mark.generation + 1;
    try {
      writeMark(hold.markFile, { ...mark, generation, flags: mark.flags | MARK_FLAG.deleted });
      await hold.markFile.datasync();
      return await renameAway(context, hold);
    } catch (error) {
      throw deletionBegun(context, error);
    }
  });
  try {
    removeTree(context.fileSystem, removed);
  } catch (error) {
    throw deletionBegun(context, error);
  }
}

/** From the flag on readers take the topic for deleted, whatever comes of the rest. */
function deletionBegun({ topic }: TopicContext, error: unknown): unknown {
  if (!(error instanceof FastQueueError)) return error;
  return new FastQueueError(
    error.code,
    `The deletion of "${topic}" was begun and not finished: ${error.message}`,
    { ...error.details, topic, sideEffects: 'unknown', cause: error },
  );
}

/** Finishes what a killed deletion left: the directory still has the topic's name, its mark says deleted. */
export async function finishDeletion(context: TopicContext, lockTimeoutMs: number): Promise<void> {
  const removed = await renameDeleted(context, lockTimeoutMs);
  if (removed !== undefined) removeTree(context.fileSystem, removed);
}

/**
 * The first half of it: the name is free afterwards. Returns the directory's new path, which is left to be removed;
 * undefined where somebody else was faster.
 */
export async function renameDeleted(
  context: TopicContext,
  lockTimeoutMs: number,
): Promise<string | undefined> {
  try {
    return await withTopicLock(context, lockTimeoutMs, async (hold) => {
      const mark = peekMark(hold.markFile);
      if (mark === undefined || !isDeleted(mark)) return undefined;
      // Whoever set the flag may have died before it was durable: what was renamed without it nobody would remove.
      await renewMark(hold.markFile, mark);
      return renameAway(context, hold);
    });
  } catch (error) {
    if (error instanceof TopicMoved) return undefined;
    if (error instanceof FastQueueError && error.code === 'topic_not_found') return undefined;
    throw error;
  }
}

/** @throws TopicMoved where another directory has the name by now */
async function renameAway(context: TopicContext, hold: LockHold): Promise<string> {
  refuseMoved(context, hold);
  const dataDirectory = dirname(context.directory);
  const target = join(dataDirectory, deletedDirectoryName(randomUUID()));
  context.fileSystem.rename(context.directory, target);
  await context.fileSystem.syncDirectory(dataDirectory);
  return target;
}

/**
 * Removes a renamed topic directory and all that is in it. A symbolic link in it is removed and never followed: what it
 * leads to is somebody else's. The directory itself may be one, to where the topic really was, as long as that is there:
 * by its own name the topic may be deleted and made anew meanwhile.
 */
export function removeTree(fileSystem: FileSystem, path: string): void {
  const directory = fileSystem.status(path);
  for (const name of fileSystem.list(path) ?? []) {
    if (!isSameFile(fileSystem.status(path), directory)) break;
    removeEntry(fileSystem, join(path, name));
  }
  if (!removeIfDirectory(fileSystem, path)) fileSystem.unlink(path);
}

/** Removes a file, a link, or a directory with all that is in it. */
export function removeEntry(fileSystem: FileSystem, path: string): void {
  try {
    if (!removeIfDirectory(fileSystem, path)) fileSystem.unlink(path);
  } catch (error) {
    const errno = error instanceof FastQueueError ? error.details.errno : undefined;
    if (errno !== 'ENOTEMPTY' && errno !== 'EEXIST') throw error;
    removeTree(fileSystem, path);
  }
}

/**
 * False where `path` is anything else, a link to a directory included, which the system does not take for one here. True
 * also where nothing is left: others may be removing the same.
 */
function removeIfDirectory(fileSystem: FileSystem, path: string): boolean {
  try {
    fileSystem.removeDirectory(path);
    return true;
  } catch (error) {
    const errno = error instanceof FastQueueError ? error.details.errno : undefined;
    if (errno === 'ENOTDIR') return false;
    if (errno === 'ENOENT') return true;
    throw error;
  }
}

/** Paths of what deletions that were killed left in a data directory: directories that were renamed and not removed. */
export function listDeletedDirectories(fileSystem: FileSystem, dataDirectory: string): string[] {
  return (fileSystem.list(dataDirectory) ?? [])
    .filter(isDeletedDirectoryName)
    .map((name) => join(dataDirectory, name))
    .filter((path) => fileSystem.status(path)?.isDirectory === true && !isAlive(fileSystem, path));
}

/** A mark that says nothing of a deletion: somebody renamed a topic by hand. */
function isAlive(fileSystem: FileSystem, path: string): boolean {
  const mark = peekMarkFile(fileSystem, join(path, HIGH_WATERMARK_FILE));
  return mark !== undefined && !isDeleted(mark);
}

/** Removes what `listDeletedDirectories` found. Killed in between, it leaves what the next call finds. */
export async function removeDeletedDirectories(
  fileSystem: FileSystem,
  dataDirectory: string,
): Promise<number> {
  const paths = listDeletedDirectories(fileSystem, dataDirectory);
  for (const path of paths) removeTree(fileSystem, path);
  if (paths.length > 0) await fileSystem.syncDirectory(dataDirectory);
  return paths.length;
}
