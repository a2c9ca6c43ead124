/**
 * How a run of frames in memory is judged, for each checksum that a store may carry. `crc32` is the kernel's; `xor8` and
 * `none` read stores of the Java FastQueue2, whose frames do not say where they belong.
 */
import { decodeFrameHeader, FRAME_HEADER_BYTES, FRAME_KIND, MAX_RECORD_BYTES } from '../format/frame.ts';
import { xor8 } from '../format/xor8.ts';
import type { FileHandle } from '../io/file-system.ts';
import { KERNEL_INPUT } from '../kernel/index.ts';
import type { FramesResult, Kernel } from '../kernel/kernel.ts';

export const CHECKSUM_NAMES = ['crc32', 'xor8', 'none'] as const;
export type ChecksumName = (typeof CHECKSUM_NAMES)[number];

export interface RunRequest {
  /** Bytes at the beginning of the kernel's input, from the beginning of a frame. */
  readonly byteCount: number;
  readonly offset: number;
  readonly minTimestamp: number;
}

/** Judges frames as Kernel.checkFrames does. */
export function checkRun(kernel: Kernel, checksum: ChecksumName, request: RunRequest): FramesResult {
  const { byteCount, offset, minTimestamp } = request;
  if (checksum === 'crc32') {
    return kernel.checkFrames({
      input: { start: KERNEL_INPUT.start, end: KERNEL_INPUT.start + byteCount },
      firstOffset: offset,
      untilOffset: Infinity,
      minTimestamp,
    });
  }
  return checkWithoutOffsets(kernel.memory.subarray(0, byteCount), checksum, request);
}

function checkWithoutOffsets(bytes: Buffer, checksum: ChecksumName, request: RunRequest): FramesResult {
  let at = 0;
  let recordCount = 0;
  let lastTimestamp = request.minTimestamp;
  const finish = (stop: FramesResult['stop']): FramesResult => ({
    stop,
    recordCount,
    inputEnd: KERNEL_INPUT.start + at,
    nextOffset: request.offset + recordCount,
    lastTimestamp,
  });
  while (at < bytes.length) {
    if (at + FRAME_HEADER_BYTES > bytes.length) return finish('incomplete');
    const header = decodeFrameHeader(bytes, at);
    if (header.kind !== FRAME_KIND.record || header.payloadBytes > MAX_RECORD_BYTES) return finish('bad');
    if (!Number.isSafeInteger(header.timestamp)) return finish('bad');
    const end = at + header.frameBytes;
    if (end > bytes.length) return finish('incomplete');
    const payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
    if (checksum === 'xor8' && xor8(payload) !== header.checksum) return finish('bad');
    lastTimestamp = header.timestamp;
    recordCount += 1;
    at = end;
  }
  return finish('end');
}

/** Bytes of the file that are looked at together. */
const WINDOW_BYTES = 1024 * 1024;

/**
 * The next position where two frames follow one another, or one ends the file: all that a checksum without an offset can
 * say. Undefined where there is none.
 */
export function findNextPlain(
  file: FileHandle,
  checksum: ChecksumName,
  range: { fromPosition: number; endPosition: number },
): number | undefined {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  const window = Buffer.alloc(Math.min(WINDOW_BYTES, Math.max(0, range.endPosition - range.fromPosition)));
  for (let start = range.fromPosition; start + FRAME_HEADER_BYTES <= range.endPosition;) {
    const byteCount = file.read(
      window.subarray(0, Math.min(window.length, range.endPosition - start)),
      start,
    );
    const lastStart = byteCount - FRAME_HEADER_BYTES;
    if (lastStart < 0) return undefined;
    for (let at = 0; at <= lastStart; at++) {
      if ((window[at] as number) >>> 4 !== FRAME_KIND.record) continue;
      const first = plainFrameEnd(file, checksum, { ...range, position: start + at, header });
      if (first === undefined) continue;
      if (first === range.endPosition) return start + at;
      if (plainFrameEnd(file, checksum, { ...range, position: first, header }) !== undefined)
        return start + at;
    }
    start += lastStart + 1;
  }
  return undefined;
}

function plainFrameEnd(
  file: FileHandle,
  checksum: ChecksumName,
  place: { position: number; endPosition: number; header: Buffer },
): number | undefined {
  const { position, endPosition, header } = place;
  if (position + FRAME_HEADER_BYTES > endPosition) return undefined;
  if (file.read(header, position) < FRAME_HEADER_BYTES) return undefined;
  const decoded = decodeFrameHeader(header, 0);
  const end = position + decoded.frameBytes;
  const isPlausible =
    decoded.kind === FRAME_KIND.record &&
    decoded.payloadBytes <= MAX_RECORD_BYTES &&
    end <= endPosition &&
    decoded.timestamp > 0 &&
    decoded.timestamp < LATEST_PLAUSIBLE_MS;
  if (!isPlausible) return undefined;
  if (checksum === 'none') return end;
  const payload = Buffer.alloc(decoded.payloadBytes);
  file.read(payload, position + FRAME_HEADER_BYTES);
  return xor8(payload) === decoded.checksum ? end : undefined;
}

/** The year 3000: what is later is no time that a clock showed. */
const LATEST_PLAUSIBLE_MS = 32_503_680_000_000;
