/**
 * Indexes that contradict their stores, or are missing: found without the lock, made anew under it by rename, with the
 * generation raised by the caller. An index that merely ends early is no damage: a writer that was killed leaves one.
 */
import { temporaryFileName } from './format/file-names.ts';
import { FRAME_HEADER_BYTES } from './format/frame.ts';
import {
  decodeIndexEntry,
  encodeIndexEntry,
  INDEX_ENTRY_BYTES,
  type IndexEntry,
} from './format/index-entry.ts';
import { isSound, readFrameAt } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { KERNEL_ENTRIES, KERNEL_INPUT } from './kernel/index.ts';
import { READ_CHUNK_BYTES } from './limits.ts';
import { writeWhole } from './io/write-whole.ts';
import { indexPath, storePath, type TopicContext } from './topic-directory.ts';

/** Entries whose frames are looked at; of a larger index every n-th. */
const MAX_LOOKUPS = 65_536;

const BLOCK_ENTRIES = 4096;

/**
 * True where every entry before the last sound one is sound, in order, and names a frame of that length.
 *
 * @param segment.regions damaged regions of the store, in which entries are not judged
 */
export function isIndexSound(
  context: TopicContext,
  segment: {
    store: FileHandle;
    baseOffset: number;
    storeBytes: number;
    regions: readonly { position: number; endPosition: number }[];
  },
): boolean {
  const path = indexPath(context, segment.baseOffset);
  const hasFrames = segment.storeBytes >= FRAME_HEADER_BYTES;
  // Somebody put it there on purpose; readers do without, and nobody removes what is no file.
  if (context.fileSystem.status(path)?.isFile === false) return true;
  const file = openIfThere(context.fileSystem, path);
  if (file === undefined) return !hasFrames;
  try {
    return hasFrames ? isInOrder(file, segment) : file.status().sizeBytes === 0;
  } finally {
    file.close();
  }
}

function isInOrder(file: FileHandle, segment: Parameters<typeof isIndexSound>[1]): boolean {
  const count = Math.floor(file.status().sizeBytes / INDEX_ENTRY_BYTES);
  const step = Math.max(1, Math.floor(count / MAX_LOOKUPS));
  const block = Buffer.alloc(BLOCK_ENTRIES * INDEX_ENTRY_BYTES);
  let before: IndexEntry | undefined;
  let hasEnded = false;
  for (let number = 0; number < count; number++) {
    const at = (number % BLOCK_ENTRIES) * INDEX_ENTRY_BYTES;
    if (at === 0) file.read(block, number * INDEX_ENTRY_BYTES);
    const entry = decodeIndexEntry(block, at);
    if (entry === undefined) {
      // Zeros at the end are what a power cut leaves; a sound entry behind them says that this is not the end.
      hasEnded = true;
      continue;
    }
    if (hasEnded || !follows(entry, before, segment)) return false;
    if (number % step === 0 && !namesFrame(entry, segment)) return false;
    before = entry;
  }
  return before !== undefined;
}

function follows(
  entry: IndexEntry,
  before: IndexEntry | undefined,
  segment: { baseOffset: number; storeBytes: number },
): boolean {
  if (before === undefined) return entry.offset === segment.baseOffset && entry.position === 0;
  return (
    entry.offset >= before.offset && entry.position > before.position && entry.position < segment.storeBytes
  );
}

function namesFrame(
  entry: IndexEntry,
  segment: { store: FileHandle; regions: readonly { position: number; endPosition: number }[] },
): boolean {
  const isInside = segment.regions.some(
    ({ position, endPosition }) => entry.position >= position && entry.position < endPosition,
  );
  if (isInside) return true;
  const place = { ...entry, endPosition: segment.store.status().sizeBytes, minTimestamp: -Infinity };
  const frame = readFrameAt(segment.store, place);
  return isSound(frame) && frame.header.lengthField === entry.lengthField;
}

/** Makes the index of a segment anew from its good frames. Durable when it resolves. */
export async function rebuildIndex(
  context: TopicContext,
  segment: { baseOffset: number; intervalBytes: number },
): Promise<void> {
  const { fileSystem, directory } = context;
  const path = indexPath(context, segment.baseOffset);
  if (fileSystem.status(path)?.isFile === false) return;
  const temporaryPath = temporaryFileName(path, 'recover');
  fileSystem.unlink(temporaryPath);
  const store = fileSystem.open(storePath(context, segment.baseOffset), 'read');
  try {
    const target = fileSystem.open(temporaryPath, 'create-new');
    try {
      writeEntries(context, { ...segment, store, target });
      await target.sync();
      fileSystem.rename(temporaryPath, path);
    } catch (error) {
      fileSystem.unlink(temporaryPath);
      throw error;
    } finally {
      target.close();
    }
  } finally {
    store.close();
  }
  await fileSystem.syncDirectory(directory);
}

function writeEntries(
  context: TopicContext,
  request: { baseOffset: number; intervalBytes: number; store: FileHandle; target: FileHandle },
): void {
  const { store, target, intervalBytes } = request;
  const { kernel } = context;
  const endPosition = store.status().sizeBytes;
  let position = 0;
  let offset = request.baseOffset;
  let nextEntryPosition = 0;
  let indexEnd = 0;
  const add = (entries: Uint8Array): void => {
    writeWhole(target, entries, indexEnd);
    indexEnd += entries.length;
  };
  while (position < endPosition) {
    const chunk = kernel.memory.subarray(KERNEL_INPUT.start, KERNEL_INPUT.start + READ_CHUNK_BYTES);
    const end = KERNEL_INPUT.start + store.read(chunk, position);
    const input = { start: KERNEL_INPUT.start, end };
    const run = kernel.checkFrames({
      input,
      firstOffset: offset,
      untilOffset: Infinity,
      minTimestamp: -Infinity,
    });
    const indexed = kernel.indexFrames({
      frames: { start: KERNEL_INPUT.start, end: run.inputEnd },
      firstOffset: offset,
      position,
      nextEntryPosition,
      intervalBytes,
      output: KERNEL_ENTRIES,
    });
    add(Buffer.from(kernel.memory.subarray(KERNEL_ENTRIES.start, indexed.outputEnd)));
    ({ nextEntryPosition } = indexed);
    position += run.inputEnd - KERNEL_INPUT.start;
    offset = run.nextOffset;
    if (run.stop === 'end' || position >= endPosition) continue;
    // A gap, a control frame, or a record that goes on behind the chunk.
    const frame = readFrameAt(store, { position, offset, endPosition, minTimestamp: -Infinity });
    if (!isSound(frame)) return;
    if (position >= nextEntryPosition && (frame.offsetCount > 0 || position === 0)) {
      const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
      encodeIndexEntry(entry, 0, { offset, position, lengthField: frame.header.lengthField });
      add(entry);
      nextEntryPosition = position + intervalBytes;
    }
    position += frame.header.frameBytes;
    offset += frame.offsetCount;
  }
}
