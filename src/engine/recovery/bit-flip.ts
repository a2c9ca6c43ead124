/**
 * `--try-bitflip`: whether one flipped bit explains why a frame does not check out. Every bit of a frame of at most
 * 8 KiB is tried. Reads only.
 */
import { decodeFrameHeader, FRAME_HEADER_BYTES, frameChecksum } from '../format/frame.ts';
import type { FileHandle } from '../io/file-system.ts';
import type { Hole } from '../damage-scan.ts';

/** Larger frames have so many bits that a second explanation would become likely. */
const MAX_FRAME_BYTES = 8 * 1024;

/**
 * The byte that would make the hole one good record, and what it must be. Undefined where none, or more than one, does,
 * or where the hole is not one record long.
 */
export function findFlippedBit(
  store: FileHandle,
  hole: Hole,
): { position: number; value: number } | undefined {
  const byteCount = hole.endPosition - hole.position;
  if (hole.nextOffset !== hole.offset + 1 || byteCount < FRAME_HEADER_BYTES || byteCount > MAX_FRAME_BYTES)
    return undefined;
  const frame = Buffer.alloc(byteCount);
  if (store.read(frame, hole.position) < byteCount) return undefined;
  const lengthField = byteCount - FRAME_HEADER_BYTES;
  // A Length that does not fit the hole is where the bit must be.
  const lastBit = decodeFrameHeader(frame, 0).lengthField === lengthField ? byteCount * 8 : 32;
  const found: { position: number; value: number }[] = [];
  for (let bit = 0; bit < lastBit; bit++) {
    const at = bit >>> 3;
    const value = (frame[at] as number) ^ (1 << (bit & 7));
    const before = frame[at] as number;
    frame[at] = value;
    if (isGood(frame, hole, lengthField)) found.push({ position: hole.position + at, value });
    frame[at] = before;
  }
  return found.length === 1 ? found[0] : undefined;
}

function isGood(frame: Buffer, hole: Hole, lengthField: number): boolean {
  const header = decodeFrameHeader(frame, 0);
  if (header.lengthField !== lengthField || !Number.isSafeInteger(header.timestamp)) return false;
  if (header.timestamp < (hole.timestampBefore ?? -Infinity)) return false;
  if (header.timestamp > (hole.timestampAfter ?? Infinity)) return false;
  return frameChecksum(frame, hole.offset) === header.checksum;
}
