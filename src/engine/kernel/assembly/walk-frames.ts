// Good frames one after the other, checked and, where wanted, their payloads copied out in the same pass.
// AssemblyScript; the contract is kernel.ts, the reference is reference.ts.
import { frameRegister, offsetAndLength, registerAfter } from './crc32';
import { CHECKSUM_AT, DELIMITER_AT, HEADER_BYTES, RESULT_AT, RESULT_TIMESTAMP_AT, TIMESTAMP_AT } from './layout';

const KIND_SHIFT: u32 = 28;
const MAX_RECORD_BYTES: u32 = 32 * 1024 * 1024 - HEADER_BYTES;
const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

// In the order of FRAMES_STOPS in wasm-kernel.ts.
const END = 0;
const UNTIL = 1;
const INCOMPLETE = 2;
const SPECIAL = 3;
const BAD = 4;
const OUTPUT_FULL = 5;

/** Puts down what stands after a payload. */
@inline function writeDelimiter(at: u32, delimiterBytes: u32): void {
  if (delimiterBytes === 1) store<u8>(at, load<u8>(DELIMITER_AT));
  else for (let index: u32 = 0; index < delimiterBytes; index++) store<u8>(at + index, load<u8>(DELIMITER_AT + index));
}

/** @param emits a constant where this is inlined: false, and nothing but the result is written */
@inline function walk(
  inputStart: u32, inputLimit: u32, firstOffset: u64, maxRecords: f64, minTimestamp: f64,
  emits: bool, outputStart: u32, outputLimit: u32, prefixBytes: u32, delimiterBytes: u32,
): i32 {
  let inputEnd = inputStart;
  let outputEnd = outputStart;
  let offset = firstOffset;
  let lastTimestamp = minTimestamp;
  // The register of a timestamp serves every frame of its batch.
  let knownTimestamp: u64 = 0;
  let startRegister = frameRegister(<u32>(offset >>> 32), knownTimestamp);
  const recordLimit = <u64>max<f64>(0, min<f64>(maxRecords, 4294967295));
  const offsetLimit = firstOffset + recordLimit;
  let stop = END;
  while (true) {
    if (offset >= offsetLimit) {
      stop = UNTIL;
      break;
    }
    if (inputEnd >= inputLimit) break;
    const availableBytes = inputLimit - inputEnd;
    if (availableBytes < HEADER_BYTES) {
      stop = INCOMPLETE;
      break;
    }
    const payloadBytes = bswap<u32>(load<u32>(inputEnd));
    if (payloadBytes >>> KIND_SHIFT !== 0) {
      stop = SPECIAL;
      break;
    }
    if (payloadBytes > MAX_RECORD_BYTES) {
      stop = BAD;
      break;
    }
    if (HEADER_BYTES + payloadBytes > availableBytes) {
      stop = INCOMPLETE;
      break;
    }
    const timestamp = bswap<u64>(load<u64>(inputEnd, TIMESTAMP_AT));
    if (timestamp !== knownTimestamp || <u32>offset === 0) {
      knownTimestamp = timestamp;
      startRegister = frameRegister(<u32>(offset >>> 32), timestamp);
    }
    const payloadAt = inputEnd + HEADER_BYTES;
    const register = startRegister ^ offsetAndLength(<u32>offset, payloadBytes);
    const emittedBytes = prefixBytes + payloadBytes + delimiterBytes;
    const hasRoom = emits && outputEnd + emittedBytes <= outputLimit;
    // What is copied before it is known to be good is taken back by not moving outputEnd.
    const found = hasRoom
      ? registerAfter(register, payloadAt, payloadBytes, outputEnd + prefixBytes, true)
      : registerAfter(register, payloadAt, payloadBytes, 0, false);
    const signed = <i64>timestamp;
    const isTimeSound =
      signed >= -MAX_SAFE_INTEGER && signed <= MAX_SAFE_INTEGER && <f64>signed >= lastTimestamp;
    if (~found !== bswap<u32>(load<u32>(inputEnd, CHECKSUM_AT)) || !isTimeSound) {
      stop = BAD;
      break;
    }
    if (emits) {
      if (!hasRoom) {
        stop = OUTPUT_FULL;
        break;
      }
      if (prefixBytes !== 0) store<u32>(outputEnd, bswap<u32>(payloadBytes));
      writeDelimiter(outputEnd + prefixBytes + payloadBytes, delimiterBytes);
      outputEnd += emittedBytes;
    }
    inputEnd = payloadAt + payloadBytes;
    lastTimestamp = <f64>signed;
    offset++;
  }
  store<u32>(RESULT_AT, <u32>(offset - firstOffset));
  store<u32>(RESULT_AT, inputEnd, 4);
  store<u32>(RESULT_AT, outputEnd, 8);
  store<f64>(RESULT_TIMESTAMP_AT, lastTimestamp);
  return stop;
}

export function checkFrames(
  inputStart: u32, inputLimit: u32, firstOffset: u64, maxRecords: f64, minTimestamp: f64,
): i32 {
  return walk(inputStart, inputLimit, firstOffset, maxRecords, minTimestamp, false, 0, 0, 0, 0);
}

/** @param prefixBytes 4 for a big-endian length before each payload, else 0 */
export function emitPayloads(
  inputStart: u32, inputLimit: u32, firstOffset: u64, maxRecords: f64, minTimestamp: f64,
  outputStart: u32, outputLimit: u32, prefixBytes: u32, delimiterBytes: u32,
): i32 {
  return walk(
    inputStart, inputLimit, firstOffset, maxRecords, minTimestamp,
    true, outputStart, outputLimit, prefixBytes, delimiterBytes,
  );
}
