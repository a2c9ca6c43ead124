/**
 * `recover --out`: a topic is copied into another data directory and repaired there; the source is only read. Sectors
 * that the disk does not give up are taken as zeros if that is asked for, and become damage of the copy; otherwise the
 * disk's error is what it is.
 */
import { randomUUID } from 'node:crypto';
import { dirname, join, sep } from 'node:path';
import { dataDirectorySuffix } from '../command-line.ts';
import { syncDirectoriesAbove } from '../directory-sync.ts';
import { FastQueueError } from '../errors.ts';
import { storeFileName } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { FileHandle } from '../io/file-system.ts';
import { isFailed, peekMark, refuseNewer, writeMark } from '../mark-file.ts';
import { writeWhole } from '../quarantine.ts';
import { listRuns, runPath } from './runs.ts';
import { DEFAULT_TOPIC_SETTINGS } from '../settings.ts';
import {
  listStoreBases,
  markPath,
  quarantinePath,
  storePath,
  type TopicContext,
} from '../topic-directory.ts';
import { readTopicSettings, writeTopicSettings } from '../topic-settings.ts';

export interface SalvageOptions {
  /** Path of the data directory that the copy goes to; made if need be. */
  readonly out: string;
  readonly unreadableAsDamage: boolean;
  /** Told how many bytes were read since it was told last. */
  readonly onBytes: (byteCount: number) => void;
}

export interface Salvaged {
  /** The copy, not yet repaired. */
  readonly context: TopicContext;
  /** Bytes that the disk did not give up, as ranges of a file. */
  readonly unreadable: readonly {
    readonly path: string;
    readonly position: number;
    readonly bytes: number;
  }[];
}

/** What a disk reads or fails to read as one. */
const SECTOR_BYTES = 4096;
const COPY_BYTES = 1024 * 1024;

/**
 * Copies what a topic holds, under a new topic id. Durable, but for what recovery does to it next.
 *
 * @throws FastQueueError `condition_failed` where the target has a topic of that name, `invalid_argument` where it lies in
 *   the topic; disk errors as themselves
 */
export async function copyTopic(source: TopicContext, options: SalvageOptions): Promise<Salvaged> {
  const { fileSystem } = source;
  const target: TopicContext = {
    ...source,
    directory: join(options.out, source.topic),
    commandSuffix: dataDirectorySuffix(options.out),
  };
  if (target.directory.startsWith(source.directory + sep)) {
    throw new FastQueueError(
      'invalid_argument',
      `${options.out} lies in the topic itself, which --out leaves alone. Name a directory outside of it.`,
      { topic: source.topic, path: options.out, sideEffects: 'none' },
    );
  }
  const mark = markOf(source);
  const bases = listStoreBases(source);
  if (fileSystem.status(target.directory) !== undefined) {
    throw new FastQueueError(
      'condition_failed',
      `There is a ${target.directory} already, and nothing is ever recovered over something else. Name another directory with --out.`,
      { topic: source.topic, path: target.directory, sideEffects: 'none' },
    );
  }
  makeDirectories(fileSystem, target.directory);
  const unreadable: { path: string; position: number; bytes: number }[] = [];
  for (const baseOffset of bases) {
    const from = fileSystem.open(storePath(source, baseOffset), 'read');
    const to = fileSystem.open(join(target.directory, storeFileName(baseOffset)), 'create-new');
    try {
      const { sizeBytes } = from.status();
      // Records that bytes came in before stand behind the mark. What a failed sync has left there is not believed.
      const isCut = mark?.baseOffset === baseOffset && isFailed(mark);
      const byteCount = isCut ? Math.min(sizeBytes, mark.position) : sizeBytes;
      unreadable.push(...copyReadable(from, to, { ...options, byteCount }));
      await to.sync();
    } finally {
      from.close();
      to.close();
    }
  }
  unreadable.push(...(await copyInterrupted(source, target, options)));
  await finishCopy(source, target, mark);
  return { context: target, unreadable };
}

/**
 * Runs that were killed, with all that they kept: frames (and stores) that were being moved may be in their folders only.
 * Repairing the copy begins with them, as in place.
 */
async function copyInterrupted(
  source: TopicContext,
  target: TopicContext,
  options: SalvageOptions,
): Promise<Salvaged['unreadable']> {
  const { fileSystem } = source;
  const unreadable: Salvaged['unreadable'][number][] = [];
  for (const { run, path } of listRuns(source).filter(({ state }) => state === 'interrupted')) {
    makeDirectories(fileSystem, runPath(target, run));
    for (const name of fileSystem.list(path) ?? []) {
      const from = fileSystem.open(join(path, name), 'read');
      const to = fileSystem.open(join(runPath(target, run), name), 'create-new');
      try {
        const byteCount = from.status().sizeBytes;
        unreadable.push(...copyReadable(from, to, { ...options, onBytes: () => undefined, byteCount }));
        await to.sync();
      } finally {
        from.close();
        to.close();
      }
    }
    await fileSystem.syncDirectory(runPath(target, run));
    await fileSystem.syncDirectory(quarantinePath(target));
  }
  return unreadable;
}

function markOf(context: TopicContext): HighWatermark | undefined {
  if (context.fileSystem.status(markPath(context)) === undefined) return undefined;
  const file = context.fileSystem.open(markPath(context), 'read');
  try {
    const mark = peekMark(file);
    return mark === undefined ? undefined : refuseNewer(context, mark);
  } finally {
    file.close();
  }
}

function makeDirectories(fileSystem: TopicContext['fileSystem'], directory: string): void {
  const missing: string[] = [];
  for (let path = directory; fileSystem.status(path) === undefined; path = dirname(path))
    missing.unshift(path);
  for (const path of missing) fileSystem.makeDirectory(path);
}

/** Copies in large pieces; a piece that cannot be read sector by sector. */
function copyReadable(
  from: FileHandle,
  to: FileHandle,
  options: SalvageOptions & { byteCount: number },
): { path: string; position: number; bytes: number }[] {
  const unreadable: { path: string; position: number; bytes: number }[] = [];
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
  target: TopicContext,
  mark: HighWatermark | undefined,
): Promise<void> {
  const file = target.fileSystem.open(markPath(target), 'create-new');
  try {
    if (mark !== undefined) writeMark(file, { ...mark, generation: Date.now(), flags: 0 });
    await file.sync();
  } finally {
    file.close();
  }
  await writeTopicSettings(target, {
    format: 1,
    id: randomUUID(),
    created: new Date().toISOString(),
    settings: readTopicSettings(source)?.settings ?? DEFAULT_TOPIC_SETTINGS,
  });
  await syncDirectoriesAbove(target);
}
