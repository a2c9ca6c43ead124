/**
 * One segment of a log, read from its first byte to its end: what is damaged in it, and for `verify` what it holds and
 * what its index says. The answer is plain data, since segments may be read on other threads (segment-readers.ts). Takes
 * no lock and changes nothing.
 */
import { FastQueueError } from '../errors.ts';
import { HIGH_WATERMARK_FILE } from '../format/file-names.ts';
import { FRAME_HEADER_BYTES } from '../format/frame.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { IndexEntry } from '../format/index-entry.ts';
import { headerAt } from '../frame-header.ts';
import { payloadChecksum } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { partsByFlippedBits, type HolePart } from './bit-flip.ts';
import type { FoundRegion } from './damaged-region.ts';
import { isBeginOf, PlaceOfOffset } from './doubled-end.ts';
import { pastMarkOf, type PastMark } from './past-mark.ts';
import { addRegion, regionsOf, regionTable, type RegionTable } from './region-table.ts';
import { framesWithin, scanStore, type FrameVisitor, type Hole, type StoreScan } from '../damage-scan.ts';
import { isFrameAt, isIndexFree } from '../offset-index.ts';
import type { LogSegment } from '../segment-list.ts';
import { storePath, type TopicContext } from '../topic-directory.ts';
import { seenWithReadableIndexes, type UnreadableIndex } from './readable-indexes.ts';
import { IndexCheck, type IndexVerdict } from '../index-check.ts';

export interface SegmentRequest {
  readonly segment: LogSegment;
  readonly mark: HighWatermark;
  /** Look for a single flipped bit in frames that do not check out. */
  readonly tryBitFlip: boolean;
  /** `verify` goes on where an index cannot be read; for `recover` that is the disk's error as any other. */
  readonly purpose: 'verify' | 'recover';
  /** What the topic's settings say of its indexes. */
  readonly indexIntervalBytes: number;
  /** The active store is read to its last byte: its frames were moved, so that the mark's byte tells nothing. */
  readonly isMoved: boolean;
  /** Offsets that the log may have: where a frame that stands in the wrong place may belong. */
  readonly log: { readonly offset: number; readonly nextOffset: number };
}

export interface SegmentReading {
  readonly regions: RegionTable;
  /** Where the good frames end, and where the segment ends once it is repaired. */
  readonly goodEndOffset: number;
  readonly nextOffset: number;
  /** Milliseconds since 1970; undefined where there is no frame. */
  readonly firstTimestamp: number | undefined;
  readonly lastTimestamp: number | undefined;
  /** As in DamageList. */
  readonly activeEndPosition: number | undefined;
  readonly pastMark: PastMark | undefined;
  readonly contents: SegmentContents;
}

/** What a segment holds, and what its index is worth. */
export interface SegmentContents {
  readonly records: number;
  readonly gaps: number;
  /** Undefined where what is called one is no file: somebody put it there on purpose, and nobody removes it. */
  readonly index: IndexVerdict | undefined;
  /** Where the disk does not give the index up: then the verdict is of no more than what could be read of it. */
  readonly unreadableIndex: UnreadableIndex | undefined;
}

/**
 * Reads one segment.
 *
 * @param onBytes told how many bytes were read since it was told last; all in all the size of the store
 * @throws FastQueueError `newer_format`, `recovery_incomplete`; disk errors as themselves
 */
export function readSegment(
  topic: TopicContext,
  request: SegmentRequest,
  onBytes: (byteCount: number) => void,
): SegmentReading {
  const { segment, purpose } = request;
  let unreadableIndex: UnreadableIndex | undefined;
  const onUnreadable = (index: UnreadableIndex): void => {
    unreadableIndex ??= index;
  };
  const context = purpose === 'verify' ? seenWithReadableIndexes(topic, onUnreadable) : topic;
  const store = context.fileSystem.open(storePath(context, segment.baseOffset), 'read');
  try {
    const visit = new Visit(context, request, onBytes);
    let found: Damage;
    try {
      found = findDamage(context, { ...request, store }, visit.visitor);
    } catch (error) {
      visit.close();
      throw error;
    }
    return { ...found, contents: { ...visit.contents(store, found.regions), unreadableIndex } };
  } finally {
    store.close();
  }
}

/** Watches the frames of one segment go by: counts them, holds the index against them, tells how far it is. */
class Visit {
  readonly visitor: FrameVisitor;
  readonly #check: IndexCheck | undefined;
  readonly #request: SegmentRequest;
  readonly #onBytes: (byteCount: number) => void;
  #records = 0;
  #gaps = 0;
  #bytes = 0;

  constructor(context: TopicContext, request: SegmentRequest, onBytes: (byteCount: number) => void) {
    const { segment, mark } = request;
    const { baseOffset } = segment;
    const endPosition = segment.isActive && !request.isMoved ? mark.position : Infinity;
    this.#request = request;
    this.#onBytes = onBytes;
    const intervalBytes = request.indexIntervalBytes;
    const isChecked = request.purpose === 'verify' || isIndexFree(context, baseOffset);
    this.#check = isChecked ? new IndexCheck(context, { baseOffset, endPosition, intervalBytes }) : undefined;
    this.visitor = {
      onRecords: (frames, place, recordCount) => {
        this.#records += recordCount;
        this.#check?.records(frames, place);
        this.#tell(frames.end - frames.start);
      },
      onSpecial: (frame, place) => {
        if (frame.type === 'gap') this.#gaps += 1;
        this.#check?.special(frame, place);
        this.#tell(frame.header.frameBytes);
      },
      // What is no good frame is looked through for one, and then summed up.
      onPassed: (byteCount) => {
        this.#tell(Math.floor(byteCount / 2));
      },
    };
  }

  contents(store: FileHandle, regions: RegionTable): Omit<SegmentContents, 'unreadableIndex'> {
    const { segment, mark, isMoved, purpose } = this.#request;
    const { sizeBytes } = segment;
    this.#tell(sizeBytes - this.#bytes);
    // What a dead writer left behind the mark becomes part of the log, and its entries have to be right then. A live one
    // goes on writing both.
    const namesFrame = (entry: IndexEntry): boolean =>
      isFrameAt({ store, baseOffset: segment.baseOffset, endPosition: store.status().sizeBytes }, entry);
    const judgedBytes = segment.isActive && !isMoved ? Math.min(sizeBytes, mark.position) : sizeBytes;
    const index = this.#check?.verdict({
      hasFrames: judgedBytes >= FRAME_HEADER_BYTES,
      regions: regionsOf(regions),
      namesFrame: purpose === 'recover' ? namesFrame : undefined,
    });
    return { records: this.#records, gaps: this.#gaps, index };
  }

  close(): void {
    this.#check?.close();
  }

  #tell(byteCount: number): void {
    this.#bytes += byteCount;
    this.#onBytes(byteCount);
  }
}

type Damage = Omit<SegmentReading, 'contents'>;

function findDamage(
  context: TopicContext,
  request: SegmentRequest & { store: FileHandle },
  visitor: FrameVisitor,
): Damage {
  const { store, segment, mark, tryBitFlip, log } = request;
  const isMoved = segment.isActive && request.isMoved;
  const isToMark = segment.isActive && !isMoved;
  const storeBytes = store.status().sizeBytes;
  const endPosition = isToMark ? Math.min(storeBytes, mark.position) : storeBytes;
  const regions = regionTable();
  const onHole = (hole: Hole): void => {
    const found = describeHole(hole, {
      store,
      segment,
      storeBytes,
      endPosition,
      // Behind the last offset of a segment nothing is looked for: it is read once.
      onRead: (byteCount) => visitor.onPassed?.(hole.offset < segment.endOffset ? byteCount : 2 * byteCount),
      tryBitFlip,
      log,
    });
    for (const region of found) addRegion(regions, region);
  };
  const end = new PlaceOfOffset(segment.endOffset, visitor);
  const scan = scanStore(context, {
    store,
    baseOffset: segment.baseOffset,
    position: 0,
    offset: segment.baseOffset,
    endPosition,
    endOffset: isMoved ? undefined : segment.endOffset,
    likelyEndOffset: segment.endOffset,
    minTimestamp: -Infinity,
    visitor: end.visitor,
    onHole,
  });
  if (scan.nextOffset > segment.endOffset && isToMark) throw tooMany(context, store, scan);
  const isBeyond = !segment.isActive && scan.nextOffset > segment.endOffset;
  const position = isBeyond ? end.find(store, segment.endOffset) : undefined;
  const behind = { store, position: position ?? 0, endPosition: scan.goodEndPosition };
  if (position !== undefined && isBeginOf(context, segment.endOffset, behind)) {
    const { lastTimestamp } = scan;
    const offsets = { offset: segment.endOffset, nextOffset: segment.endOffset };
    onHole({ ...offsets, position, endPosition, timestampBefore: lastTimestamp, timestampAfter: undefined });
    return {
      regions,
      goodEndOffset: scan.nextOffset,
      nextOffset: segment.endOffset,
      firstTimestamp: headerAt(store, { position: 0 })?.timestamp,
      lastTimestamp,
      activeEndPosition: undefined,
      pastMark: undefined,
    };
  }
  // A sealed store that ends at a frame, early: the segment behind it is missing.
  const endsEarly = segment.isActive && scan.nextOffset < segment.endOffset;
  const isCut = scan.goodEndPosition < endPosition || endsEarly || (storeBytes === 0 && !segment.isActive);
  if (isCut) onHole(holeAtEnd(scan, { endPosition, segment }));
  const pastMark = isMoved ? pastMarkOf(scan, { mark, storeBytes, isMoved }) : undefined;
  return {
    regions,
    goodEndOffset: scan.nextOffset,
    nextOffset: isCut ? Math.max(scan.nextOffset, segment.endOffset) : scan.nextOffset,
    firstTimestamp: headerAt(store, { position: 0 })?.timestamp,
    lastTimestamp: scan.lastTimestamp,
    activeEndPosition: isToMark && !isCut && storeBytes < mark.position ? storeBytes : undefined,
    pastMark,
  };
}

function holeAtEnd(scan: StoreScan, end: { endPosition: number; segment: LogSegment }): Hole {
  return {
    position: scan.goodEndPosition,
    endPosition: end.endPosition,
    offset: scan.nextOffset,
    nextOffset: Math.max(scan.nextOffset, end.segment.endOffset),
    timestampBefore: scan.lastTimestamp,
    timestampAfter: undefined,
  };
}

interface HoleRequest {
  readonly store: FileHandle;
  readonly segment: { readonly baseOffset: number; readonly isActive: boolean };
  readonly storeBytes: number;
  /** Where the store, or what is judged of it, ends. */
  readonly endPosition?: number;
  readonly tryBitFlip: boolean;
  readonly log: SegmentRequest['log'];
  /** Told how many bytes were read since it was told last. */
  readonly onRead?: (byteCount: number) => void;
}

/** A hole as a plan needs it: one region, or one for each record that a flipped bit explains and for what is left. */
export function describeHole(hole: Hole, request: HoleRequest): FoundRegion[] {
  const { store, log } = request;
  if (!request.tryBitFlip) return [describePart(hole, request)];
  const parts = partsByFlippedBits(store, hole);
  // Frames that were moved may find their places in the whole of a hole only.
  const keptCount = (part: HolePart): number =>
    part.flip === undefined ? framesWithin(store, part, log).moved.length : 1;
  const keptInParts = parts.reduce((sum, part) => sum + keptCount(part), 0);
  const isTakenApart = keptInParts > keptCount(hole);
  return (isTakenApart ? parts : [hole]).map((part) => describePart(part, request));
}

function describePart(hole: HolePart, request: HoleRequest): FoundRegion {
  const { store, segment, storeBytes, log } = request;
  const { position, endPosition, offset, nextOffset } = hole;
  const contents = framesWithin(store, hole, log);
  const { moved } = contents;
  const { timestampBefore, timestampAfter, flip } = hole;
  const isTail = segment.isActive && endPosition === request.endPosition;
  return {
    code: codeOf(hole, { store, isTail, isMoved: moved.length > 0 }),
    baseOffset: segment.baseOffset,
    position,
    endPosition,
    offset,
    nextOffset,
    timestamp: timestampBefore ?? timestampAfter,
    moved,
    exchange: { ...contents, timestampBefore, timestampAfter },
    checksum: payloadChecksum(store, {
      position,
      byteCount: endPosition - position,
      onRead: request.onRead,
    }),
    storeBytes,
    flip,
  };
}

function codeOf(hole: Hole, facts: { store: FileHandle; isTail: boolean; isMoved: boolean }): string {
  if (facts.isMoved) return 'misplaced_frames';
  if (hole.nextOffset === hole.offset) return 'foreign_bytes';
  const header = headerAt(facts.store, { position: hole.position });
  const isOneFrame =
    header !== undefined &&
    hole.position + header.frameBytes === hole.endPosition &&
    hole.nextOffset === hole.offset + 1;
  if (isOneFrame) return 'bad_checksum';
  return facts.isTail ? 'missing_tail' : 'bad_length';
}

function tooMany(context: TopicContext, store: FileHandle, scan: StoreScan): FastQueueError {
  return new FastQueueError(
    'recovery_incomplete',
    `${store.path} holds records up to offset ${scan.nextOffset - 1} before the byte that the high-water mark of ` +
      `"${context.topic}" names, which says fewer. Nothing was changed. Move the topic's file ${HIGH_WATERMARK_FILE} away ` +
      'and run recover again: it is made anew from the stores.',
    { topic: context.topic, path: store.path, endOffset: scan.nextOffset },
  );
}
