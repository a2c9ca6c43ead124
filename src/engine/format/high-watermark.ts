/**
 * The high-water mark: how far the log is durable and where it begins (docs/FORMAT.md, "High-water mark").
 *
 *     0            8            16         24          32            40           48      52     60         64
 *     | NextOffset | BaseOffset | Position | Timestamp | StartOffset | Generation | Flags | zero | Checksum |
 *        u64          u64          u64        i64         u64           u64          u32    8 B    u32
 *
 * Checksum is CRC-32 of the 60 bytes before it. Pure; who may write it and when is log.ts's.
 */
import { readInt64, readUInt64, writeInt64 } from './big-endian.ts';
import { crc32 } from './crc32.ts';

const BASE_OFFSET_AT = 8;
const POSITION_AT = 16;
const TIMESTAMP_AT = 24;
const START_OFFSET_AT = 32;
const GENERATION_AT = 40;
const FLAGS_AT = 48;
const CHECKSUM_AT = 60;
export const HIGH_WATERMARK_BYTES = 64;

/** `failed`: a write or sync failed and the cut behind it is not durable yet. `deleted`: the topic is being removed. */
export const MARK_FLAG = { failed: 1, deleted: 2 } as const;

export interface HighWatermark {
  /** Next offset to be assigned. */
  readonly nextOffset: number;
  /** Base offset of the active segment: the name of its store. */
  readonly baseOffset: number;
  /** Durable bytes of the active store. */
  readonly position: number;
  /** Timestamp of the last record, milliseconds since 1970; 0 while there is none. */
  readonly timestamp: number;
  /** First offset that retention has left. */
  readonly startOffset: number;
  /** Raised before anything but the tail changes on disk. */
  readonly generation: number;
  /** MARK_FLAG bits. A bit that is neither was set by a newer FastQueue. */
  readonly flags: number;
}

export function encodeHighWatermark(mark: HighWatermark): Buffer {
  const bytes = Buffer.alloc(HIGH_WATERMARK_BYTES);
  writeInt64(bytes, mark.nextOffset, 0);
  writeInt64(bytes, mark.baseOffset, BASE_OFFSET_AT);
  writeInt64(bytes, mark.position, POSITION_AT);
  writeInt64(bytes, mark.timestamp, TIMESTAMP_AT);
  writeInt64(bytes, mark.startOffset, START_OFFSET_AT);
  writeInt64(bytes, mark.generation, GENERATION_AT);
  bytes.writeUInt32BE(mark.flags, FLAGS_AT);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
  return bytes;
}

/**
 * `undefined` when the mark is unsound: not 64 bytes, a wrong checksum, a number beyond 2^53 − 1, or numbers that
 * contradict each other (StartOffset or BaseOffset past NextOffset).
 */
export function decodeHighWatermark(bytes: Buffer): HighWatermark | undefined {
  if (bytes.length !== HIGH_WATERMARK_BYTES) return undefined;
  if (crc32(bytes.subarray(0, CHECKSUM_AT)) !== bytes.readUInt32BE(CHECKSUM_AT)) return undefined;
  const mark: HighWatermark = {
    nextOffset: readUInt64(bytes, 0),
    baseOffset: readUInt64(bytes, BASE_OFFSET_AT),
    position: readUInt64(bytes, POSITION_AT),
    timestamp: readInt64(bytes, TIMESTAMP_AT),
    startOffset: readUInt64(bytes, START_OFFSET_AT),
    generation: readUInt64(bytes, GENERATION_AT),
    flags: bytes.readUInt32BE(FLAGS_AT),
  };
  const numbers = [
    mark.nextOffset,
    mark.baseOffset,
    mark.position,
    mark.timestamp,
    mark.startOffset,
    mark.generation,
  ];
  if (!numbers.every(Number.isSafeInteger)) return undefined;
  if (mark.baseOffset > mark.nextOffset || mark.startOffset > mark.nextOffset) return undefined;
  return mark;
}
