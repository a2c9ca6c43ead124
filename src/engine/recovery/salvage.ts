/**
 * The first half of `recover --out`: a topic is copied into another data directory, to be repaired there; the source is
 * only read. Sectors that the disk does not give up are taken as zeros if that is asked for, and become damage of the
 * copy; otherwise the disk's error is what it is.
 */
import { randomUUID } from 'node:crypto';
import { join, sep } from 'node:path';
import { dataDirectorySuffix } from '../command-line.ts';
import { FastQueueError } from '../errors.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { FileHandle, FileSystem } from '../io/file-system.ts';
import { isFailed, writeMark } from '../mark-file.ts';
import { writeWhole } from '../io/write-whole.ts';
import { listRuns, runPath } from './runs.ts';
import { DEFAULT_TOPIC_SETTINGS } from '../settings.ts';
import {
  listStoreBases,
  markPath,
  quarantinePath,
  storePath,
  topicNotFound,
  type TopicContext,
} from '../topic-directory.ts';
import { readTopicSettings, writeTopicSettings } from '../topic-settings.ts';
import { isHalfDone } from './interrupted-runs.ts';
import { removeContents } from './unfinished-copy.ts';
import { seenMark, untilStill } from './until-still.ts';

export interface SalvageOptions {
  readonly unreadableAsDamage: boolean;
  /** Told how many bytes were read since it was told last. */
  readonly onBytes: (byteCount: number) => void;
}

/** Bytes that the disk did not give up, as a range of a file. */
export interface UnreadableRange {
  readonly path: string;
  readonly position: number;
  readonly bytes: number;
}

/** What a disk reads or fails to read as one. */
const SECTOR_BYTES = 4096;
const COPY_BYTES = 1024 * 1024;

/**
 * The topic that a copy in the data directory `out` is to be.
 *
 * @throws FastQueueError `topic_not_found` where there is no source, `invalid_argument` where that lies in the source itself
 */
export function copyTarget(source: TopicContext, out: string): TopicContext {
  if (source.fileSystem.status(source.directory) === undefined) throw topicNotFound(source);
  const directory = join(out, source.topic);
  if (directory.startsWith(source.directory + sep)) {
    throw new FastQueueError(
      'invalid_argument',
      `${out} lies in the topic itself, which --out leaves alone. Name a directory outside of it.`,
      { topic: source.topic, path: out, sideEffects: 'none' },
    );
  }
  return { ...source, directory, commandSuffix: dataDirectorySuffix(out) };
}

/**
 * Copies what a topic holds into an empty directory, under a new topic id. Durable when it resolves, the directory's own
 * entry aside. Returns what could not be read.
 *
 * @throws FastQueueError `topic_not_found`; `locked` when the log began elsewhere again and again; disk errors as themselves
 */
export function copyTopic(
  source: TopicContext,
  copy: TopicContext,
  options: SalvageOptions,
): Promise<UnreadableRange[]> {
  const begin = { mark: seenMark(source), onBytes: options.onBytes };
  return untilStill(source, begin, (mark, onBytes) => copyAsOf(source, copy, mark, { ...options, onBytes }));
}

/** Undefined where retention took something between the look at the mark and the listing. */
async function copyAsOf(
  source: TopicContext,
  copy: TopicContext,
  mark: HighWatermark | undefined,
  options: SalvageOptions,
): Promise<UnreadableRange[] | undefined> {
  const { fileSystem } = source;
  removeContents(copy);
  const bases = listStoreBases(source);
  // What is taken once it was listed may have been copied by then: this mark says that it is still there.
  if (seenMark(source)?.startOffset !== mark?.startOffset) return undefined;
  const unreadable: UnreadableRange[] = [];
  for (const baseOffset of bases) {
    // Records that bytes came in before stand behind the mark. What a failed sync has left there is not believed.
    const isCut = mark?.baseOffset === baseOffset && isFailed(mark);
    const paths = { from: storePath(source, baseOffset), to: storePath(copy, baseOffset) };
    const mostBytes = isCut ? mark.position : Infinity;
    unreadable.push(...(await copyFile(fileSystem, paths, { ...options, mostBytes })));
  }
  unreadable.push(...(await copyInterrupted(source, copy, options)));
  await finishCopy(source, copy, mark);
  return unreadable;
}

/**
 * Runs that were killed, or whose undo was, with all that they kept: frames (and stores) that were being moved may be in
 * their folders only. Repairing the copy begins with them, as in place.
 */
async function copyInterrupted(
  source: TopicContext,
  copy: TopicContext,
  options: SalvageOptions,
): Promise<UnreadableRange[]> {
  const { fileSystem } = source;
  const unreadable: UnreadableRange[] = [];
  for (const { run, path } of listRuns(source).filter((run) => isHalfDone(source, run))) {
    fileSystem.makeDirectory(quarantinePath(copy));
    fileSystem.makeDirectory(runPath(copy, run));
    for (const name of fileSystem.list(path) ?? []) {
      const paths = { from: join(path, name), to: join(runPath(copy, run), name) };
      const fileOptions = { ...options, onBytes: () => undefined, mostBytes: Infinity };
      unreadable.push(...(await copyFile(fileSystem, paths, fileOptions)));
    }
    await fileSystem.syncDirectory(runPath(copy, run));
    await fileSystem.syncDirectory(quarantinePath(copy));
  }
  return unreadable;
}

/** Copies a file, or its beginning, to one that is not there yet, and syncs that. */
async function copyFile(
  fileSystem: FileSystem,
  paths: { from: string; to: string },
  options: SalvageOptions & { mostBytes: number },
): Promise<UnreadableRange[]> {
  const from = fileSystem.open(paths.from, 'read');
  try {
    const to = fileSystem.open(paths.to, 'create-new');
    try {
      const byteCount = Math.min(from.status().sizeBytes, options.mostBytes);
      const unreadable = copyReadable(from, to, { ...options, byteCount });
      await to.sync();
      return unreadable;
    } finally {
      to.close();
    }
  } finally {
    from.close();
  }
}

/** Copies in large pieces; a piece that cannot be read sector by sector. */
function copyReadable(
  from: FileHandle,
  to: FileHandle,
  options: SalvageOptions & { byteCount: number },
): UnreadableRange[] {
  const unreadable: UnreadableRange[] = [];
  const chunk = Buffer.alloc(COPY_BYTES);
  const copy = (position: number, byteCount: number): void => {
    const bytes = chunk.subarray(0, byteCount);
    try {
      writeWhole(to, bytes.subarray(0, from.read(bytes, position)), position);
    } catch (error) {
      if (!options.unreadableAsDamage || !isUnreadable(error, from.path)) throw error;
      if (byteCount > SECTOR_BYTES) {
        for (let at = 0; at < byteCount; at += SECTOR_BYTES)
          copy(position + at, Math.min(SECTOR_BYTES, byteCount - at));
        return;
      }
      writeWhole(to, Buffer.alloc(byteCount), position);
      unreadable.push({ path: from.path, position, bytes: byteCount });
    }
  };
  for (let position = 0; position < options.byteCount; position += COPY_BYTES) {
    const byteCount = Math.min(COPY_BYTES, options.byteCount - position);
    copy(position, byteCount);
    options.onBytes(byteCount);
  }
  return unreadable;
}

/** An EIO of the source, not of the disk that is written to. */
function isUnreadable(error: unknown, path: string): boolean {
  return error instanceof FastQueueError && error.details.errno === 'EIO' && error.details.path === path;
}

/** Mark and topic.json, the latter last: it makes a topic of the directory. Without a sound mark recovery makes one. */
async function finishCopy(
  source: TopicContext,
  copy: TopicContext,
  mark: HighWatermark | undefined,
): Promise<void> {
  const file = copy.fileSystem.open(markPath(copy), 'create-new');
  try {
    if (mark !== undefined) writeMark(file, { ...mark, generation: Date.now(), flags: 0 });
    await file.sync();
  } finally {
    file.close();
  }
  await writeTopicSettings(copy, {
    format: 1,
    id: randomUUID(),
    created: new Date().toISOString(),
    settings: readTopicSettings(source)?.settings ?? DEFAULT_TOPIC_SETTINGS,
  });
}
