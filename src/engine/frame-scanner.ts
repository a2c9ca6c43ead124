/**
 * How a scan over frames ends, decided once for everybody: settling, reading, verify, recover, inspect-segment.
 *
 * Runs of plain records go through the kernel, a chunk at a time; frames of other kinds are checked one by one, as a
 * stream, since they may be 2^28 + 15 bytes long. Memory is bounded by one batch. Reads only; uses the kernel's memory
 * for the length of a call.
 */
import { FastQueueError } from './errors.ts';
import { crc32 } from './format/crc32.ts';
import {
  decodeFrameHeader,
  decodeGapPayload,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  frameChecksumStart,
  GAP_HEAD_BYTES,
  MAX_RECORD_BYTES,
  type FrameHeader,
} from './format/frame.ts';
import { headerAt } from './frame-header.ts';
import type { FileHandle } from './io/file-system.ts';
import { KERNEL_INPUT } from './kernel/index.ts';
import type { Kernel, Region } from './kernel/kernel.ts';
import { MAX_BATCH_BYTES, MAX_OFFSET, READ_CHUNK_BYTES } from './limits.ts';
import { findNextFrame } from './next-frame.ts';

/** Where a frame is expected, and what must hold of it. */
export interface FramePlace {
  /** First byte in the store. */
  readonly position: number;
  /** Offset that it must check out at. */
  readonly offset: number;
  /** Bytes of the store that may be looked at: its size, or the mark's Position. */
  readonly endPosition: number;
  /** Timestamp of the frame before in this segment, or -Infinity. */
  readonly minTimestamp: number;
  /** The Length that it must have, where that is known: a frame of another is bad, and no more of it is read. */
  readonly lengthField?: number | undefined;
}

/** A frame that checks out where it stands. */
export type SoundFrame =
  | { readonly type: 'record'; readonly header: FrameHeader; readonly offsetCount: 1 }
  | {
      readonly type: 'gap';
      readonly header: FrameHeader;
      readonly offsetCount: number;
      readonly reason: number;
    }
  | { readonly type: 'control'; readonly header: FrameHeader; readonly offsetCount: 0 };

/** One frame, judged. `incomplete`: it would reach past endPosition. `newer`: sound, and of a kind this version lacks. */
export type FrameReading =
  SoundFrame | { readonly type: 'newer' | 'incomplete' | 'bad'; readonly header: FrameHeader | undefined };

export function isSound(frame: FrameReading): frame is SoundFrame {
  return frame.type === 'record' || frame.type === 'gap' || frame.type === 'control';
}

/** Reads and judges the frame at one place, payload streamed and not kept. The checksum is judged before the kind. */
export function readFrameAt(file: FileHandle, place: FramePlace): FrameReading {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  const headerBytes = Math.min(FRAME_HEADER_BYTES, place.endPosition - place.position);
  if (file.read(header.subarray(0, headerBytes), place.position) < FRAME_HEADER_BYTES) {
    return { type: 'incomplete', header: undefined };
  }
  const decoded = decodeFrameHeader(header, 0);
  const isOther = place.lengthField !== undefined && decoded.lengthField !== place.lengthField;
  if (isOther || (decoded.kind === FRAME_KIND.record && decoded.payloadBytes > MAX_RECORD_BYTES))
    return { type: 'bad', header: decoded };
  if (place.position + decoded.frameBytes > place.endPosition) return { type: 'incomplete', header: decoded };
  const head = Buffer.alloc(Math.min(GAP_HEAD_BYTES, decoded.payloadBytes));
  const checksum = payloadChecksum(file, {
    position: place.position + FRAME_HEADER_BYTES,
    byteCount: decoded.payloadBytes,
    head,
    startChecksum: frameChecksumStart(header, place.offset),
  });
  const timeHolds = Number.isSafeInteger(decoded.timestamp) && decoded.timestamp >= place.minTimestamp;
  if (checksum !== decoded.checksum || !timeHolds) return { type: 'bad', header: decoded };
  return judgeKind(decoded, head, place.offset);
}

function judgeKind(header: FrameHeader, head: Buffer, offset: number): FrameReading {
  switch (header.kind) {
    case FRAME_KIND.record:
      return { type: 'record', header, offsetCount: 1 };
    case FRAME_KIND.gap: {
      const gap = decodeGapPayload(head, header.payloadBytes);
      if (gap === undefined || offset + gap.count > MAX_OFFSET) return { type: 'bad', header };
      return { type: 'gap', header, offsetCount: gap.count, reason: gap.reason };
    }
    case FRAME_KIND.control:
      return { type: 'control', header, offsetCount: 0 };
    default:
      return { type: 'newer', header };
  }
}

/** Large enough that zlib works at its full speed, small enough to stay in the cache. */
const STREAM_BYTES = 256 * 1024;
let streamBuffer: Buffer | undefined;

/**
 * CRC-32 of file bytes going on from `startChecksum`; the first of them are copied to `head`. NaN where the file is shorter.
 *
 * @param payload.onRead told how many bytes were read since it was told last
 */
export function payloadChecksum(
  file: FileHandle,
  payload: {
    position: number;
    byteCount: number;
    head?: Buffer;
    startChecksum?: number;
    onRead?: ((byteCount: number) => void) | undefined;
  },
): number {
  streamBuffer ??= Buffer.allocUnsafeSlow(STREAM_BYTES);
  let checksum = payload.startChecksum ?? 0;
  for (let done = 0; done < payload.byteCount;) {
    const chunk = streamBuffer.subarray(0, Math.min(STREAM_BYTES, payload.byteCount - done));
    if (file.read(chunk, payload.position + done) < chunk.length) return NaN;
    if (done === 0 && payload.head !== undefined) chunk.copy(payload.head);
    checksum = crc32(chunk, checksum);
    done += chunk.length;
    payload.onRead?.(chunk.length);
  }
  return checksum;
}

export interface ScanRequest extends FramePlace {
  readonly file: FileHandle;
  readonly kernel: Kernel;
  /** Told of every gap and control frame, in order. */
  readonly onSpecial?: ((frame: SoundFrame, place: { position: number; offset: number }) => void) | undefined;
  /** Told of every run of good records, in order; they stand in `frames` of the kernel's memory for the length of the call. */
  readonly onRecords?:
    ((frames: Region, place: { position: number; offset: number }, recordCount: number) => void) | undefined;
}

/** A scan's end: `end` exactly at endPosition, or before the frame that could not be taken. */
export interface FrameScan {
  readonly stop: 'end' | 'incomplete' | 'bad' | 'newer';
  readonly endPosition: number;
  readonly nextOffset: number;
  readonly lastTimestamp: number;
  readonly recordCount: number;
}

/** Read first, and by how much more each time: between two holes there may be one frame. */
const FIRST_CHUNK_BYTES = 16 * 1024;
const CHUNK_GROWTH = 8;

/** Checks frames from a place to the first that is not good, or to endPosition. */
export function scanFrames(request: ScanRequest): FrameScan {
  const { file, kernel, endPosition } = request;
  let { position, offset } = request;
  let lastTimestamp = request.minTimestamp;
  let recordCount = 0;
  const finish = (stop: FrameScan['stop']): FrameScan => ({
    stop,
    endPosition: position,
    nextOffset: offset,
    lastTimestamp,
    recordCount,
  });
  let chunkBytes = FIRST_CHUNK_BYTES;
  while (position < endPosition) {
    const wantedBytes = Math.min(chunkBytes, endPosition - position);
    const byteCount = file.read(kernel.memory.subarray(0, wantedBytes), position);
    const run = kernel.checkFrames({
      input: { start: KERNEL_INPUT.start, end: KERNEL_INPUT.start + byteCount },
      firstOffset: offset,
      untilOffset: Infinity,
      minTimestamp: lastTimestamp,
    });
    if (run.recordCount > 0) {
      const frames = { start: KERNEL_INPUT.start, end: run.inputEnd };
      request.onRecords?.(frames, { position, offset }, run.recordCount);
    }
    position += run.inputEnd - KERNEL_INPUT.start;
    offset = run.nextOffset;
    lastTimestamp = run.lastTimestamp;
    recordCount += run.recordCount;
    chunkBytes = Math.min(chunkBytes * CHUNK_GROWTH, READ_CHUNK_BYTES);
    if (run.stop === 'end' && byteCount > 0) continue;
    if (run.stop === 'bad') return finish('bad');
    const place = { position, offset, endPosition, minTimestamp: lastTimestamp };
    if (run.stop === 'incomplete') {
      // The file was cut since its size was looked at: no larger chunk would bring more.
      if (byteCount < wantedBytes) return finish('incomplete');
      const frameBytes = headerAt(file, place)?.frameBytes;
      if (frameBytes === undefined || position + frameBytes > endPosition) return finish('incomplete');
      // The frame goes on behind this chunk: take at least all of it next time.
      chunkBytes = Math.max(frameBytes, READ_CHUNK_BYTES);
      continue;
    }
    const frame = readFrameAt(file, place);
    if (!isSound(frame)) return finish(frame.type);
    request.onSpecial?.(frame, place);
    position += frame.header.frameBytes;
    offset += frame.offsetCount;
    lastTimestamp = frame.header.timestamp;
  }
  return finish('end');
}

export interface TailScan {
  /**
   * `clean`: good frames to the end. `torn-tail`: an unfinished end that a dead writer left; nothing of it was ever
   * acknowledged. `damaged`: anything else.
   */
  readonly ending: 'clean' | 'torn-tail' | 'damaged';
  /** End of the good frames. */
  readonly goodEndPosition: number;
  readonly nextOffset: number;
  readonly lastTimestamp: number;
}

/**
 * Judges what lies between `position` (the mark's) and the end of the active store.
 *
 * The blocks of one unsynced batch may reach the disk in any order, so good frames behind the first hole go with it, as
 * long as they all carry one timestamp, as a batch does. Two timestamps behind a hole prove that the hole was synced
 * before the second was written: that is damage.
 *
 * @throws FastQueueError `newer_format`
 */
export function scanTail(request: ScanRequest): TailScan {
  const scan = scanFrames(request);
  const good = {
    goodEndPosition: scan.endPosition,
    nextOffset: scan.nextOffset,
    lastTimestamp: scan.lastTimestamp,
  };
  switch (scan.stop) {
    case 'end':
      return { ending: 'clean', ...good };
    case 'newer':
      throw newerFrame(request.file.path, scan.endPosition);
    case 'incomplete':
    case 'bad':
      return { ending: isOneUnsyncedBatch(request, scan) ? 'torn-tail' : 'damaged', ...good };
  }
}

function isOneUnsyncedBatch(request: ScanRequest, scan: FrameScan): boolean {
  const { file, kernel, endPosition } = request;
  if (endPosition - scan.endPosition > MAX_BATCH_BYTES) return false;
  let timestampBehind: number | undefined;
  let from = scan.endPosition + 1;
  for (;;) {
    const found = findNextFrame({
      file,
      fromPosition: from,
      endPosition,
      minOffset: scan.nextOffset,
      maxOffset: MAX_OFFSET,
      minTimestamp: scan.lastTimestamp,
    });
    if (found === undefined) return true;
    const first = readFrameAt(file, { ...found, endPosition, minTimestamp: scan.lastTimestamp });
    const run = scanFrames({ file, kernel, ...found, endPosition, minTimestamp: scan.lastTimestamp });
    if (first.header === undefined) return true;
    timestampBehind ??= first.header.timestamp;
    if (first.header.timestamp !== timestampBehind || run.lastTimestamp !== timestampBehind) return false;
    from = Math.max(run.endPosition, found.position) + 1;
  }
}

/** The refusal of a sound frame of a kind that this version does not know. */
export function newerFrame(path: string, position: number): FastQueueError {
  return new FastQueueError(
    'newer_format',
    `${path} has a frame at byte ${position} that was written by a newer FastQueue. Upgrade this one.`,
    { path, position },
  );
}
