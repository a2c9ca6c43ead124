/**
 * Where a consumer group stands (docs/FORMAT.md, "Group").
 *
 *     0            8             16     20         24
 *     | NextOffset | TimeStored  | zero | Checksum |
 *        u64          i64          u32    u32
 *
 * Checksum is CRC-32 of the 20 bytes before it.
 */
import { readInt64, readUInt64, writeInt64 } from './big-endian.ts';
import { crc32 } from './crc32.ts';

const TIME_AT = 8;
const CHECKSUM_AT = 20;
export const GROUP_POSITION_BYTES = 24;

export interface GroupPosition {
  /** The first offset the group has not taken yet. */
  readonly nextOffset: number;
  /** When that was stored, milliseconds since 1970. */
  readonly storedAt: number;
}

export function encodeGroupPosition(group: GroupPosition): Buffer {
  const bytes = Buffer.alloc(GROUP_POSITION_BYTES);
  writeInt64(bytes, group.nextOffset, 0);
  writeInt64(bytes, group.storedAt, TIME_AT);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
  return bytes;
}

/** `undefined` when the file is unsound. */
export function decodeGroupPosition(bytes: Buffer): GroupPosition | undefined {
  if (bytes.length !== GROUP_POSITION_BYTES) return undefined;
  if (crc32(bytes.subarray(0, CHECKSUM_AT)) !== bytes.readUInt32BE(CHECKSUM_AT)) return undefined;
  const group = { nextOffset: readUInt64(bytes, 0), storedAt: readInt64(bytes, TIME_AT) };
  return Number.isSafeInteger(group.nextOffset) && Number.isSafeInteger(group.storedAt) ? group : undefined;
}
