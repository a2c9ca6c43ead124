/**
 * One entry of the sparse index (docs/FORMAT.md, "Index").
 *
 *     0        8          16       20         24
 *     | Offset | Position | Length | Checksum |
 *        u64      u64        u32      u32
 *
 * Length is the Length field of the frame at Position as stored. Checksum is CRC-32 of the 20 bytes before it, so an
 * entry of zeros is not one. An entry that checks out is still only a hint: the frame at Position has the last word.
 */
import { readUInt64, writeInt64 } from './big-endian.ts';
import { crc32 } from './crc32.ts';

const POSITION_AT = 8;
const LENGTH_AT = 16;
const CHECKSUM_AT = 20;
export const INDEX_ENTRY_BYTES = 24;

export interface IndexEntry {
  readonly offset: number;
  readonly position: number;
  /** Length field of the frame, kind bits included. */
  readonly lengthField: number;
}

export function encodeIndexEntry(bytes: Buffer, at: number, entry: IndexEntry): void {
  writeInt64(bytes, entry.offset, at);
  writeInt64(bytes, entry.position, at + POSITION_AT);
  bytes.writeUInt32BE(entry.lengthField, at + LENGTH_AT);
  bytes.writeUInt32BE(crc32(bytes.subarray(at, at + CHECKSUM_AT)), at + CHECKSUM_AT);
}

/** `undefined` when the entry's own checksum is wrong or a number is beyond 2^53 − 1. */
export function decodeIndexEntry(bytes: Buffer, at: number): IndexEntry | undefined {
  if (crc32(bytes.subarray(at, at + CHECKSUM_AT)) !== bytes.readUInt32BE(at + CHECKSUM_AT)) return undefined;
  const offset = readUInt64(bytes, at);
  const position = readUInt64(bytes, at + POSITION_AT);
  if (offset === Infinity || position === Infinity) return undefined;
  return { offset, position, lengthField: bytes.readUInt32BE(at + LENGTH_AT) };
}
