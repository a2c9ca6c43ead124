/**
 * One index against its store, while the store is being read: every entry must name a frame that is there. What is wrong
 * with an index is a note: it is a cache, and no record depends on it.
 */
import { decodeIndexEntry, INDEX_ENTRY_BYTES, type IndexEntry } from './format/index-entry.ts';
import type { SoundFrame } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { KERNEL_ENTRIES } from './kernel/index.ts';
import type { Region } from './kernel/kernel.ts';
import { indexPath, type TopicContext } from './topic-directory.ts';

const BLOCK_ENTRIES = 4096;

export interface IndexVerdict {
  readonly isMissing: boolean;
  readonly entryCount: number;
  /** Entries whose own checksum is wrong; a power cut leaves zeros. */
  readonly unsoundCount: number;
  /** Sound entries that name no frame of the store. */
  readonly contradictingCount: number;
}

/** Give it every good frame in order, then ask for the verdict, which closes the file. */
export class IndexCheck {
  readonly #context: TopicContext;
  readonly #file: FileHandle | undefined;
  readonly #intervalBytes: number;
  /** Entries beyond this are a busy writer's. */
  readonly #endPosition: number;
  readonly #block = Buffer.alloc(BLOCK_ENTRIES * INDEX_ENTRY_BYTES);
  #blockFrom = { entry: 0, count: 0 };
  #number = 0;
  #entryCount = 0;
  #unsoundCount = 0;
  #contradictingCount = 0;
  #current: { entry: IndexEntry; bytes: Buffer } | undefined;

  /** @param segment.intervalBytes that the index was probably made with: a hint, for speed alone */
  constructor(
    context: TopicContext,
    segment: { baseOffset: number; endPosition: number; intervalBytes: number },
  ) {
    this.#context = context;
    this.#intervalBytes = segment.intervalBytes;
    this.#endPosition = segment.endPosition;
    this.#file = openIfThere(context.fileSystem, indexPath(context, segment.baseOffset));
    this.#current = this.#nextSound();
  }

  /** A run of records in the kernel's memory. */
  records(frames: Region, place: { position: number; offset: number }): void {
    const end = place.position + (frames.end - frames.start);
    if (this.#current !== undefined && this.#current.entry.position < end) this.#takeExpected(frames, place);
    if (this.#current === undefined || this.#current.entry.position >= end) return;
    const { kernel } = this.#context;
    // What an entry for every frame would be: an entry is right if it is one of these, byte for byte.
    const { outputEnd } = kernel.indexFrames({
      frames,
      firstOffset: place.offset,
      position: place.position,
      nextEntryPosition: 0,
      intervalBytes: 1,
      output: KERNEL_ENTRIES,
    });
    const { memory } = kernel;
    let at = KERNEL_ENTRIES.start;
    while (this.#current !== undefined && this.#current.entry.position < end) {
      const { entry, bytes } = this.#current;
      while (at < outputEnd && memory.readUIntBE(at + POSITION_AT, 6) < entry.position)
        at += INDEX_ENTRY_BYTES;
      const isRight =
        at < outputEnd && memory.compare(bytes, 0, INDEX_ENTRY_BYTES, at, at + INDEX_ENTRY_BYTES) === 0;
      if (!isRight) this.#contradictingCount += 1;
      this.#current = this.#nextSound();
    }
  }

  /** Entries that are just those which a writer makes are right, all at once; where one differs, none is taken. */
  #takeExpected(frames: Region, place: { position: number; offset: number }): void {
    const { entry } = this.#current as { entry: IndexEntry };
    const { kernel } = this.#context;
    const { outputEnd } = kernel.indexFrames({
      frames,
      firstOffset: place.offset,
      position: place.position,
      nextEntryPosition: entry.position,
      intervalBytes: this.#intervalBytes,
      output: KERNEL_ENTRIES,
    });
    const byteCount = outputEnd - KERNEL_ENTRIES.start;
    const count = byteCount / INDEX_ENTRY_BYTES;
    if (!this.#holdsFromCurrent(count)) return;
    const at = (this.#number - 1 - this.#blockFrom.entry) * INDEX_ENTRY_BYTES;
    const isSame =
      kernel.memory.compare(this.#block, at, at + byteCount, KERNEL_ENTRIES.start, outputEnd) === 0;
    if (!isSame) return;
    this.#number += count - 1;
    this.#entryCount += count - 1;
    this.#current = this.#nextSound();
  }

  /** Whether `count` entries from the current one on stand in the block, which is read anew for it if need be. */
  #holdsFromCurrent(count: number): boolean {
    const first = this.#number - 1;
    if (count < 1 || count > BLOCK_ENTRIES) return false;
    if (first + count > this.#blockFrom.entry + this.#blockFrom.count) {
      this.#readBlock(first);
      const { entry } = this.#current as { entry: IndexEntry };
      this.#current = { entry, bytes: this.#block.subarray(0, INDEX_ENTRY_BYTES) };
    }
    return first + count <= this.#blockFrom.entry + this.#blockFrom.count;
  }

  #readBlock(firstEntry: number): void {
    const byteCount = this.#file?.read(this.#block, firstEntry * INDEX_ENTRY_BYTES) ?? 0;
    this.#blockFrom = { entry: firstEntry, count: Math.floor(byteCount / INDEX_ENTRY_BYTES) };
  }

  /** A gap or control frame. */
  special(frame: SoundFrame, place: { position: number; offset: number }): void {
    const end = place.position + frame.header.frameBytes;
    while (this.#current !== undefined && this.#current.entry.position < end) {
      const { entry } = this.#current;
      const isRight =
        entry.position === place.position &&
        entry.offset === place.offset &&
        entry.lengthField === frame.header.lengthField &&
        (frame.offsetCount > 0 || place.position === 0);
      if (!isRight) this.#contradictingCount += 1;
      this.#current = this.#nextSound();
    }
  }

  verdict(): IndexVerdict {
    for (; this.#current !== undefined; this.#current = this.#nextSound()) {
      if (this.#current.entry.position < this.#endPosition) this.#contradictingCount += 1;
    }
    this.close();
    return {
      isMissing: this.#file === undefined,
      entryCount: this.#entryCount,
      unsoundCount: this.#unsoundCount,
      contradictingCount: this.#contradictingCount,
    };
  }

  close(): void {
    this.#file?.close();
  }

  #nextSound(): { entry: IndexEntry; bytes: Buffer } | undefined {
    for (;;) {
      const at = this.#number - this.#blockFrom.entry;
      if (at >= this.#blockFrom.count) {
        this.#readBlock(this.#number);
        if (this.#blockFrom.count === 0) return undefined;
        continue;
      }
      this.#number += 1;
      this.#entryCount += 1;
      const entry = decodeIndexEntry(this.#block, at * INDEX_ENTRY_BYTES);
      if (entry === undefined) {
        this.#unsoundCount += 1;
        continue;
      }
      return { entry, bytes: this.#block.subarray(at * INDEX_ENTRY_BYTES, (at + 1) * INDEX_ENTRY_BYTES) };
    }
  }
}

/** Low six bytes of the entry's u64 Position: all that a file can have. */
const POSITION_AT = 8 + 2;
