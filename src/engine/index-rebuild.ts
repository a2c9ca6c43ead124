/** An index made anew by rename, under the lock and with the generation raised by the caller. */
import { temporaryFileName } from './format/file-names.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from './format/index-entry.ts';
import { isSound, readFrameAt } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { KERNEL_ENTRIES, KERNEL_INPUT } from './kernel/index.ts';
import { READ_CHUNK_BYTES } from './limits.ts';
import { isIndexFree } from './offset-index.ts';
import { writeWhole } from './io/write-whole.ts';
import { indexPath, storePath, type TopicContext } from './topic-directory.ts';

/** Makes the index of a segment anew from its good frames. Durable when it resolves. */
export async function rebuildIndex(
  context: TopicContext,
  segment: { baseOffset: number; intervalBytes: number },
): Promise<void> {
  const { fileSystem, directory } = context;
  const path = indexPath(context, segment.baseOffset);
  if (!isIndexFree(context, segment.baseOffset)) return;
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
