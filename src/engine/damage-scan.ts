/**
 * One store, read on after damage: runs of good frames, and the holes between them. Also looks into a hole for frames
 * that check out at another place of it (swapped or doubled ones). Reads only.
 */
import {
  decodeFrameHeader,
  decodeGapPayload,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  GAP_HEAD_BYTES,
  MAX_RECORD_BYTES,
  solveFrameOffset,
} from './format/frame.ts';
import { headerAt, headerBytesAt } from './frame-header.ts';
import { newerFrame, payloadChecksum, scanFrames, type ScanRequest } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { MAX_OFFSET } from './limits.ts';
import { findNextFrame, placesByLength, type NextFrameRequest } from './next-frame.ts';
import { entriesAfter } from './offset-index.ts';
import type { TopicContext } from './topic-directory.ts';

/** A frame inside a hole that checks out at another place or offset than it stands at. */
export interface MovedFrame {
  /** Byte in the store where it stands now. */
  readonly position: number;
  readonly bytes: number;
  /** Offset that it checks out at. */
  readonly offset: number;
  /** Offsets that it stands for; 1 unless it says otherwise. */
  readonly offsetCount?: number;
  /** Of its last frame, where that was looked at. */
  readonly timestamp?: number;
}

/** The same, with what tells it apart from another that checks out at the same offset. */
export interface StandingFrame extends Required<MovedFrame> {
  readonly checksum: number;
}

/** The frames inside a hole that follow one another by their own lengths from its beginning. */
export interface HoleContents {
  /** Those that check out at offsets that are missing in this hole, by offset. */
  readonly moved: readonly StandingFrame[];
  /** Those that check out at another offset of the log. None where the hole is not full of frames, one for each record. */
  readonly strays: readonly StandingFrame[];
  /** How many check out nowhere. */
  readonly unexplainedCount: number;
}

/** Bytes that are no good frames, and the offsets that are missing between what stands before and behind them. */
export interface Hole {
  readonly position: number;
  readonly endPosition: number;
  readonly offset: number;
  readonly nextOffset: number;
  /** Of the frame before, in this segment. */
  readonly timestampBefore: number | undefined;
  /** Of the frame behind. */
  readonly timestampAfter: number | undefined;
}

export interface StoreScan {
  /** None where `onHole` was told of them. */
  readonly holes: readonly Hole[];
  /** End of the last good frame, and the offset that would follow. */
  readonly goodEndPosition: number;
  readonly nextOffset: number;
  /** Undefined where there is no good frame. */
  readonly lastTimestamp: number | undefined;
}

export interface StoreScanRequest {
  readonly store: FileHandle;
  readonly baseOffset: number;
  /** Where to begin, at a frame of this offset. */
  readonly position: number;
  readonly offset: number;
  /** Bytes that may be looked at. */
  readonly endPosition: number;
  /** Offset that the segment must end at, where that is known. */
  readonly endOffset: number | undefined;
  /** Next offset that a frame which ends at endPosition is believed for, where endOffset is not known. */
  readonly likelyEndOffset?: number | undefined;
  readonly minTimestamp: number;
  /** Told of every good frame. */
  readonly visitor?: FrameVisitor | undefined;
  /** Told of every hole, in order: there may be too many to keep. */
  readonly onHole?: ((hole: Hole) => void) | undefined;
}

/** Who wants to know of the good frames of a store, in order. */
export type FrameVisitor = Pick<ScanRequest, 'onRecords' | 'onSpecial'> & Pick<LostPlace, 'onPassed'>;

/** Index entries that are tried first when a frame is looked for. */
const HINT_COUNT = 256;

/**
 * Offsets that may be missing in a hole of a store that ends nowhere known. A frame checks out at one offset of each high
 * word, and two that were swapped may follow one another in the next one.
 */
const MAX_HOLE_OFFSETS = 2 ** 31;

/** @throws FastQueueError `newer_format`; disk errors as themselves */
export function scanStore(context: TopicContext, request: StoreScanRequest): StoreScan {
  const { store, endPosition } = request;
  const holes: Hole[] = [];
  const { onHole = (hole: Hole) => void holes.push(hole) } = request;
  let { position, offset, minTimestamp } = request;
  for (;;) {
    const scan = scanFrames({
      file: store,
      kernel: context.kernel,
      position,
      offset,
      endPosition,
      minTimestamp,
      ...request.visitor,
    });
    if (scan.stop === 'newer') throw newerFrame(store.path, scan.endPosition);
    const lastTimestamp = scan.lastTimestamp === -Infinity ? undefined : scan.lastTimestamp;
    const end = {
      holes,
      goodEndPosition: scan.endPosition,
      nextOffset: scan.nextOffset,
      lastTimestamp,
    };
    if (scan.stop === 'end') return end;
    const lastOffset = request.endOffset ?? request.likelyEndOffset;
    const found = findFrameBehind(context, {
      store,
      baseOffset: request.baseOffset,
      position: scan.endPosition,
      offset: scan.nextOffset,
      lastTimestamp: scan.lastTimestamp,
      endPosition,
      maxOffset: (request.endOffset ?? Math.min(MAX_OFFSET, scan.nextOffset + MAX_HOLE_OFFSETS)) - 1,
      end: lastOffset === undefined ? undefined : { position: endPosition, nextOffset: lastOffset },
      onPassed: request.visitor?.onPassed,
    });
    if (found === undefined) return end;
    onHole({
      position: scan.endPosition,
      endPosition: found.position,
      offset: scan.nextOffset,
      nextOffset: found.offset,
      timestampBefore: lastTimestamp,
      timestampAfter: timestampAt(store, found.position),
    });
    ({ position, offset } = found);
    minTimestamp = scan.lastTimestamp;
  }
}

/** Where the bounds of frames were lost, and what is known of what lies behind. */
export interface LostPlace {
  readonly store: FileHandle;
  readonly baseOffset: number;
  /** Where a frame of this offset should begin. */
  readonly position: number;
  readonly offset: number;
  /** Of the frame before. */
  readonly lastTimestamp: number;
  readonly endPosition: number;
  readonly maxOffset: number;
  /** What a frame that ends there is followed by, where that is known. */
  readonly end: { readonly position: number; readonly nextOffset: number } | undefined;
  /** Told how many bytes were looked at since it was told last. */
  readonly onPassed?: ((byteCount: number) => void) | undefined;
}

/** The next good frame of the store, found by all that speaks for one. */
export function findFrameBehind(
  context: TopicContext,
  place: LostPlace,
): { position: number; offset: number } | undefined {
  const { store, baseOffset, position, offset, lastTimestamp, endPosition, end } = place;
  return findNextFrame({
    file: store,
    fromPosition: position,
    endPosition,
    minOffset: offset,
    maxOffset: place.maxOffset,
    minTimestamp: lastTimestamp,
    indexEntries: entriesAfter(context, { baseOffset, position, count: HINT_COUNT }),
    expected: placesByLength(store, place),
    ...(end === undefined ? {} : { end }),
    follow: followWith(context, store, lastTimestamp),
    onPassed: place.onPassed,
  });
}

/** How findNextFrame goes on from a frame that it has found. */
export function followWith(
  context: TopicContext,
  file: FileHandle,
  minTimestamp: number,
): NonNullable<NextFrameRequest['follow']> {
  return (from, untilPosition) => {
    const place = { ...from, endPosition: untilPosition, minTimestamp };
    const scan = scanFrames({ file, kernel: context.kernel, ...place });
    return { position: scan.endPosition, offset: scan.nextOffset, lastTimestamp: scan.lastTimestamp };
  };
}

/**
 * Looks into a hole for frames that belong elsewhere. None belongs here where their times would go back once they stand
 * in order.
 *
 * @param log the offsets that the log has: where a stray may belong
 */
export function framesWithin(
  store: FileHandle,
  hole: Hole,
  log: { offset: number; nextOffset: number },
): HoleContents {
  const frames = walkHole(store, hole);
  const nearby = {
    offset: Math.max(log.offset, hole.offset - SOLVABLE_OFFSETS / 2),
    nextOffset: Math.min(log.nextOffset, hole.offset + SOLVABLE_OFFSETS / 2),
  };
  const own = frames.flatMap((frame) => solveIn(frame, hole) ?? []);
  const moved = own.sort((left, right) => left.offset - right.offset);
  const movedPositions = new Set(moved.map(({ position }) => position));
  const others = frames.filter(({ position }) => !movedPositions.has(position));
  const last = frames.at(-1);
  const isFull = last !== undefined && last.position + last.bytes === hole.endPosition;
  // A payload may be a store: the frames of it are no records of the log, and are more than are missing here.
  const singleCount = frames.length - doubledCount(frames, hole, nearby);
  const isOneEach = singleCount === 1 || singleCount === hole.nextOffset - hole.offset;
  const strays = isFull && isOneEach ? others.flatMap((frame) => solveIn(frame, nearby) ?? []) : [];
  return {
    moved: isInOrder(moved, hole) ? moved : [],
    strays,
    unexplainedCount: others.length - strays.length,
  };
}

/** How many frames a hole begins with that check out at the offsets right before it: these stand there twice. */
function doubledCount(frames: readonly UnsolvedFrame[], hole: Hole, nearby: { offset: number }): number {
  const [first] = frames;
  // Those before a segment's first frame stand in another segment, if they do.
  if (first === undefined || hole.timestampBefore === undefined) return 0;
  let offset = solveIn(first, { ...nearby, nextOffset: hole.offset })?.offset ?? hole.offset;
  let count = 0;
  for (const frame of frames) {
    if (offset >= hole.offset) break;
    offset += solveIn(frame, { offset, nextOffset: hole.offset })?.offsetCount ?? Infinity;
    count += 1;
  }
  return offset === hole.offset ? count : 0;
}

/** Offsets among which a checksum tells one from all others. */
const SOLVABLE_OFFSETS = 2 ** 32;

/** True where times never go back from what stands before the hole, over these frames, to what stands behind it. */
export function isInOrder(
  frames: readonly { readonly timestamp: number }[],
  around: Pick<Hole, 'timestampBefore' | 'timestampAfter'>,
): boolean {
  const times = [
    around.timestampBefore ?? -Infinity,
    ...frames.map(({ timestamp }) => timestamp),
    around.timestampAfter ?? Infinity,
  ];
  return times.every((time, number) => number === 0 || time >= (times[number - 1] as number));
}

/** What stands at a place and looks like a frame; which offset it checks out at is still to be solved for. */
interface UnsolvedFrame {
  readonly position: number;
  readonly bytes: number;
  readonly header: Buffer;
  readonly payloadChecksum: number;
  /** Undefined where it stands for none: padding, and a gap whose count does not decode. */
  readonly offsetCount: number | undefined;
}

/** Of a hole. Zeros would be frames of 16 bytes by their Length, and a hole of them may be as large as a disk. */
export const MAX_WALKED_FRAMES = 65_536;

function walkHole(store: FileHandle, hole: Hole): UnsolvedFrame[] {
  const frames: UnsolvedFrame[] = [];
  let { position } = hole;
  while (frames.length < MAX_WALKED_FRAMES && position + FRAME_HEADER_BYTES <= hole.endPosition) {
    const bytes = headerBytesAt(store, { position });
    if (bytes === undefined) break;
    const header = decodeFrameHeader(bytes, 0);
    if (position + header.frameBytes > hole.endPosition) break;
    const isRecord = header.kind === FRAME_KIND.record && header.payloadBytes <= MAX_RECORD_BYTES;
    if (!isRecord && header.kind !== FRAME_KIND.gap && header.kind !== FRAME_KIND.control) break;
    const head = Buffer.alloc(Math.min(GAP_HEAD_BYTES, header.payloadBytes));
    const payload = { position: position + FRAME_HEADER_BYTES, byteCount: header.payloadBytes, head };
    frames.push({
      position,
      bytes: header.frameBytes,
      header: bytes,
      payloadChecksum: payloadChecksum(store, payload),
      offsetCount: isRecord ? 1 : countOf(header, head),
    });
    position += header.frameBytes;
  }
  return frames;
}

function countOf(header: ReturnType<typeof decodeFrameHeader>, head: Buffer): number | undefined {
  return header.kind === FRAME_KIND.gap ? decodeGapPayload(head, header.payloadBytes)?.count : undefined;
}

function solveIn(
  frame: UnsolvedFrame,
  range: { offset: number; nextOffset: number },
): StandingFrame | undefined {
  const { position, bytes, header, offsetCount } = frame;
  const offset = solveWithin(header, frame.payloadChecksum, range);
  if (offset === undefined || offsetCount === undefined) return undefined;
  if (offset + offsetCount > range.nextOffset) return undefined;
  const { timestamp, checksum } = decodeFrameHeader(header, 0);
  return { position, bytes, offset, offsetCount, timestamp, checksum };
}

/** The offset in a range that a frame checks out at, if there is one. */
export function solvedOffset(
  store: FileHandle,
  position: number,
  range: { offset: number; nextOffset: number },
): number | undefined {
  const bytes = headerBytesAt(store, { position });
  if (bytes === undefined) return undefined;
  return solveWithin(
    bytes,
    checksumOfPayload(store, position, decodeFrameHeader(bytes, 0).payloadBytes),
    range,
  );
}

function solveWithin(
  header: Buffer,
  payload: number,
  range: { offset: number; nextOffset: number },
): number | undefined {
  if (Number.isNaN(payload)) return undefined;
  const [low, high] = [Math.floor(range.offset / 2 ** 32), Math.floor(range.nextOffset / 2 ** 32)];
  for (let highWord = low; highWord <= Math.min(high, low + 1); highWord++) {
    const offset = solveFrameOffset(header, { payloadChecksum: payload, highWord });
    if (offset >= range.offset && offset < range.nextOffset) return offset;
  }
  return undefined;
}

function checksumOfPayload(store: FileHandle, position: number, byteCount: number): number {
  return payloadChecksum(store, { position: position + FRAME_HEADER_BYTES, byteCount });
}

function timestampAt(store: FileHandle, position: number): number | undefined {
  return headerAt(store, { position })?.timestamp;
}
