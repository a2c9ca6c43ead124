/**
 * `--try-bitflip`: which frames of a hole check out but for one flipped bit. Each is judged by its own checksum, so several
 * that stand one behind the other are all found, as long as their Lengths, or those that one flipped bit explains, lead
 * from one to the next. A checksum tells which bit it is without trying all of them: the time is that of reading the hole.
 * Reads only.
 */
import { changedBit } from '../format/crc32.ts';
import {
  CHECKSUM_AT,
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  frameChecksum,
  TIMESTAMP_AT,
} from '../format/frame.ts';
import { headerAt } from '../frame-header.ts';
import { isSound, readFrameAt } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { MAX_WALKED_FRAMES, type Hole } from '../damage-scan.ts';

/** The more bits a frame has, the likelier one of them explains it by accident: once in 65,536 frames of this size. */
const MAX_FRAME_BYTES = 8 * 1024;

/** The byte that would make a frame good, and what it must be. */
export interface FlippedBit {
  readonly position: number;
  readonly value: number;
}

/** Part of a hole: one record and the bit that explains it, or what none explains. */
export interface HolePart extends Hole {
  readonly flip?: FlippedBit | undefined;
}

/** What follows a frame that was explained. Without a flip it is good: what confirms it was damaged itself. */
interface Explained {
  readonly position: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly flip?: FlippedBit;
}

/** Takes a hole apart into records that one flipped bit each explains, and the rest. The hole itself where there is none. */
export function partsByFlippedBits(store: FileHandle, hole: Hole): HolePart[] {
  const parts: HolePart[] = [];
  let rest = hole;
  let place: { position: number; offset: number } = hole;
  for (let walked = 0; walked < MAX_WALKED_FRAMES && place.offset < hole.nextOffset; walked++) {
    const { position, offset } = place;
    const within = { ...rest, position, offset };
    const explained = explainFrame(store, within);
    const next = explained ?? placeBehind(store, within);
    if (next === undefined) break;
    if (explained !== undefined) {
      const { timestamp, flip } = explained;
      const before = { ...rest, endPosition: position, nextOffset: offset, timestampAfter: timestamp };
      const frame = { ...within, endPosition: next.position, nextOffset: next.offset, flip };
      parts.push(...unlessEmpty(before), ...(flip === undefined ? [] : [frame]));
      rest = { ...hole, position: next.position, offset: next.offset, timestampBefore: timestamp };
    }
    place = next;
  }
  return parts.some(({ flip }) => flip !== undefined) ? [...parts, ...unlessEmpty(rest)] : [hole];
}

const unlessEmpty = (hole: Hole): Hole[] =>
  hole.position < hole.endPosition || hole.offset < hole.nextOffset ? [hole] : [];

/** Behind a record that nothing explains, by its Length. */
function placeBehind(
  store: FileHandle,
  { position, endPosition, offset }: Hole,
): { position: number; offset: number } | undefined {
  const header = headerAt(store, { position, endPosition });
  if (header?.kind !== FRAME_KIND.record || position + header.frameBytes > endPosition) return undefined;
  return { position: position + header.frameBytes, offset: offset + 1 };
}

/** The frame that a hole begins with. Undefined where it is not good, and no bit of it, or more than one, explains that. */
function explainFrame(store: FileHandle, hole: Hole): Explained | undefined {
  const { position, endPosition, offset } = hole;
  const minTimestamp = hole.timestampBefore ?? -Infinity;
  const good = readFrameAt(store, { position, offset, endPosition, minTimestamp });
  if (isSound(good)) {
    const { frameBytes, timestamp } = good.header;
    return { position: position + frameBytes, offset: offset + good.offsetCount, timestamp };
  }
  if (good.header === undefined) return undefined;
  const { lengthField } = good.header;
  const bytes = Buffer.alloc(Math.min(MAX_FRAME_BYTES, endPosition - position));
  if (store.read(bytes, position) < bytes.length) return undefined;
  const found: { frame: Buffer; at: number }[] = [];
  const own = frameOfLength(bytes, lengthField);
  const at = own === undefined ? undefined : flipBack(own, offset);
  if (own !== undefined && at !== undefined) found.push({ frame: own, at });
  for (let bit = 0; bit < 32; bit++) {
    const frame = frameOfLength(bytes, (lengthField ^ (1 << bit)) >>> 0);
    if (frame !== undefined && frameChecksum(frame, offset) === decodeFrameHeader(frame, 0).checksum)
      found.push({ frame, at: 3 - (bit >>> 3) });
  }
  const [explanation, ...others] = found.filter(({ frame }) => {
    const { timestamp } = decodeFrameHeader(frame, 0);
    const isTimely = timestamp >= minTimestamp && timestamp <= (hole.timestampAfter ?? Infinity);
    return Number.isSafeInteger(timestamp) && isTimely;
  });
  if (explanation === undefined || others.length > 0) return undefined;
  const { frame } = explanation;
  return {
    position: position + frame.length,
    offset: offset + 1,
    timestamp: decodeFrameHeader(frame, 0).timestamp,
    flip: { position: position + explanation.at, value: frame[explanation.at] as number },
  };
}

/** A copy of a frame that begins with these bytes, with another Length. Undefined where they are no record of that Length. */
function frameOfLength(bytes: Buffer, lengthField: number): Buffer | undefined {
  // The kind of a record is 0: its Length is all of the field.
  const frameBytes = FRAME_HEADER_BYTES + lengthField;
  if (frameBytes > bytes.length) return undefined;
  const frame = Buffer.from(bytes.subarray(0, frameBytes));
  frame.writeUInt32BE(lengthField, 0);
  return frame;
}

/** Flips the one bit behind its Length that makes a frame check out, and returns the byte that it is in. */
function flipBack(frame: Buffer, offset: number): number | undefined {
  const { checksum, payloadBytes } = decodeFrameHeader(frame, 0);
  const difference = (frameChecksum(frame, offset) ^ checksum) >>> 0;
  const flip = (at: number, bit: number): number => {
    frame[at] = (frame[at] as number) ^ (1 << bit);
    return at;
  };
  // It does, and is bad for another reason.
  if (difference === 0) return undefined;
  if ((difference & (difference - 1)) === 0) {
    const bit = 31 - Math.clz32(difference);
    return flip(CHECKSUM_AT + 3 - (bit >>> 3), bit & 7);
  }
  const changed = changedBit(difference, payloadBytes + CHECKSUM_AT - TIMESTAMP_AT);
  if (changed === undefined) return undefined;
  const { byteFromEnd, bit } = changed;
  // The checksum stands between what it covers.
  const isInPayload = byteFromEnd < payloadBytes;
  return flip(
    isInPayload ? frame.length - 1 - byteFromEnd : CHECKSUM_AT - 1 - (byteFromEnd - payloadBytes),
    bit,
  );
}
