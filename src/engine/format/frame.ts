/**
 * The frame: how one record, gap or control message stands in a store (docs/FORMAT.md, "Store").
 *
 *     0       4               12        16              16+n
 *     | Length | Timestamp     | Checksum | Payload …    |
 *        u32      i64             u32        n bytes
 *
 * Big-endian. The low 28 bits of Length are n, the high 4 the kind. The checksum covers
 * Offset ‖ Length ‖ Timestamp ‖ Payload, where Offset is the frame's first offset and is not stored: a frame checks out
 * only where it belongs. Pure: no I/O, no clock. The loops over many frames are the kernel's; this is their reference.
 */
import { crc32, crc32Before, solveCrcWord, unwindRegister } from './crc32.ts';
import { readInt64, writeInt64 } from './big-endian.ts';
import { decodeLeb128, MAX_LEB128_BYTES } from './leb128.ts';
import { MAX_BATCH_BYTES, MAX_OFFSET, MAX_PAYLOAD_FIELD } from '../limits.ts';

const LENGTH_BYTES = 4;
const TIMESTAMP_BYTES = 8;
const CHECKSUM_BYTES = 4;

export const TIMESTAMP_AT = LENGTH_BYTES;
export const CHECKSUM_AT = TIMESTAMP_AT + TIMESTAMP_BYTES;
export const FRAME_HEADER_BYTES = CHECKSUM_AT + CHECKSUM_BYTES;

/** Largest payload of a record: its frame must fit into one batch. */
export const MAX_RECORD_BYTES = MAX_BATCH_BYTES - FRAME_HEADER_BYTES;

export const FRAME_KIND = { record: 0, gap: 1, batch: 2, control: 3 } as const;

/** Why a gap has no records. Others are shown as numbers. */
export const GAP_REASON = { damage: 1, compaction: 2 } as const;

export interface FrameHeader {
  /** The Length field as stored: kind and payload length together. */
  readonly lengthField: number;
  readonly kind: number;
  readonly payloadBytes: number;
  /** Header and payload together. */
  readonly frameBytes: number;
  /** Milliseconds since 1970. A safe integer, or ±Infinity where the stored i64 is beyond one: then the frame is damage. */
  readonly timestamp: number;
  readonly checksum: number;
}

/** Reads the 16 bytes at `at`. Judges nothing. */
export function decodeFrameHeader(bytes: Buffer, at: number): FrameHeader {
  const lengthField = bytes.readUInt32BE(at);
  const payloadBytes = lengthField & MAX_PAYLOAD_FIELD;
  return {
    lengthField,
    kind: lengthField >>> 28,
    payloadBytes,
    frameBytes: FRAME_HEADER_BYTES + payloadBytes,
    timestamp: readInt64(bytes, at + TIMESTAMP_AT),
    checksum: bytes.readUInt32BE(at + CHECKSUM_AT),
  };
}

/** The two fields that a walk over many good frames needs, without an object for each. */
export const payloadBytesAt = (bytes: Buffer, at: number): number =>
  bytes.readUInt32BE(at) & MAX_PAYLOAD_FIELD;
export const frameTimestampAt = (bytes: Buffer, at: number): number => readInt64(bytes, at + TIMESTAMP_AT);

const prefix = Buffer.alloc(8 + LENGTH_BYTES + TIMESTAMP_BYTES);

/** Writes a frame at `at`; `bytes` must have room for FRAME_HEADER_BYTES + payload.length. Returns the end of the frame. */
export function encodeFrame(
  bytes: Buffer,
  at: number,
  frame: { kind: number; offset: number; timestamp: number; payload: Uint8Array },
): number {
  bytes.writeUInt32BE(((frame.kind << 28) | frame.payload.length) >>> 0, at);
  writeInt64(bytes, frame.timestamp, at + TIMESTAMP_AT);
  bytes.set(frame.payload, at + FRAME_HEADER_BYTES);
  const end = at + FRAME_HEADER_BYTES + frame.payload.length;
  bytes.writeUInt32BE(frameChecksum(bytes.subarray(at, end), frame.offset), at + CHECKSUM_AT);
  return end;
}

/** The register after Offset, Length and Timestamp: a CRC-32 to go on from, payload chunk by payload chunk. */
export function frameChecksumStart(header: Buffer, offset: number): number {
  writeInt64(prefix, offset, 0);
  header.copy(prefix, 8, 0, CHECKSUM_AT);
  return crc32(prefix);
}

/** The checksum that `frame` (header and payload, whole) must carry if its first offset is `offset`. */
export function frameChecksum(frame: Buffer, offset: number): number {
  return crc32(frame.subarray(FRAME_HEADER_BYTES), frameChecksumStart(frame, offset));
}

/**
 * The only offset with the given high 32 bits for which a frame checks out: the CRC is run backwards over what follows
 * the offset and the word before it solved for. No trials. Whether that offset makes sense there is the caller's to judge.
 *
 * @param header the frame's 16 bytes
 * @param payloadChecksum CRC-32 of the payload alone
 */
export function solveFrameOffset(
  header: Buffer,
  options: { payloadChecksum: number; highWord: number },
): number {
  const { checksum, payloadBytes } = decodeFrameHeader(header, 0);
  const prefixChecksum = crc32Before(checksum, {
    checksum: options.payloadChecksum,
    byteCount: payloadBytes,
  });
  const offsetChecksum = ~unwindRegister(~prefixChecksum, header.subarray(0, CHECKSUM_AT)) >>> 0;
  prefix.writeUInt32BE(options.highWord, 0);
  const lowWord = solveCrcWord(crc32(prefix.subarray(0, 4)), offsetChecksum);
  return options.highWord * 2 ** 32 + lowWord;
}

export interface GapPayload {
  /** GAP_REASON, or a number this version does not know. */
  readonly reason: number;
  /** How many offsets the gap stands for. */
  readonly count: number;
}

/** The first bytes of a gap's payload that can mean anything: the reason and the longest count. */
export const GAP_HEAD_BYTES = 1 + MAX_LEB128_BYTES;

/** Decodes the beginning of a gap's payload, of which GAP_HEAD_BYTES are always enough. `undefined`: the count does not decode, which is damage. */
export function decodeGapPayload(payload: Uint8Array, payloadBytes: number): GapPayload | undefined {
  if (payloadBytes === 0) return { reason: GAP_REASON.damage, count: 1 };
  const reason = payload[0] as number;
  if (payloadBytes === 1) return { reason, count: 1 };
  const count = decodeLeb128(payload, 1);
  return count === undefined || count.value > MAX_OFFSET ? undefined : { reason, count: count.value };
}
