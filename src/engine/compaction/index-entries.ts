/**
 * Indexes as compact sees them: whether that of a sealed segment is right and whole, and the entries of one that is made
 * while its store is written or read.
 */
import { FRAME_HEADER_BYTES } from '../format/frame.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from '../format/index-entry.ts';
import { scanFrames } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { KERNEL_ENTRIES } from '../kernel/index.ts';
import type { Region } from '../kernel/kernel.ts';
import { lastIndexedPlace } from '../offset-index.ts';
import { writeWhole } from '../io/write-whole.ts';
import { isIndexSound } from '../index-rebuild.ts';
import { withStore } from '../segment-list.ts';
import type { TopicContext } from '../topic-directory.ts';

/**
 * True where every entry is right, in order and from the beginning, and none is missing at the end; and where the segment
 * is gone, which needs none.
 */
export function isIndexComplete(
  context: TopicContext,
  segment: { baseOffset: number; intervalBytes: number },
): boolean {
  const { baseOffset, intervalBytes } = segment;
  const isComplete = withStore(context, baseOffset, (store) => {
    const endPosition = store.status().sizeBytes;
    if (!isIndexSound(context, { store, baseOffset, storeBytes: endPosition, regions: [] })) return false;
    const place = lastIndexedPlace(context, { store, baseOffset, endPosition, useMap: false });
    let isWhole = true;
    const isDue = (position: number): boolean => position >= place.position + intervalBytes;
    scanFrames({
      file: store,
      kernel: context.kernel,
      ...place,
      endPosition,
      minTimestamp: -Infinity,
      onRecords: (frames, at) => {
        const entries = context.kernel.indexFrames({
          frames,
          firstOffset: at.offset,
          position: at.position,
          nextEntryPosition: place.position + intervalBytes,
          intervalBytes,
          output: KERNEL_ENTRIES,
        });
        if (entries.outputEnd > KERNEL_ENTRIES.start) isWhole = false;
      },
      onSpecial: (frame, at) => {
        if (frame.offsetCount > 0 && isDue(at.position)) isWhole = false;
      },
    });
    return isWhole;
  });
  return isComplete ?? true;
}

/** Bytes that an index of a store of this size can have at the most. */
export function mostIndexBytes(storeBytes: number, intervalBytes: number): number {
  const mostEntries = storeBytes / Math.max(intervalBytes, FRAME_HEADER_BYTES);
  return (Math.floor(mostEntries) + 1) * INDEX_ENTRY_BYTES;
}

/** Entries are collected and written so many bytes at a time. */
const WRITE_BYTES = 256 * 1024;

/** Writes the index of a store that is made frame by frame. */
export class EntryWriter {
  readonly #context: TopicContext;
  readonly #file: FileHandle;
  readonly #intervalBytes: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #endPosition = 0;
  #nextEntryPosition = 0;

  constructor(context: TopicContext, target: { file: FileHandle; intervalBytes: number }) {
    this.#context = context;
    this.#file = target.file;
    this.#intervalBytes = target.intervalBytes;
  }

  /** A run of records in the kernel's memory that stands at `position` of the store. */
  records(frames: Region, place: { position: number; offset: number }): void {
    const { kernel } = this.#context;
    const indexed = kernel.indexFrames({
      frames,
      firstOffset: place.offset,
      position: place.position,
      nextEntryPosition: this.#nextEntryPosition,
      intervalBytes: this.#intervalBytes,
      output: KERNEL_ENTRIES,
    });
    this.#nextEntryPosition = indexed.nextEntryPosition;
    this.#add(Buffer.from(kernel.memory.subarray(KERNEL_ENTRIES.start, indexed.outputEnd)));
  }

  /** One frame of another kind. */
  special(frame: { position: number; offset: number; lengthField: number; offsetCount: number }): void {
    const { position } = frame;
    if (position < this.#nextEntryPosition || (frame.offsetCount === 0 && position > 0)) return;
    const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
    encodeIndexEntry(entry, 0, frame);
    this.#nextEntryPosition = position + this.#intervalBytes;
    this.#add(entry);
  }

  /** Writes what is still waiting. */
  end(): void {
    writeWhole(this.#file, Buffer.concat(this.#waiting), this.#endPosition);
    this.#endPosition += this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #add(entries: Buffer): void {
    if (entries.length === 0) return;
    this.#waiting.push(entries);
    this.#waitingBytes += entries.length;
    if (this.#waitingBytes >= WRITE_BYTES) this.end();
  }
}
