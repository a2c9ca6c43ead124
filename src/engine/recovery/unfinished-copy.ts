/**
 * Where `recover --out` works: a directory of its own beside the one that is to be, which nobody takes for a topic. It
 * gets the topic's name once all is done, so that what bears the name is whole. A copy that fails is removed; one whose
 * process was killed is left, and replaced by the next. Its `holder` stays locked meanwhile: what is being made is told
 * from what was left.
 */
import { dirname, join } from 'node:path';
import { syncDirectoriesAbove } from '../directory-sync.ts';
import { FastQueueError } from '../errors.ts';
import { HOLDER_FILE, unfinishedCopyName } from '../format/file-names.ts';
import { isSameFile, type FileHandle } from '../io/file-system.ts';
import { isGone } from '../io/open-if-there.ts';
import { holderPath, type TopicContext } from '../topic-directory.ts';
import { makeDirectories, removeEntry } from '../topic-lifecycle.ts';
import { refuseWithoutLocks, writeHolder } from '../topic-lock.ts';

/**
 * Has a topic made by `make`, in the directory that it is given, and puts it where `target` is. Durable when it resolves.
 *
 * @throws FastQueueError `condition_failed` where something bears that name, `locked` while another process makes the
 *   same; what `make` throws and disk errors as themselves, and what is left then
 */
export async function makeUnderWay<T>(
  target: TopicContext,
  make: (copy: TopicContext) => Promise<T>,
): Promise<T> {
  const { fileSystem } = target;
  const dataDirectory = dirname(target.directory);
  const copy = { ...target, directory: join(dataDirectory, unfinishedCopyName(target.topic)) };
  refuseWithoutLocks(target);
  refuseExisting(target);
  await makeDirectories(fileSystem, dataDirectory);
  const claim = claimDirectory(copy, target);
  let made: T;
  try {
    // What has no holder nobody would replace: nothing else may come through a power cut without it, nor outlive it.
    await fileSystem.syncDirectory(copy.directory);
    removeContents(copy);
    made = await make(copy);
    // Another process may have made the same meanwhile, or anybody something of that name.
    refuseExisting(target);
    fileSystem.rename(copy.directory, target.directory);
  } catch (error) {
    throw toldWith(error, await removeCopy(copy));
  } finally {
    claim.close();
  }
  try {
    await syncDirectoriesAbove(target);
  } catch (error) {
    throw toldWith(error, `The copy in ${target.directory} is whole, but a power cut may take it back.`);
  }
  return made;
}

function refuseExisting({ fileSystem, directory, topic }: TopicContext): void {
  if (fileSystem.status(directory) === undefined) return;
  throw new FastQueueError(
    'condition_failed',
    `There is a ${directory} already, and nothing is ever recovered over something else. Name another directory with --out.`,
    { topic, path: directory, sideEffects: 'none' },
  );
}

/** The locked `holder` of the directory, which nobody else works in until it is closed. */
function claimDirectory(copy: TopicContext, target: TopicContext): FileHandle {
  for (;;) {
    const holder = openHolder(copy);
    // Between being opened and locked it went, or got the topic's name, with all of the directory.
    if (holder === undefined) continue;
    const isFree = holder.tryLock();
    if (isFree && isSameFile(copy.fileSystem.status(holder.path), holder.status())) {
      writeHolder(copy);
      return holder;
    }
    holder.close();
    if (isFree) continue;
    throw new FastQueueError(
      'locked',
      `Another process is recovering into ${target.directory}; ${holder.path} says which. Wait for it, or name another directory with --out.`,
      { topic: copy.topic, path: copy.directory, sideEffects: 'none' },
    );
  }
}

/** Undefined where the directory was taken away between being made and looked into. */
function openHolder(copy: TopicContext): FileHandle | undefined {
  const { fileSystem, directory } = copy;
  fileSystem.makeDirectory(directory);
  const names = fileSystem.list(directory) ?? [];
  // It has one from its beginning to its end: what has none is somebody else's.
  if (names.length > 0 && !names.includes(HOLDER_FILE)) refuseExisting(copy);
  try {
    return fileSystem.open(holderPath(copy), 'create');
  } catch (error) {
    if (isGone(error)) return undefined;
    removeIfEmpty(copy);
    throw error;
  }
}

/** What is in it may be another's. */
function removeIfEmpty({ fileSystem, directory }: TopicContext): void {
  try {
    fileSystem.removeDirectory(directory);
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
  }
}

/** Empties the directory: of everything but its `holder`. */
export function removeContents({ fileSystem, directory }: TopicContext): void {
  for (const name of fileSystem.list(directory) ?? [])
    if (name !== HOLDER_FILE) removeEntry(fileSystem, join(directory, name));
}

/** Returns what is left, in a sentence. */
async function removeCopy(copy: TopicContext): Promise<string> {
  try {
    removeContents(copy);
    await copy.fileSystem.syncDirectory(copy.directory);
    copy.fileSystem.unlink(holderPath(copy));
    copy.fileSystem.removeDirectory(copy.directory);
    return 'The unfinished copy was removed.';
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
    return `An unfinished copy is left in ${copy.directory}; the next recover --out to the same place replaces it.`;
  }
}

function toldWith(error: unknown, sentence: string): unknown {
  if (!(error instanceof FastQueueError)) return error;
  return new FastQueueError(error.code, `${error.message} ${sentence}`, error.details);
}
