/**
 * Indexes after a repair. Entries outside the region are right as they are; one for the frame that became a gap is
 * written again in its place, and where several point into the region the index is replaced without them, by rename.
 * The caller holds the lock and has raised the generation. An index that cannot be mended is removed: it is a cache.
 */
import { FastQueueError } from '../errors.ts';
import { temporaryFileName } from '../format/file-names.ts';
import { decodeIndexEntry, encodeIndexEntry, INDEX_ENTRY_BYTES } from '../format/index-entry.ts';
import { isSound, readFrameAt } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { copyBytes, writeWhole } from '../io/write-whole.ts';
import { indexPath, storePath, type TopicContext } from '../topic-directory.ts';

/** A region of a store that was changed without anything behind it having moved. */
interface ChangedRegion {
  readonly baseOffset: number;
  readonly position: number;
  readonly leftByteCount: number;
  /** Offset of the frame that begins at `position`. */
  readonly offset: number;
}

/** Makes the index of a segment agree with a region that was repaired in place. */
export async function mendIndex(context: TopicContext, region: ChangedRegion): Promise<void> {
  const { fileSystem } = context;
  const path = indexPath(context, region.baseOffset);
  if (fileSystem.status(path)?.isFile !== true) return;
  const file = fileSystem.open(path, 'update');
  try {
    const range = entriesWithin(file, region);
    const found = readEntries(file, range);
    const right = rightEntries(context, found, region);
    if (right.equals(found)) return;
    if (right.length === found.length) {
      writeWhole(file, right, range.from * INDEX_ENTRY_BYTES);
      await file.datasync();
    } else await replaceEntries(context, file, { path, range, entries: right });
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
    fileSystem.unlink(path);
  } finally {
    file.close();
  }
}

interface EntryRange {
  readonly from: number;
  readonly to: number;
}

function readEntries(file: FileHandle, range: EntryRange): Buffer {
  const bytes = Buffer.alloc((range.to - range.from) * INDEX_ENTRY_BYTES);
  file.read(bytes, range.from * INDEX_ENTRY_BYTES);
  return bytes;
}

/** Of the entries that point into the region, those that name a frame of it, with the length that it has now. */
function rightEntries(context: TopicContext, entries: Buffer, region: ChangedRegion): Buffer {
  if (entries.length === 0) return entries;
  const frames = framesOf(context, region);
  const right: Buffer[] = [];
  for (let at = 0; at < entries.length; at += INDEX_ENTRY_BYTES) {
    const entry = decodeIndexEntry(entries, at);
    const frame = entry === undefined ? undefined : frames.get(entry.position);
    if (entry === undefined || frame?.offset !== entry.offset) continue;
    const bytes = Buffer.alloc(INDEX_ENTRY_BYTES);
    encodeIndexEntry(bytes, 0, { ...entry, lengthField: frame.lengthField });
    right.push(bytes);
  }
  return Buffer.concat(right);
}

/** Offset and Length of every frame of the repaired region, by position. */
function framesOf(
  context: TopicContext,
  region: ChangedRegion,
): Map<number, { offset: number; lengthField: number }> {
  const frames = new Map<number, { offset: number; lengthField: number }>();
  const store = context.fileSystem.open(storePath(context, region.baseOffset), 'read');
  try {
    const endPosition = region.position + region.leftByteCount;
    let { position, offset } = region;
    while (position < endPosition) {
      const frame = readFrameAt(store, { position, offset, endPosition, minTimestamp: -Infinity });
      if (!isSound(frame)) break;
      // Padding stands for no offset: it has an entry only where the segment begins.
      if (frame.offsetCount > 0 || position === 0)
        frames.set(position, { offset, lengthField: frame.header.lengthField });
      position += frame.header.frameBytes;
      offset += frame.offsetCount;
    }
    return frames;
  } finally {
    store.close();
  }
}

/** Numbers of the entries that point into the region. Entries are in order, but for what `verify` would note. */
function entriesWithin(file: FileHandle, region: ChangedRegion): EntryRange {
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
  const endPosition = region.position + Math.max(1, region.leftByteCount);
  return { from: firstAtOrPast(region.position), to: firstAtOrPast(endPosition) };
}

async function replaceEntries(
  context: TopicContext,
  file: FileHandle,
  request: { path: string; range: EntryRange; entries: Buffer },
): Promise<void> {
  const { fileSystem, directory } = context;
  const { path, range, entries } = request;
  const temporaryPath = temporaryFileName(path, 'recover');
  fileSystem.unlink(temporaryPath);
  const target = fileSystem.open(temporaryPath, 'create-new');
  try {
    const keptBytes = range.from * INDEX_ENTRY_BYTES;
    const from = range.to * INDEX_ENTRY_BYTES;
    copyBytes(file, target, { from: 0, to: 0, byteCount: keptBytes });
    writeWhole(target, entries, keptBytes);
    copyBytes(file, target, {
      from,
      to: keptBytes + entries.length,
      byteCount: file.status().sizeBytes - from,
    });
    await target.sync();
    fileSystem.rename(temporaryPath, path);
    await fileSystem.syncDirectory(directory);
  } finally {
    target.close();
  }
}
