/**
 * One index against its store, while the store is being read: every entry must name a frame that is there. What is wrong
 * with an index costs time and no record: it is a cache.
 */
import { decodeIndexEntry, INDEX_ENTRY_BYTES, type IndexEntry } from './format/index-entry.ts';
import type { SoundFrame } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { KERNEL_ENTRIES } from './kernel/index.ts';
import type { Kernel, Region } from './kernel/kernel.ts';
import type { SegmentPlace } from './offset-index.ts';
import { indexPath, type TopicContext } from './topic-directory.ts';

const BLOCK_ENTRIES = 4096;

/** Of an index with more of them nobody asks whether they may lie in damaged regions: it is made anew. */
const MAX_CONTRADICTING = 65_536;

export interface IndexVerdict {
  readonly isMissing: boolean;
  readonly entryCount: number;
  /** Entries whose own checksum is wrong; a power cut leaves zeros. */
  readonly unsoundCount: number;
  /** Sound entries that name no frame of the store, or one before that of the entry in front of them. */
  readonly contradictingCount: number;
  /**
   * True where it begins with the store and every entry before the last sound one is right. One that merely ends early is
   * sound: a writer that was killed leaves it. Where the store has no frame it may be missing, and no entry may name one.
   */
  readonly isSound: boolean;
  /** True where a frame behind the last sound entry should have one, too. */
  readonly endsEarly: boolean;
}

/** Give it every good frame in order, then ask for the verdict, which closes the file. */
export class IndexCheck {
  readonly #kernel: Kernel;
  readonly #file: FileHandle | undefined;
  readonly #baseOffset: number;
  readonly #intervalBytes: number;
  /** Entries beyond this are a busy writer's. */
  readonly #endPosition: number;
  readonly #block: Buffer;
  #blockFrom = { entry: 0, count: 0 };
  #number = 0;
  #entryCount = 0;
  #unsoundCount = 0;
  /** How many of these stand before a sound entry. */
  #unsoundInside = 0;
  #contradictingCount = 0;
  /** Positions that the first of the contradicting entries name. */
  readonly #contradicting: number[] = [];
  #first: IndexEntry | undefined;
  /** Position that the last sound entry names, and whether each names one behind that before it. */
  #lastPosition = -Infinity;
  #isAscending = true;
  #endsEarly = false;
  #current: { entry: IndexEntry; bytes: Buffer } | undefined;

  /**
   * @param segment.intervalBytes that the index was probably made with: of no consequence for what is right
   * @throws FastQueueError where there is an index and it cannot be read, or is no file
   */
  constructor(
    context: TopicContext,
    segment: { baseOffset: number; endPosition: number; intervalBytes: number },
  ) {
    this.#kernel = context.kernel;
    this.#baseOffset = segment.baseOffset;
    this.#intervalBytes = segment.intervalBytes;
    this.#endPosition = segment.endPosition;
    this.#file = openIfThere(context.fileSystem, indexPath(context, segment.baseOffset));
    try {
      const entryCount = Math.ceil((this.#file?.status().sizeBytes ?? 0) / INDEX_ENTRY_BYTES);
      this.#block = Buffer.alloc(Math.min(BLOCK_ENTRIES, entryCount) * INDEX_ENTRY_BYTES);
      this.#toNextSound();
      this.#first = this.#current?.entry;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A run of records in the kernel's memory. */
  records(frames: Region, place: SegmentPlace): void {
    const end = place.position + (frames.end - frames.start);
    if (this.#names(end)) this.#takeExpected(frames, place);
    if (this.#names(end)) this.#takeAny(frames, place, end);
    if (this.#current !== undefined || this.#endsEarly) return;
    const due = this.#makeEntries(frames, place, { from: this.#dueFrom, intervalBytes: this.#intervalBytes });
    this.#endsEarly = due > KERNEL_ENTRIES.start;
  }

  /** A gap or control frame. */
  special(frame: SoundFrame, place: SegmentPlace): void {
    const end = place.position + frame.header.frameBytes;
    const isIndexable = frame.offsetCount > 0 || place.position === 0;
    for (let current = this.#current; current !== undefined && this.#names(end); current = this.#current) {
      const { entry } = current;
      const isRight =
        isIndexable &&
        entry.position === place.position &&
        entry.offset === place.offset &&
        entry.lengthField === frame.header.lengthField;
      if (!isRight) this.#noteContradiction(entry);
      this.#toNextSound();
    }
    if (this.#current === undefined && isIndexable && place.position >= this.#dueFrom) this.#endsEarly = true;
  }

  /**
   * @param store.hasFrames whether there is anything to have an index for
   * @param store.regions damaged regions of the store, in order, in which entries are not judged
   * @param store.namesFrame judges an entry beyond the end; by default it is right, whatever it names
   */
  verdict(store: {
    hasFrames: boolean;
    regions: Iterable<{ position: number; endPosition: number }>;
    namesFrame?: ((entry: IndexEntry) => boolean) | undefined;
  }): IndexVerdict {
    while (this.#current !== undefined) {
      const { entry } = this.#current;
      if (entry.position < this.#endPosition || store.namesFrame?.(entry) === false)
        this.#noteContradiction(entry);
      this.#toNextSound();
    }
    this.close();
    return {
      isMissing: this.#file === undefined,
      entryCount: this.#entryCount,
      unsoundCount: this.#unsoundCount,
      contradictingCount: this.#contradictingCount,
      isSound: store.hasFrames ? this.#isSoundBut(store.regions) : this.#isOfNothing(),
      endsEarly: this.#endsEarly,
    };
  }

  close(): void {
    this.#file?.close();
  }

  /** What a live writer has begun since may have entries already. */
  #isOfNothing(): boolean {
    return this.#contradictingCount + this.#unsoundCount === 0;
  }

  #isSoundBut(regions: Iterable<{ position: number; endPosition: number }>): boolean {
    const beginsRight = this.#first?.position === 0 && this.#first.offset === this.#baseOffset;
    if (!beginsRight || !this.#isAscending || this.#unsoundInside > 0) return false;
    if (this.#contradictingCount > MAX_CONTRADICTING) return false;
    // Both are in order.
    const named = this.#contradicting;
    let number = 0;
    for (const { position, endPosition } of regions)
      while (number < named.length && isWithin(named[number], position, endPosition)) number += 1;
    return number === named.length;
  }

  #noteContradiction({ position }: IndexEntry): void {
    this.#contradictingCount += 1;
    if (this.#contradictingCount <= MAX_CONTRADICTING) this.#contradicting.push(position);
  }

  /** Where the first frame behind the last sound entry begins that should have one. */
  get #dueFrom(): number {
    return Math.max(0, this.#lastPosition + this.#intervalBytes);
  }

  /** Whether the current entry names a frame before `end`. */
  #names(end: number): boolean {
    return this.#current !== undefined && this.#current.entry.position < end;
  }

  /** Puts the entries that these frames would have into the kernel's memory; returns where they end there. */
  #makeEntries(frames: Region, place: SegmentPlace, wanted: { from: number; intervalBytes: number }): number {
    const { outputEnd } = this.#kernel.indexFrames({
      frames,
      firstOffset: place.offset,
      position: place.position,
      nextEntryPosition: wanted.from,
      intervalBytes: wanted.intervalBytes,
      output: KERNEL_ENTRIES,
    });
    return outputEnd;
  }

  /** Entries that are just those which a writer makes are right, all at once; where one differs, none is taken. */
  #takeExpected(frames: Region, place: SegmentPlace): void {
    const { entry } = this.#current as { entry: IndexEntry };
    const { memory } = this.#kernel;
    const from = entry.position;
    const outputEnd = this.#makeEntries(frames, place, { from, intervalBytes: this.#intervalBytes });
    const byteCount = outputEnd - KERNEL_ENTRIES.start;
    const count = byteCount / INDEX_ENTRY_BYTES;
    if (!this.#holdsFromCurrent(count)) return;
    const at = (this.#number - 1 - this.#blockFrom.entry) * INDEX_ENTRY_BYTES;
    if (memory.compare(this.#block, at, at + byteCount, KERNEL_ENTRIES.start, outputEnd) !== 0) return;
    this.#number += count - 1;
    this.#entryCount += count - 1;
    this.#lastPosition = memory.readUIntBE(outputEnd - INDEX_ENTRY_BYTES + POSITION_AT, 6);
    this.#toNextSound();
  }

  /** An entry is right if it is one of those that there would be if every frame had one, byte for byte. */
  #takeAny(frames: Region, place: SegmentPlace, end: number): void {
    const outputEnd = this.#makeEntries(frames, place, { from: 0, intervalBytes: 1 });
    const { memory } = this.#kernel;
    let at = KERNEL_ENTRIES.start;
    for (let current = this.#current; current !== undefined && this.#names(end); current = this.#current) {
      const { entry, bytes } = current;
      while (at < outputEnd && memory.readUIntBE(at + POSITION_AT, 6) < entry.position)
        at += INDEX_ENTRY_BYTES;
      const isRight =
        at < outputEnd && memory.compare(bytes, 0, INDEX_ENTRY_BYTES, at, at + INDEX_ENTRY_BYTES) === 0;
      if (!isRight) this.#noteContradiction(entry);
      this.#toNextSound();
    }
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

  #toNextSound(): void {
    for (;;) {
      const at = this.#number - this.#blockFrom.entry;
      if (at >= this.#blockFrom.count) {
        this.#readBlock(this.#number);
        if (this.#blockFrom.count > 0) continue;
        this.#current = undefined;
        return;
      }
      this.#number += 1;
      this.#entryCount += 1;
      const entry = decodeIndexEntry(this.#block, at * INDEX_ENTRY_BYTES);
      if (entry === undefined) {
        this.#unsoundCount += 1;
        continue;
      }
      this.#unsoundInside = this.#unsoundCount;
      if (entry.position <= this.#lastPosition) {
        this.#isAscending = false;
        this.#noteContradiction(entry);
        continue;
      }
      this.#lastPosition = entry.position;
      const bytes = this.#block.subarray(at * INDEX_ENTRY_BYTES, (at + 1) * INDEX_ENTRY_BYTES);
      this.#current = { entry, bytes };
      return;
    }
  }
}

const isWithin = (value: number | undefined, from: number, to: number): boolean =>
  value !== undefined && value >= from && value < to;

/** Low six bytes of the entry's u64 Position: all that a file can have. */
const POSITION_AT = 8 + 2;
