/**
 * Indexes after a repair. Entries outside the region are right as they are; one for the frame that became a gap is
 * written again in its place, and where several point into the region the index is replaced without them, by rename.
 * The caller holds the lock and has raised the generation. An index that cannot be mended is removed: it is a cache.
 */
import { FastQueueError } from './errors.ts';
import { temporaryFileName } from './format/file-names.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES } from './format/frame.ts';
import { decodeIndexEntry, encodeIndexEntry, INDEX_ENTRY_BYTES } from './format/index-entry.ts';
import type { FileHandle } from './io/file-system.ts';
import { copyBytes } from './quarantine.ts';
import { indexPath, storePath, type TopicContext } from './topic-directory.ts';

/** A region of a store that was changed without anything behind it having moved. */
interface ChangedRegion {
  readonly baseOffset: number;
  readonly position: number;
  readonly byteCount: number;
}

/** Makes the index of a segment agree with a region that was changed in place. */
export async function mendIndex(context: TopicContext, region: ChangedRegion): Promise<void> {
  const { fileSystem } = context;
  const path = indexPath(context, region.baseOffset);
  if (fileSystem.status(path) === undefined) return;
  const file = fileSystem.open(path, 'update');
  try {
    const range = entriesWithin(file, region);
    if (range.from === range.to) return;
    if (range.to === range.from + 1 && rewriteEntry(context, file, { number: range.from, region })) return;
    await leaveOut(context, file, { path, range });
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
    fileSystem.unlink(path);
  } finally {
    file.close();
  }
}

/** Numbers of the entries that point into the region. Entries are in order, but for what `verify` would note. */
function entriesWithin(file: FileHandle, region: ChangedRegion): { from: number; to: number } {
  const count = Math.floor(file.status().sizeBytes / INDEX_ENTRY_BYTES);
  const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
  const positionAt = (number: number): number => {
    file.read(entry, number * INDEX_ENTRY_BYTES);
    return decodeIndexEntry(entry, 0)?.position ?? Infinity;
  };
  const firstAtOrPast = (position: number): number => {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (positionAt(middle) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const endPosition = region.position + Math.max(1, region.byteCount);
  return { from: firstAtOrPast(region.position), to: firstAtOrPast(endPosition) };
}

/** The entry of the very frame that the region begins with: only its Length is another now. */
function rewriteEntry(
  context: TopicContext,
  file: FileHandle,
  place: { number: number; region: ChangedRegion },
): boolean {
  const bytes = Buffer.alloc(INDEX_ENTRY_BYTES);
  file.read(bytes, place.number * INDEX_ENTRY_BYTES);
  const entry = decodeIndexEntry(bytes, 0);
  if (entry?.position !== place.region.position) return false;
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  const store = context.fileSystem.open(storePath(context, place.region.baseOffset), 'read');
  try {
    if (store.read(header, entry.position) < FRAME_HEADER_BYTES) return false;
  } finally {
    store.close();
  }
  const { lengthField } = decodeFrameHeader(header, 0);
  if (lengthField === entry.lengthField) return true;
  encodeIndexEntry(bytes, 0, { ...entry, lengthField });
  return file.write(bytes, place.number * INDEX_ENTRY_BYTES) === bytes.length;
}

async function leaveOut(
  context: TopicContext,
  file: FileHandle,
  request: { path: string; range: { from: number; to: number } },
): Promise<void> {
  const { fileSystem, directory } = context;
  const { path, range } = request;
  const temporaryPath = temporaryFileName(path, 'recover');
  fileSystem.unlink(temporaryPath);
  const target = fileSystem.open(temporaryPath, 'create-new');
  try {
    const keptBytes = range.from * INDEX_ENTRY_BYTES;
    const from = range.to * INDEX_ENTRY_BYTES;
    copyBytes(file, target, { from: 0, to: 0, byteCount: keptBytes });
    copyBytes(file, target, { from, to: keptBytes, byteCount: file.status().sizeBytes - from });
    await target.sync();
    fileSystem.rename(temporaryPath, path);
    await fileSystem.syncDirectory(directory);
  } finally {
    target.close();
  }
}
