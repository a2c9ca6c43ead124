/**
 * The sparse index of one segment: offsets to positions. A cache and never evidence: an entry counts only if its own
 * checksum is right and the frame that it names checks out. Missing, short, stale, zero-filled or contradictory, no
 * record is affected.
 */
import { decodeIndexEntry, INDEX_ENTRY_BYTES, type IndexEntry } from './format/index-entry.ts';
import { FastQueueError } from './errors.ts';
import { isSound, readFrameAt, type SoundFrame } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { isDiskError, openIfThere } from './io/open-if-there.ts';
import { indexPath, type TopicContext } from './topic-directory.ts';

/** Entries read together. */
const BLOCK_ENTRIES = 256;

/** Writes the index of the active segment. Used under the topic's lock, after the store's sync. */
export class IndexWriter {
  readonly #context: TopicContext;
  readonly #baseOffset: number;
  readonly #intervalBytes: number;
  #file: FileHandle | undefined;
  #endPosition: number;
  #nextEntryPosition: number;

  /**
   * Opens the index, or begins a missing one. It goes on behind the last sound entry, over whatever follows it: a power
   * cut leaves zeros there. An index that cannot be opened is done without until the next opening.
   *
   * @param segment.storeBytes entries beyond this are of another life of the file
   */
  static open(
    context: TopicContext,
    segment: { baseOffset: number; indexIntervalBytes: number; storeBytes: number },
  ): IndexWriter {
    let file: FileHandle | undefined;
    try {
      file = context.fileSystem.open(indexPath(context, segment.baseOffset), 'create');
      return new IndexWriter(context, segment, file);
    } catch (error) {
      file?.close();
      if (!(error instanceof FastQueueError)) throw error;
      return new IndexWriter(context, segment, undefined);
    }
  }

  private constructor(
    context: TopicContext,
    segment: { baseOffset: number; indexIntervalBytes: number; storeBytes: number },
    file: FileHandle | undefined,
  ) {
    this.#context = context;
    this.#baseOffset = segment.baseOffset;
    this.#intervalBytes = segment.indexIntervalBytes;
    this.#file = file;
    this.#endPosition = 0;
    this.#nextEntryPosition = 0;
    this.#findEnd(segment.storeBytes);
  }

  /**
   * Goes on behind what another writer has written since, in another file where that writer had to drop this one. An
   * index that cannot be read is left to itself.
   */
  catchUp(storeBytes: number): void {
    if (this.#file === undefined) return;
    try {
      const { fileSystem } = this.#context;
      const path = indexPath(this.#context, this.#baseOffset);
      if (this.#file.sizeIfNamed() === undefined) {
        this.close();
        this.#file = fileSystem.open(path, 'create');
      }
      this.#findEnd(storeBytes);
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
      this.close();
    }
  }

  #findEnd(storeBytes: number): void {
    if (this.#file === undefined) return;
    const last = lastSoundEntry(this.#file, { baseOffset: this.#baseOffset, storeBytes });
    this.#endPosition = last === undefined ? 0 : last.end;
    this.#nextEntryPosition = last === undefined ? 0 : last.entry.position + this.#intervalBytes;
  }

  /** The first frame that begins here or later gets the next entry: a position in the store. */
  get nextEntryPosition(): number {
    return this.#nextEntryPosition;
  }

  /**
   * Writes entries behind the last one. @throws FastQueueError when the disk does not take them: then `drop`
   *
   * @param entries whole entries, ascending
   */
  append(entries: Buffer): void {
    const last =
      entries.length === 0 ? undefined : decodeIndexEntry(entries, entries.length - INDEX_ENTRY_BYTES);
    if (last === undefined || this.#file === undefined) return;
    const written = this.#file.write(entries, this.#endPosition);
    if (written !== entries.length) {
      throw new FastQueueError(
        'disk_full',
        `Only ${written} of ${entries.length} bytes could be written to ${this.#file.path}.`,
        {
          path: this.#file.path,
        },
      );
    }
    this.#endPosition += entries.length;
    this.#nextEntryPosition = last.position + this.#intervalBytes;
  }

  /** Removes the index, which a reader then does without. Never cut in place: another process may have it mapped. */
  drop(): void {
    this.close();
    try {
      removeIndex(this.#context, this.#baseOffset);
    } catch (error) {
      // What is there is still sound as far as it goes.
      if (!(error instanceof FastQueueError)) throw error;
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

/** Removes an index. What is called one and is no file was put there on purpose: it is done without, and nobody removes it. */
export function removeIndex(context: TopicContext, baseOffset: number): void {
  const path = indexPath(context, baseOffset);
  if (isIndexFree(context, baseOffset)) context.fileSystem.unlink(path);
}

/** True where an index may be put or removed: there is none, or it is a file. */
export const isIndexFree = (context: TopicContext, baseOffset: number): boolean =>
  context.fileSystem.status(indexPath(context, baseOffset))?.isFile !== false;

/**
 * Removes the index if it names a frame at `position` or behind it, where the store is about to be cut: entries that
 * outlive their frames would be looked up in vain. An index that cannot be looked at or removed is left: it is a cache.
 */
export function dropIndexBeyond(context: TopicContext, cut: { baseOffset: number; position: number }): void {
  try {
    const file = openIndex(context, cut.baseOffset);
    if (file === undefined) return;
    let last: { entry: IndexEntry } | undefined;
    try {
      last = lastSoundEntry(file, { baseOffset: cut.baseOffset, storeBytes: Infinity });
    } finally {
      file.close();
    }
    if (last !== undefined && last.entry.position >= cut.position) removeIndex(context, cut.baseOffset);
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
  }
}

function lastSoundEntry(
  file: FileHandle,
  segment: { baseOffset: number; storeBytes: number },
): { entry: IndexEntry; end: number } | undefined {
  let blockEnd = Math.floor(file.status().sizeBytes / INDEX_ENTRY_BYTES);
  const block = Buffer.alloc(Math.min(BLOCK_ENTRIES, blockEnd) * INDEX_ENTRY_BYTES);
  while (blockEnd > 0) {
    const blockStart = Math.max(0, blockEnd - BLOCK_ENTRIES);
    file.read(block.subarray(0, (blockEnd - blockStart) * INDEX_ENTRY_BYTES), blockStart * INDEX_ENTRY_BYTES);
    for (let at = blockEnd - blockStart - 1; at >= 0; at--) {
      const entry = decodeIndexEntry(block, at * INDEX_ENTRY_BYTES);
      if (entry === undefined || entry.offset < segment.baseOffset || entry.position >= segment.storeBytes)
        continue;
      return { entry, end: (blockStart + at + 1) * INDEX_ENTRY_BYTES };
    }
    blockEnd = blockStart;
  }
  return undefined;
}

/** Where to begin reading a segment: a frame boundary. */
export interface SegmentPlace {
  readonly offset: number;
  readonly position: number;
}

/** One for all: a store with a hundred thousand holes asks as often. */
const soundBlock = Buffer.alloc(BLOCK_ENTRIES * INDEX_ENTRY_BYTES);

/** The entries of one index file, mapped where that is wanted and can be had, else read one by one. */
class IndexEntries {
  readonly count: number;
  readonly #file: FileHandle;
  readonly #map: Buffer | undefined;
  readonly #one = Buffer.alloc(INDEX_ENTRY_BYTES);

  constructor(file: FileHandle, useMap: boolean) {
    const { sizeBytes } = file.status();
    this.count = Math.floor(sizeBytes / INDEX_ENTRY_BYTES);
    this.#file = file;
    this.#map = useMap ? file.map(this.count * INDEX_ENTRY_BYTES) : undefined;
  }

  /** Undefined where it is unsound. */
  at(number: number): IndexEntry | undefined {
    if (this.#map !== undefined) return decodeIndexEntry(this.#map, number * INDEX_ENTRY_BYTES);
    return this.#read(number, this.#one) === 0 ? undefined : decodeIndexEntry(this.#one, 0);
  }

  /** The sound ones among so many from `number` on, a block at the most, in one read. */
  sound(number: number, mostCount: number): IndexEntry[] {
    const bytes = soundBlock.subarray(0, Math.min(mostCount, this.count - number) * INDEX_ENTRY_BYTES);
    const readCount = this.#read(number, bytes);
    return Array.from({ length: readCount }, (_, at) =>
      decodeIndexEntry(bytes, at * INDEX_ENTRY_BYTES),
    ).filter((entry) => entry !== undefined);
  }

  /** How many whole entries could be read: what the disk does not give up is not there. */
  #read(number: number, target: Buffer): number {
    try {
      return Math.floor(this.#file.read(target, number * INDEX_ENTRY_BYTES) / INDEX_ENTRY_BYTES);
    } catch (error) {
      if (!isDiskError(error)) throw error;
      return 0;
    }
  }
}

export interface LookupRequest {
  readonly store: FileHandle;
  readonly baseOffset: number;
  /** Bytes of the store that may be looked at. */
  readonly endPosition: number;
  /** True where the segment is sealed: then the index is mapped. */
  readonly useMap: boolean;
}

/**
 * The greatest entry that counts and is not past the wanted offset, or the beginning of the segment. Total: with no
 * index, an empty or a damaged one, it answers (base offset, 0).
 */
export function lookupOffset(
  context: TopicContext,
  request: LookupRequest & { offset: number },
): SegmentPlace {
  return lookup(context, request, { key: request.offset, keyOf: (entry) => entry.offset });
}

/** The same for the greatest entry whose frame carries a timestamp before `timestamp`. */
export function lookupTime(
  context: TopicContext,
  request: LookupRequest & { timestamp: number },
): SegmentPlace {
  const keyOf = (entry: IndexEntry): number => timestampAt(request, entry);
  return lookup(context, request, { key: request.timestamp - 1, keyOf });
}

/** Where the last entry that counts points: close to the end of the segment. */
export function lastIndexedPlace(context: TopicContext, request: LookupRequest): SegmentPlace {
  return lookup(context, request, { key: Infinity, keyOf: (entry) => entry.offset });
}

/** Sound ones that name a place behind `position` among the next `count` entries: hints for whoever lost its place. */
export function entriesAfter(
  context: TopicContext,
  request: { baseOffset: number; position: number; count: number },
): IndexEntry[] {
  const file = openIndex(context, request.baseOffset);
  if (file === undefined) return [];
  try {
    const entries = new IndexEntries(file, false);
    const number = greatestAtMost(entries, { key: request.position, keyOf: (entry) => entry.position }) + 1;
    return entries.sound(number, request.count).filter((entry) => entry.position > request.position);
  } finally {
    file.close();
  }
}

function lookup(
  context: TopicContext,
  request: LookupRequest,
  wanted: { key: number; keyOf: (entry: IndexEntry) => number },
): SegmentPlace {
  const beginning = { offset: request.baseOffset, position: 0 };
  const file = openIndex(context, request.baseOffset);
  if (file === undefined) return beginning;
  try {
    const entries = new IndexEntries(file, request.useMap);
    // In steps that double: however many entries in a row are wrong, few are looked at before the beginning is taken.
    for (let number = greatestAtMost(entries, wanted), step = 1; number >= 0; number -= step, step *= 2) {
      const entry = entries.at(number);
      if (entry !== undefined && wanted.keyOf(entry) <= wanted.key && isFrameAt(request, entry)) return entry;
    }
    return beginning;
  } finally {
    file.close();
  }
}

/** Undefined where there is none, or none that can be opened, whatever stands in its place: it is done without. */
function openIndex(context: TopicContext, baseOffset: number): FileHandle | undefined {
  try {
    return openIfThere(context.fileSystem, indexPath(context, baseOffset));
  } catch (error) {
    if (!isDiskError(error)) throw error;
    return undefined;
  }
}

/** Guesses by proportion before it falls back to halving: offsets and entries grow in step. */
const INTERPOLATION_STEPS = 4;

/**
 * Number of the greatest entry whose key is at most the wanted one, -1 when there is none. An entry that is unsound
 * (zeros that a power cut left at the end) counts as too great.
 */
function greatestAtMost(
  entries: IndexEntries,
  wanted: { key: number; keyOf: (entry: IndexEntry) => number },
): number {
  let low = 0;
  let high = entries.count - 1;
  const keyAt = (number: number): number => {
    const entry = entries.at(number);
    return entry === undefined ? Infinity : wanted.keyOf(entry);
  };
  for (let step = 0; low <= high; step++) {
    let middle = (low + high) >>> 1;
    if (step < INTERPOLATION_STEPS) {
      const lowKey = keyAt(low);
      const highKey = keyAt(high);
      const share = (wanted.key - lowKey) / (highKey - lowKey);
      if (share >= 0 && share <= 1) middle = low + Math.floor(share * (high - low));
    }
    if (keyAt(middle) <= wanted.key) low = middle + 1;
    else high = middle - 1;
  }
  return high;
}

/** What an entry says of a frame, or a place by itself. */
type ExpectedFrame = SegmentPlace & { readonly lengthField?: number };

/** Whether a frame that begins there checks out at that offset; of an index entry, whether it counts. */
export function isFrameAt(request: Omit<LookupRequest, 'useMap'>, place: ExpectedFrame): boolean {
  return frameAt(request, place) !== undefined;
}

/** An entry of another segment's index may point anywhere: what stands there is not read as the frame that it looks like. */
function frameAt(
  request: Omit<LookupRequest, 'useMap'>,
  { offset, position, lengthField }: ExpectedFrame,
): SoundFrame | undefined {
  if (offset < request.baseOffset || position >= request.endPosition) return undefined;
  const { store, endPosition } = request;
  const frame = readFrameAt(store, { position, offset, endPosition, minTimestamp: -Infinity, lengthField });
  return isSound(frame) ? frame : undefined;
}

/** Of the frame at a place; too great where none checks out there, so that a search goes left. */
export function timestampAt(request: LookupRequest, place: ExpectedFrame): number {
  return frameAt(request, place)?.header.timestamp ?? Infinity;
}
