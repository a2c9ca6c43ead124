/**
 * Whole stores that recovery makes or replaces. Only sealed stores are ever replaced, in the order of compact: the index
 * goes first, then the new store takes the name of the old one. The caller holds the lock and has raised the generation.
 */
import { ActiveSegment } from '../active-segment.ts';
import { temporaryFileName } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { FileHandle } from '../io/file-system.ts';
import { writeMark } from '../mark-file.ts';
import { removeIndex } from '../offset-index.ts';
import { copyBytes, writeWhole } from '../io/write-whole.ts';
import { openRunFile } from './runs.ts';
import { DEFAULT_TOPIC_SETTINGS } from '../settings.ts';
import { storePath, type TopicContext } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';
import { readTopicSettings } from '../topic-settings.ts';

/** Bytes of a store that are to be replaced by a file of a run's folder. */
export interface Splice {
  readonly baseOffset: number;
  readonly position: number;
  readonly byteCount: number;
  /** Name in the run's folder. */
  readonly file: string;
}

/** Makes a store that is missing (or empty), durable with its directory entry when this resolves. */
export async function placeStore(
  context: TopicContext,
  store: { baseOffset: number; bytes: Buffer; run: string },
): Promise<void> {
  const path = storePath(context, store.baseOffset);
  await putInPlace(context, { path, run: store.run }, (file) => {
    writeWhole(file, store.bytes, 0);
  });
}

/** Seals the active segment and begins an empty one behind it, as a writer's roll does. Returns the new mark, synced. */
export async function rollActive(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  mark: HighWatermark,
): Promise<HighWatermark> {
  const sealed = context.fileSystem.open(storePath(context, mark.baseOffset), 'update');
  try {
    await sealed.datasync();
  } finally {
    sealed.close();
  }
  const { indexIntervalBytes } = readTopicSettings(context)?.settings ?? DEFAULT_TOPIC_SETTINGS;
  const created = await ActiveSegment.create(context, { baseOffset: mark.nextOffset, indexIntervalBytes });
  created.close();
  const rolled = { ...mark, baseOffset: mark.nextOffset, position: 0 };
  writeMark(hold.markFile, rolled);
  await hold.markFile.datasync();
  return rolled;
}

/** Writes stores again beside themselves with the splices made, and puts them in their places. */
export async function replaceStores(
  context: TopicContext,
  run: string,
  splices: readonly Splice[],
): Promise<void> {
  const bases = [...new Set(splices.map(({ baseOffset }) => baseOffset))];
  for (const baseOffset of bases) {
    const own = splices
      .filter((splice) => splice.baseOffset === baseOffset)
      .sort((left, right) => left.position - right.position);
    await replaceStore(context, { run, baseOffset, splices: own });
  }
}

async function replaceStore(
  context: TopicContext,
  request: { run: string; baseOffset: number; splices: readonly Splice[] },
): Promise<void> {
  const { fileSystem, directory } = context;
  const path = storePath(context, request.baseOffset);
  const source = fileSystem.open(path, 'read');
  try {
    removeIndex(context, request.baseOffset);
    await fileSystem.syncDirectory(directory);
    await putInPlace(context, { path, run: request.run }, (target) => {
      writeSpliced(context, { ...request, source, target });
    });
  } finally {
    source.close();
  }
}

function writeSpliced(
  context: TopicContext,
  request: { run: string; splices: readonly Splice[]; source: FileHandle; target: FileHandle },
): void {
  const { source, target } = request;
  const sizeBytes = source.status().sizeBytes;
  let from = 0;
  let to = 0;
  const copyUntil = (position: number): void => {
    copyBytes(source, target, { from, to, byteCount: position - from });
    to += position - from;
  };
  for (const splice of request.splices) {
    copyUntil(splice.position);
    const replacement = openRunFile(context, request.run, splice.file);
    try {
      const byteCount = replacement.status().sizeBytes;
      copyBytes(replacement, target, { from: 0, to, byteCount });
      to += byteCount;
    } finally {
      replacement.close();
    }
    from = splice.position + splice.byteCount;
  }
  copyUntil(sizeBytes);
}

/** Temporary file, sync, rename, directory sync. */
async function putInPlace(
  context: TopicContext,
  place: { path: string; run: string },
  fill: (file: FileHandle) => void,
): Promise<void> {
  const { fileSystem, directory } = context;
  const temporaryPath = temporaryFileName(place.path, place.run);
  // What a killed run left under this name is begun again.
  fileSystem.unlink(temporaryPath);
  const file = fileSystem.open(temporaryPath, 'create-new');
  try {
    fill(file);
    await file.sync();
    fileSystem.rename(temporaryPath, place.path);
  } catch (error) {
    fileSystem.unlink(temporaryPath);
    throw error;
  } finally {
    file.close();
  }
  await fileSystem.syncDirectory(directory);
}
