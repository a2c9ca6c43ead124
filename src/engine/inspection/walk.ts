/**
 * One store, frame by frame, wherever it lies and whatever it is called, going on after damage. Reads only, takes no
 * lock, and keeps one chunk in memory.
 */
import { dirname } from 'node:path';
import {
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  MAX_RECORD_BYTES,
  type FrameHeader,
} from '../format/frame.ts';
import { headerAt } from '../frame-header.ts';
import { isSound, newerFrame, readFrameAt, type FrameReading } from '../frame-scanner.ts';
import { checkRun, findNextPlain, type ChecksumName } from './checks.ts';
import type { FileHandle } from '../io/file-system.ts';
import { KERNEL_INPUT } from '../kernel/index.ts';
import { MAX_OFFSET, READ_CHUNK_BYTES } from '../limits.ts';
import { findNextFrame, placesByLength } from '../next-frame.ts';
import { entriesAfter } from '../offset-index.ts';
import { followWith } from '../damage-scan.ts';
import type { TopicContext } from '../topic-directory.ts';

export interface InspectedFrame {
  readonly offset: number;
  readonly position: number;
  readonly kind: 'record' | 'gap' | 'control';
  readonly header: FrameHeader;
  /** How many offsets it stands for. */
  readonly offsetCount: number;
  /** Of a gap. */
  readonly reason: number | undefined;
  /** Of a record: valid until the next step is asked for. Of another frame: its first bytes. */
  readonly payload: Buffer;
}

export interface FramesStep {
  readonly type: 'frames';
  readonly frames: readonly InspectedFrame[];
}

/** Bytes that are no good frames, and what stands behind them. */
export interface HoleStep {
  readonly type: 'hole';
  readonly code: 'bad_checksum' | 'bad_length' | 'foreign_bytes';
  readonly position: number;
  readonly endPosition: number;
  /** Expected at `position`. */
  readonly offset: number;
  /** Of the frame behind; the same as `offset` where that is not known. */
  readonly nextOffset: number;
  /** Of what stands at `position`, whatever it is. */
  readonly header: FrameHeader | undefined;
}

/** The end of the file. `incomplete`: a last frame goes on behind it. */
export interface EndStep {
  readonly type: 'end';
  readonly isIncomplete: boolean;
  /** End of the last good frame. */
  readonly position: number;
  readonly nextOffset: number;
}

export type WalkStep = FramesStep | HoleStep | EndStep;

export interface WalkRequest {
  readonly file: FileHandle;
  readonly checksum: ChecksumName;
  readonly baseOffset: number;
  readonly endPosition: number;
  /** Offset that the next segment begins at, where that is known. */
  readonly endOffset: number | undefined;
  /** True where the index of the same name, beside the store, may be asked for hints. */
  readonly hasIndex: boolean;
}

/** First bytes of a gap or control frame that are shown. */
const SPECIAL_PAYLOAD_BYTES = 64;
const HINT_COUNT = 64;

/**
 * Every frame from the first byte to endPosition, in order. What a step shows of the kernel's memory is valid until the
 * next step is asked for, which no `await` may come before.
 *
 * @throws FastQueueError `newer_format`; disk errors as themselves
 */
export function* walkStore(
  context: TopicContext,
  request: WalkRequest,
): Generator<WalkStep, void, undefined> {
  const { file, endPosition } = request;
  const { kernel } = context;
  let [position, offset, minTimestamp] = [0, request.baseOffset, -Infinity];
  let chunkBytes = READ_CHUNK_BYTES;
  while (position < endPosition) {
    const wanted = Math.min(chunkBytes, endPosition - position);
    const byteCount = file.read(
      kernel.memory.subarray(KERNEL_INPUT.start, KERNEL_INPUT.start + wanted),
      position,
    );
    if (byteCount === 0) break;
    const run = checkRun(kernel, request.checksum, { byteCount, offset, minTimestamp });
    const first = { position, offset };
    position += run.inputEnd - KERNEL_INPUT.start;
    offset = run.nextOffset;
    minTimestamp = run.lastTimestamp;
    chunkBytes = READ_CHUNK_BYTES;
    if (run.recordCount > 0)
      yield { type: 'frames', frames: recordFrames(kernel.memory, first, run.recordCount) };
    if (run.stop === 'end') continue;
    const place = { position, offset, endPosition, minTimestamp };
    const reading = judge(request, place);
    if (reading.type === 'newer') throw newerFrame(file.path, position);
    if (isSound(reading)) {
      if (reading.type === 'record') {
        // It goes on behind this chunk: take at least all of it next time.
        chunkBytes = Math.max(READ_CHUNK_BYTES, reading.header.frameBytes);
        continue;
      }
      yield { type: 'frames', frames: [specialFrame(file, reading, place)] };
      position += reading.header.frameBytes;
      offset += reading.offsetCount;
      minTimestamp = reading.header.timestamp;
      continue;
    }
    const found = findBehind(context, request, place);
    if (found === undefined && reading.type === 'incomplete') {
      yield { type: 'end', isIncomplete: true, position, nextOffset: offset };
      return;
    }
    const hole = describeHole(reading, place, { found, endOffset: request.endOffset });
    yield hole;
    ({ endPosition: position, nextOffset: offset } = hole);
  }
  yield { type: 'end', isIncomplete: false, position, nextOffset: offset };
}

interface Place {
  readonly position: number;
  readonly offset: number;
  readonly endPosition: number;
  readonly minTimestamp: number;
}

/** The frame that a run stopped at. */
function judge(request: WalkRequest, place: Place): FrameReading {
  const { file, checksum } = request;
  if (checksum === 'crc32') return readFrameAt(file, place);
  const header = headerAt(file, place);
  if (header === undefined) return { type: 'incomplete', header };
  const isTooLong = header.kind !== FRAME_KIND.record || header.payloadBytes > MAX_RECORD_BYTES;
  if (isTooLong) return { type: 'bad', header };
  if (place.position + header.frameBytes > place.endPosition) return { type: 'incomplete', header };
  const isWhole = header.frameBytes > READ_CHUNK_BYTES - FRAME_HEADER_BYTES;
  return isWhole ? { type: 'record', header, offsetCount: 1 } : judgePlain(request, place, header);
}

/** A frame without an offset in its checksum that was cut off by the chunk's end is whole in the next one. */
function judgePlain(request: WalkRequest, place: Place, header: FrameHeader): FrameReading {
  const range = { fromPosition: place.position, endPosition: place.position + header.frameBytes };
  return findNextPlain(request.file, request.checksum, range) === place.position
    ? { type: 'record', header, offsetCount: 1 }
    : { type: 'bad', header };
}

function recordFrames(
  memory: Buffer,
  first: { position: number; offset: number },
  recordCount: number,
): InspectedFrame[] {
  const frames: InspectedFrame[] = [];
  let at = KERNEL_INPUT.start;
  for (let number = 0; number < recordCount; number++) {
    const header = decodeFrameHeader(memory, at);
    frames.push({
      offset: first.offset + number,
      position: first.position + at - KERNEL_INPUT.start,
      kind: 'record',
      header,
      offsetCount: 1,
      reason: undefined,
      payload: memory.subarray(at + FRAME_HEADER_BYTES, at + header.frameBytes),
    });
    at += header.frameBytes;
  }
  return frames;
}

function specialFrame(
  file: FileHandle,
  reading: Exclude<FrameReading, { type: 'newer' | 'incomplete' | 'bad' }>,
  place: Place,
): InspectedFrame {
  const payload = Buffer.alloc(Math.min(SPECIAL_PAYLOAD_BYTES, reading.header.payloadBytes));
  file.read(payload, place.position + FRAME_HEADER_BYTES);
  return {
    offset: place.offset,
    position: place.position,
    kind: reading.type,
    header: reading.header,
    offsetCount: reading.offsetCount,
    reason: reading.type === 'gap' ? reading.reason : undefined,
    payload,
  };
}

function findBehind(
  context: TopicContext,
  request: WalkRequest,
  place: Place,
): { position: number; offset: number } | undefined {
  const { file, checksum, baseOffset, endOffset } = request;
  const { position, offset, endPosition } = place;
  const header = headerAt(file, place);
  if (checksum !== 'crc32') {
    const own = header === undefined ? undefined : position + header.frameBytes;
    const found = findNextPlain(file, checksum, { fromPosition: position + 1, endPosition });
    // Which offset it has cannot be known: the damage is taken for one record.
    if (found !== undefined) return { position: found, offset: offset + 1 };
    return own === endPosition ? { position: own, offset: offset + 1 } : undefined;
  }
  const indexEntries = request.hasIndex
    ? entriesAfter({ ...context, directory: dirname(file.path) }, { baseOffset, position, count: HINT_COUNT })
    : [];
  return findNextFrame({
    file,
    fromPosition: position,
    endPosition,
    minOffset: offset,
    maxOffset: (endOffset ?? MAX_OFFSET) - 1,
    minTimestamp: place.minTimestamp,
    indexEntries,
    expected: placesByLength(file, place),
    ...(endOffset === undefined ? {} : { end: { position: endPosition, nextOffset: endOffset } }),
    follow: followWith(context, file, place.minTimestamp),
  });
}

function describeHole(
  reading: FrameReading,
  place: Place,
  behind: { found: { position: number; offset: number } | undefined; endOffset: number | undefined },
): HoleStep {
  const { header } = reading;
  const { position, offset } = place;
  const endPosition = behind.found?.position ?? place.endPosition;
  const isOneFrame = header !== undefined && position + header.frameBytes === endPosition;
  // Behind the last good frame only the next segment's name, or the bad frame's own length, says where the offsets end.
  const nextOffset =
    behind.found?.offset ?? Math.max(offset, behind.endOffset ?? (isOneFrame ? offset + 1 : offset));
  const ofBounds = isOneFrame && nextOffset === offset + 1 ? 'bad_checksum' : 'bad_length';
  const isForeign = behind.found !== undefined && nextOffset === offset;
  return {
    type: 'hole',
    code: isForeign ? 'foreign_bytes' : ofBounds,
    position,
    endPosition,
    offset,
    nextOffset,
    header,
  };
}
