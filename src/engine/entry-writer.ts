/** An index that is made anew, by compact or by recover: how large it may be, and its entries as the frames come. */
import { FRAME_HEADER_BYTES } from './format/frame.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from './format/index-entry.ts';
import type { FileHandle } from './io/file-system.ts';
import { KERNEL_ENTRIES } from './kernel/index.ts';
import type { Region } from './kernel/kernel.ts';
import { writeWhole } from './io/write-whole.ts';
import type { TopicContext } from './topic-directory.ts';

/** Bytes that an index of a store of this size can have at the most. */
export function mostIndexBytes(storeBytes: number, intervalBytes: number): number {
  const mostEntries = storeBytes / Math.max(intervalBytes, FRAME_HEADER_BYTES);
  return (Math.floor(mostEntries) + 1) * INDEX_ENTRY_BYTES;
}

/** Entries are collected and written so many bytes at a time. */
const WRITE_BYTES = 256 * 1024;

/** Writes the entries that a store should have, whose frames are told one after the other. */
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
