/**
 * Finding the next good frame after frame bounds are lost.
 *
 * Every byte may be the first of a frame. A candidate's header must be plausible, and so must the header that it leads
 * to, before any payload is read. Then its offset is solved for from its checksum (no trials) and must lie in range, and
 * the find must be confirmed by something that an accident or somebody's payload cannot supply.
 */
import {
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  decodeFrameHeader,
  frameChecksumStart,
  MAX_RECORD_BYTES,
  decodeGapPayload,
  solveFrameOffset,
  type FrameHeader,
} from './format/frame.ts';
import type { FileHandle } from './io/file-system.ts';
import { crc32 } from './format/crc32.ts';

export interface NextFrameRequest {
  readonly file: FileHandle;
  /** First byte where a frame may begin. */
  readonly fromPosition: number;
  readonly endPosition: number;
  /** Offsets that the segment may still hold, both included. */
  readonly minOffset: number;
  readonly maxOffset: number;
  /** Timestamp of the last good frame, or -Infinity. */
  readonly minTimestamp: number;
  /** Where the segment must end, when that is known: a frame that ends there at this next offset is confirmed. */
  readonly end?: { readonly position: number; readonly nextOffset: number };
  /** Where the damaged frame's own Length points: a frame at exactly this place and offset is confirmed. */
  readonly expected?: { readonly position: number; readonly offset: number };
  /** Sound index entries: a frame that one of them names is confirmed. Ascending. */
  readonly indexEntries?: readonly { readonly offset: number; readonly position: number }[];
}

export interface FoundFrame {
  readonly position: number;
  readonly offset: number;
}

interface Candidate {
  readonly position: number;
  readonly header: FrameHeader;
}

/** Bytes of the file that are looked at together. */
const WINDOW_BYTES = 1024 * 1024;

/** The next frame that is good beyond doubt, or undefined when there is none before endPosition. */
export function findNextFrame(request: NextFrameRequest): FoundFrame | undefined {
  const { file, endPosition } = request;
  const window = Buffer.alloc(Math.min(WINDOW_BYTES, Math.max(0, endPosition - request.fromPosition)));
  for (let start = request.fromPosition; start + FRAME_HEADER_BYTES <= endPosition;) {
    const byteCount = file.read(window.subarray(0, Math.min(window.length, endPosition - start)), start);
    const lastStart = byteCount - FRAME_HEADER_BYTES;
    if (lastStart < 0) return undefined;
    for (let at = 0; at <= lastStart; at++) {
      const kind = (window[at] as number) >>> 4;
      if (kind !== FRAME_KIND.record && kind !== FRAME_KIND.gap && kind !== FRAME_KIND.control) continue;
      const position = start + at;
      const header = decodeFrameHeader(window, at);
      if (!isPlausible(header, position, request)) continue;
      const found = confirm({ position, header }, request);
      if (found !== undefined) return found;
    }
    start += lastStart + 1;
  }
  return undefined;
}

function isPlausible(
  header: FrameHeader,
  position: number,
  limits: { endPosition: number; minTimestamp: number },
): boolean {
  if (
    header.kind !== FRAME_KIND.record &&
    header.kind !== FRAME_KIND.gap &&
    header.kind !== FRAME_KIND.control
  )
    return false;
  if (header.kind === FRAME_KIND.record && header.payloadBytes > MAX_RECORD_BYTES) return false;
  return (
    position + header.frameBytes <= limits.endPosition &&
    Number.isSafeInteger(header.timestamp) &&
    header.timestamp >= limits.minTimestamp
  );
}

function confirm(candidate: Candidate, request: NextFrameRequest): FoundFrame | undefined {
  const { file, endPosition } = request;
  const nextPosition = candidate.position + candidate.header.frameBytes;
  const next = readHeader(file, nextPosition, endPosition);
  const leadsToFrame =
    next !== undefined &&
    isPlausible(decodeFrameHeader(next, 0), nextPosition, {
      endPosition,
      minTimestamp: candidate.header.timestamp,
    });
  // Judged before any payload is read: what is left are frames at the very end and before the next hole.
  if (!leadsToFrame && nextPosition !== endPosition && !isNamed(candidate.position, request))
    return undefined;
  const headerBytes = readHeader(file, candidate.position, endPosition);
  if (headerBytes === undefined) return undefined;
  const payload = readPayload(file, candidate);
  const payloadChecksum = crc32(payload);
  const highest = Math.floor(request.maxOffset / 2 ** 32);
  const lowest = Math.floor(request.minOffset / 2 ** 32);
  // A segment spans one or two high words; a range that is open upwards is tried only where it begins.
  for (let highWord = lowest; highWord <= Math.min(highest, lowest + 1); highWord++) {
    const offset = solveFrameOffset(headerBytes, { payloadChecksum, highWord });
    if (offset < request.minOffset || offset > request.maxOffset) continue;
    const offsetCount = countOffsets(candidate.header, payload);
    if (offsetCount === undefined) continue;
    const place = { position: candidate.position, offset };
    const following = { position: nextPosition, offset: offset + offsetCount };
    if (isConfirmed(place, following, request) || (leadsToFrame && checksOut(file, following, endPosition)))
      return place;
  }
  return undefined;
}

/** True when a segment end, an index entry or the damaged frame's own length speaks for this very place. */
function isConfirmed(place: FoundFrame, following: FoundFrame, request: NextFrameRequest): boolean {
  const { end, expected, indexEntries } = request;
  if (end?.position === following.position && end.nextOffset === following.offset) return true;
  if (expected?.position === place.position && expected.offset === place.offset) return true;
  return (
    indexEntries?.some((entry) => entry.position === place.position && entry.offset === place.offset) === true
  );
}

function isNamed(position: number, request: NextFrameRequest): boolean {
  return (
    request.expected?.position === position ||
    request.indexEntries?.some((entry) => entry.position === position) === true
  );
}

function checksOut(file: FileHandle, place: FoundFrame, endPosition: number): boolean {
  const headerBytes = readHeader(file, place.position, endPosition);
  if (headerBytes === undefined) return false;
  const header = decodeFrameHeader(headerBytes, 0);
  if (place.position + header.frameBytes > endPosition) return false;
  const payload = readPayload(file, { position: place.position, header });
  return crc32(payload, frameChecksumStart(headerBytes, place.offset)) === header.checksum;
}

function countOffsets(header: FrameHeader, payload: Buffer): number | undefined {
  if (header.kind === FRAME_KIND.record) return 1;
  if (header.kind === FRAME_KIND.control) return 0;
  return decodeGapPayload(payload, header.payloadBytes)?.count;
}

function readHeader(file: FileHandle, position: number, endPosition: number): Buffer | undefined {
  if (position + FRAME_HEADER_BYTES > endPosition) return undefined;
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  return file.read(header, position) < FRAME_HEADER_BYTES ? undefined : header;
}

function readPayload(file: FileHandle, candidate: Candidate): Buffer {
  const payload = Buffer.alloc(candidate.header.payloadBytes);
  return payload.subarray(0, file.read(payload, candidate.position + FRAME_HEADER_BYTES));
}
