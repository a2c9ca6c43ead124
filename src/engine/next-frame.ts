/**
 * Finding the next good frame after frame bounds are lost.
 *
 * Every byte may be the first of a frame. A candidate's header must be plausible, and so must the header that it leads
 * to, before any payload is read. Then its offset is solved for from its checksum (no trials) and must lie in range, and
 * the find must be confirmed by something that an accident cannot supply. Somebody's payload may hold whole frames: those
 * are told apart by where they lead, and by what contradicts them. A frame that was moved or doubled is whole, and nothing
 * in it is looked at. Sixteen zeros are no header (at time 0 they would check out at one offset in 2^32),
 * so that a file made larger with zeros is passed at the speed of reading.
 */
import {
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  TIMESTAMP_AT,
  decodeFrameHeader,
  frameChecksumStart,
  MAX_RECORD_BYTES,
  solveFrameOffset,
  type FrameHeader,
} from './format/frame.ts';
import { headerAt, headerBytesAt, offsetCountAt } from './frame-header.ts';
import type { FileHandle } from './io/file-system.ts';
import { crc32Combine } from './format/crc32.ts';
import { isAllZeros } from './format/zeros.ts';
import { MAX_BATCH_BYTES } from './limits.ts';
import { RangeChecksums } from './range-checksums.ts';
import {
  addChain,
  bestReading,
  mayFollow,
  type Chain,
  type ChainEnd,
  type FoundFrame,
} from './rival-chains.ts';

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
  /**
   * Where the damaged frame's own Length points, and behind it those of damaged frames that stand one behind the other
   * (`placesByLength`): a frame at exactly one of these places, at its offset, is confirmed.
   */
  readonly expected?: readonly FoundFrame[];
  /** Sound index entries: a frame that one of them names is confirmed. Ascending. */
  readonly indexEntries?: readonly { readonly offset: number; readonly position: number }[];
  /**
   * Goes on from a good frame to the first that is not, or to `untilPosition`: end and next offset of the good ones. Who
   * gives it is not taken in by a record whose payload is a store.
   */
  readonly follow?: ((from: FoundFrame, untilPosition: number) => ChainEnd) | undefined;
  /** Told how many bytes were looked at since it was told last: a hole may be as large as a disk. */
  readonly onPassed?: ((byteCount: number) => void) | undefined;
}

interface Candidate {
  readonly position: number;
  readonly header: FrameHeader;
}

/** Bytes of the file that are looked at together. */
const WINDOW_BYTES = 1024 * 1024;

/** The next frame that is good beyond doubt, or undefined when there is none before endPosition. */
export function findNextFrame(request: NextFrameRequest): FoundFrame | undefined {
  // The segment has all of its offsets: what is behind them, be it a terabyte, holds none.
  if (request.minOffset > request.maxOffset) return undefined;
  const [expected] = request.expected ?? [];
  // Where the damaged frame's own Length points no payload has to be looked into.
  if (expected !== undefined && isGoodFrame(expected, request)) return expected;
  if (isLastFrame(request)) return undefined;
  const anchor = request.indexEntries?.find((entry) => isGoodFrame(entry, request));
  const chains: Chain[] = [];
  for (let from = request.fromPosition; from <= horizonOf(request);) {
    const found = findCandidate({ ...request, fromPosition: from });
    if (found === undefined || request.follow === undefined) return bestReading(chains)?.start ?? found;
    const firstTimestamp = timestampAt(request.file, found);
    // Whichever of the others is the log's own, this one says nothing against it.
    if (chains.length > 0 && chains.every(({ end }) => mayFollow(end, { start: found, firstTimestamp })))
      break;
    if (found.offset === request.minOffset + 1 && isWholeFrame(request, found.position)) return found;
    const { verdict, ...end } = judgeChain(found, request, anchor);
    if (verdict !== 'foreign') addChain(chains, { start: found, firstTimestamp, end }, request.file);
    if (verdict === 'real') return bestReading(chains, chains.at(-1))?.start;
    from = end.position;
  }
  return bestReading(chains)?.start;
}

const timestampAt = (file: FileHandle, { position }: FoundFrame): number =>
  headerAt(file, { position })?.timestamp ?? -Infinity;

/** Damaged frames in a row whose Lengths are followed. */
const MAX_FOLLOWED = 16;

/**
 * Where the Lengths of a damaged frame and of those behind it point, each with the offset that it has if all of them are
 * records. Only the first counts without a header behind it that could be a record's.
 */
export function placesByLength(file: FileHandle, from: FoundFrame & { endPosition: number }): FoundFrame[] {
  const places: FoundFrame[] = [];
  let { position, offset } = from;
  while (places.length < MAX_FOLLOWED) {
    const header = headerAt(file, { position, endPosition: from.endPosition });
    if (header === undefined) break;
    const { kind, payloadBytes, frameBytes } = header;
    const isRecord = kind === FRAME_KIND.record && payloadBytes <= MAX_RECORD_BYTES;
    if (!isRecord && places.length > 0) break;
    position += frameBytes;
    offset += 1;
    places.push({ position, offset });
  }
  return places;
}

/** True where the damaged frame is the segment's last: by its own Length, or by its checksum but for its Length. */
function isLastFrame(request: NextFrameRequest): boolean {
  const { end, minOffset } = request;
  const [expected] = request.expected ?? [];
  if (end?.nextOffset !== minOffset + 1) return false;
  return expected?.position === end.position || isWholeFrame(request, end.position);
}

/** True where everything up to a position is the damaged frame itself, its Length alone being wrong. */
function isWholeFrame(request: NextFrameRequest, untilPosition: number): boolean {
  const { file, fromPosition, minOffset } = request;
  const byteCount = untilPosition - fromPosition - FRAME_HEADER_BYTES;
  if (byteCount < 0 || byteCount > MAX_RECORD_BYTES) return false;
  const header = headerBytesAt(file, { position: fromPosition, endPosition: untilPosition });
  if (header === undefined) return false;
  const { checksum } = decodeFrameHeader(header, 0);
  header.writeUInt32BE(byteCount, 0);
  const sums = new RangeChecksums(file, fromPosition);
  const tail = { checksum: sums.of({ position: fromPosition + FRAME_HEADER_BYTES, byteCount }), byteCount };
  return crc32Combine(frameChecksumStart(header, minOffset), tail) === checksum;
}

/** No payload that begins before the hole's end goes on behind this position. */
const horizonOf = (request: NextFrameRequest): number =>
  Math.min(request.endPosition, request.fromPosition + MAX_BATCH_BYTES);

/**
 * Frames that follow one another may be those of a store that somebody stored as a record. They are the log's own where
 * they lead to a place that is known, or further than any payload reaches; where they lead to more offsets than the
 * segment has, they are not.
 */
function judgeChain(
  found: FoundFrame,
  request: NextFrameRequest,
  anchor: FoundFrame | undefined,
): ChainEnd & { verdict: 'real' | 'possible' | 'foreign' } {
  const { endPosition, end, maxOffset } = request;
  const isAhead = anchor !== undefined && found.position <= anchor.position;
  const untilPosition = isAhead
    ? anchor.position
    : Math.min(endPosition, horizonOf(request) + MAX_BATCH_BYTES);
  const chain = request.follow?.(found, untilPosition) ?? { ...found, lastTimestamp: -Infinity };
  const next = { ...chain, position: Math.max(chain.position, found.position + 1) };
  if (chain.offset > maxOffset + 1) return { ...next, verdict: 'foreign' };
  if (isAhead) {
    const isReached =
      chain.position === anchor.position &&
      chain.offset === anchor.offset &&
      chain.lastTimestamp <= timestampAt(request.file, anchor);
    return { ...next, verdict: isReached ? 'real' : 'possible' };
  }
  const isAtEnd = chain.position === endPosition && (end === undefined || chain.offset === end.nextOffset);
  return { ...next, verdict: isAtEnd || chain.position > horizonOf(request) ? 'real' : 'possible' };
}

/** True where a frame stands at a place and checks out there. */
function isGoodFrame(place: FoundFrame, request: NextFrameRequest): boolean {
  const { file, endPosition } = request;
  if (place.position < request.fromPosition || place.offset > request.maxOffset) return false;
  if (place.offset < request.minOffset) return false;
  const header = headerAt(file, { position: place.position, endPosition });
  if (header === undefined) return false;
  if (!isPlausible(header, place.position, request)) return false;
  // Its own sums: the range's may not begin here.
  const checksums = new RangeChecksums(file, place.position);
  return checksOut(place, request, checksums);
}

/** The first candidate that something confirms. */
function findCandidate(request: NextFrameRequest): FoundFrame | undefined {
  const { file, endPosition } = request;
  const checksums = new RangeChecksums(file, request.fromPosition);
  const minTimeWord = Math.max(-SAFE_TIME_WORD, Math.floor(request.minTimestamp / 2 ** 32));
  const window = Buffer.alloc(Math.min(WINDOW_BYTES, Math.max(0, endPosition - request.fromPosition)));
  for (let start = request.fromPosition; start + FRAME_HEADER_BYTES <= endPosition;) {
    const byteCount = file.read(window.subarray(0, Math.min(window.length, endPosition - start)), start);
    const lastStart = byteCount - FRAME_HEADER_BYTES;
    if (lastStart < 0) return undefined;
    checksums.forgetBefore(start);
    const bytes = window.subarray(0, byteCount);
    const scope = { lastStart, minTimeWord };
    let at = isAllZeros(bytes) ? lastStart + 1 : nextLikely(bytes, { ...scope, at: 0 });
    for (; at <= lastStart; at = nextLikely(bytes, { ...scope, at: at + 1 })) {
      const position = start + at;
      const header = decodeFrameHeader(bytes, at);
      if (!isPlausible(header, position, request)) continue;
      const found = confirm({ position, header }, request, checksums);
      if (found === 'elsewhere' && request.follow !== undefined) at += header.frameBytes - 1;
      else if (found !== undefined && found !== 'elsewhere') return found;
    }
    start += at;
    request.onPassed?.(at);
  }
  return undefined;
}

/** The upper word of a timestamp that is a safe integer is below this, and not below its negative. */
const SAFE_TIME_WORD = 2 ** 21;
const MAX_RECORD_FIRST_BYTE = MAX_RECORD_BYTES >>> 24;

/**
 * The first place from `at` to `lastStart` whose kind and time could be a header's, or the one behind. Told from a few
 * bytes and without an object for each place: a hole has as many places as bytes.
 */
function nextLikely(bytes: Buffer, place: { at: number; lastStart: number; minTimeWord: number }): number {
  const { lastStart, minTimeWord } = place;
  for (let at = place.at; at <= lastStart; at++) {
    const timeAt = at + TIMESTAMP_AT;
    const topByte = bytes[timeAt] as number;
    // The one that tells most often.
    if (topByte !== 0 && topByte !== 0xff) continue;
    const first = bytes[at] as number;
    const kind = first >>> 4;
    if (first > MAX_RECORD_FIRST_BYTE && kind !== FRAME_KIND.gap && kind !== FRAME_KIND.control) continue;
    const timeWord =
      (topByte << 24) |
      ((bytes[timeAt + 1] as number) << 16) |
      ((bytes[timeAt + 2] as number) << 8) |
      (bytes[timeAt + 3] as number);
    if (timeWord < minTimeWord || timeWord >= SAFE_TIME_WORD) continue;
    const zerosEnd = timeWord === 0 && first === 0 ? endOfZeros(bytes, at) : at;
    if (zerosEnd < at + FRAME_HEADER_BYTES) return at;
    // The last of the headers that are all zeros.
    at = zerosEnd - FRAME_HEADER_BYTES;
  }
  return Math.max(place.at, lastStart + 1);
}

function endOfZeros(bytes: Buffer, from: number): number {
  let end = from;
  while (end < bytes.length && bytes[end] === 0) end++;
  return end;
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

/** How far from where it stands a frame is taken for one that was moved: once in 32,768 that is an accident. */
const MAX_MOVED_OFFSETS = 2 ** 16;

/** `elsewhere`: a frame of this log that was moved or doubled. What its payload holds is no frame of the log. */
function confirm(
  candidate: Candidate,
  request: NextFrameRequest,
  checksums: RangeChecksums,
): FoundFrame | 'elsewhere' | undefined {
  const { file, endPosition } = request;
  const nextPosition = candidate.position + candidate.header.frameBytes;
  const next = headerAt(file, { position: nextPosition, endPosition });
  const leadsToFrame =
    next !== undefined &&
    isPlausible(next, nextPosition, {
      endPosition,
      minTimestamp: candidate.header.timestamp,
    });
  // Judged before any payload is read: what is left are frames at the very end and before the next hole.
  if (!leadsToFrame && nextPosition !== endPosition && !isNamed(candidate.position, request))
    return undefined;
  const headerBytes = headerBytesAt(file, { position: candidate.position, endPosition });
  if (headerBytes === undefined) return undefined;
  const payloadChecksum = checksumOfPayload(candidate, checksums);
  if (Number.isNaN(payloadChecksum)) return undefined;
  const offsetCount = offsetCountAt(file, candidate);
  if (offsetCount === undefined) return undefined;
  const highest = Math.floor(request.maxOffset / 2 ** 32);
  const lowest = Math.floor(request.minOffset / 2 ** 32);
  let isWhole = false;
  // A segment spans one or two high words; a range that is open upwards is tried only where it begins.
  for (let highWord = lowest; highWord <= Math.min(highest, lowest + 1); highWord++) {
    const offset = solveFrameOffset(headerBytes, { payloadChecksum, highWord });
    isWhole ||= Math.abs(offset - request.minOffset) < MAX_MOVED_OFFSETS;
    if (offset < request.minOffset || offset > request.maxOffset) continue;
    const place = { position: candidate.position, offset };
    const following = { position: nextPosition, offset: offset + offsetCount };
    if (isConfirmed(place, following, request) || (leadsToFrame && checksOut(following, request, checksums)))
      return place;
  }
  return isWhole ? 'elsewhere' : undefined;
}

/** True when a segment end, an index entry or the Lengths of damaged frames speak for this very place. */
function isConfirmed(place: FoundFrame, following: FoundFrame, request: NextFrameRequest): boolean {
  const { end } = request;
  if (end?.position === following.position && end.nextOffset === following.offset) return true;
  return isOneNamed(
    request,
    ({ position, offset }) => position === place.position && offset === place.offset,
  );
}

const isNamed = (wanted: number, request: NextFrameRequest): boolean =>
  isOneNamed(request, ({ position }) => position === wanted);

function isOneNamed(
  { expected, indexEntries }: NextFrameRequest,
  isWanted: (place: FoundFrame) => boolean,
): boolean {
  return expected?.some(isWanted) === true || indexEntries?.some(isWanted) === true;
}

function checksOut(place: FoundFrame, request: NextFrameRequest, checksums: RangeChecksums): boolean {
  const headerBytes = headerBytesAt(request.file, {
    position: place.position,
    endPosition: request.endPosition,
  });
  if (headerBytes === undefined) return false;
  const header = decodeFrameHeader(headerBytes, 0);
  if (place.position + header.frameBytes > request.endPosition) return false;
  const checksum = checksumOfPayload({ position: place.position, header }, checksums);
  const tail = { checksum, byteCount: header.payloadBytes };
  return (
    !Number.isNaN(checksum) &&
    crc32Combine(frameChecksumStart(headerBytes, place.offset), tail) === header.checksum
  );
}

function checksumOfPayload(candidate: Candidate, checksums: RangeChecksums): number {
  const { payloadBytes: byteCount } = candidate.header;
  return checksums.of({ position: candidate.position + FRAME_HEADER_BYTES, byteCount });
}
