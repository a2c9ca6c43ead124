// Input bytes into frames, frames stamped anew, and index entries for them. AssemblyScript; the contract is kernel.ts,
// the reference is reference.ts.
import { crc32Of20, frameRegister, offsetAndLength, registerAfter } from './crc32';
import { CHECKSUM_AT, DELIMITER_AT, HEADER_BYTES, RESULT_AT, TIMESTAMP_AT } from './layout';

const LENGTH_PREFIX_BYTES: u32 = 4;
const NOT_FOUND: u32 = 0xffffffff;

// In the order of FRAME_LINES_STOPS in wasm-kernel.ts.
const INPUT_EXHAUSTED = 0;
const OUTPUT_FULL = 1;
const RECORD_TOO_LARGE = 2;
const CUT_OFF = 3;

/** First place of the delimiter in `start` … `end`, looked for sixteen bytes at a time by its first byte. */
@inline function findDelimiter(start: u32, end: u32, delimiterBytes: u32, needle: v128): u32 {
  if (start + delimiterBytes > end) return NOT_FOUND;
  const lastStart = end - delimiterBytes;
  for (let at = start; at <= lastStart; at += 16) {
    let hits: i32 = i8x16.bitmask(i8x16.eq(v128.load(at), needle));
    while (hits !== 0) {
      const found = at + ctz(hits);
      if (found > lastStart) return NOT_FOUND;
      if (delimiterBytes === 1 || memory.compare(found, DELIMITER_AT, delimiterBytes) === 0) return found;
      hits &= hits - 1;
    }
  }
  return NOT_FOUND;
}

/** @param delimiterBytes bytes at DELIMITER_AT that end a record; 0: a length stands before each. */
export function frameLines(
  inputStart: u32, inputLimit: u32, outputStart: u32, outputLimit: u32,
  delimiterBytes: u32, isFinal: bool, firstOffset: u64, timestamp: u64, maxRecordBytes: u32,
): i32 {
  const needle = i8x16.splat(load<u8>(DELIMITER_AT));
  const storedTimestamp = bswap<u64>(timestamp);
  let inputEnd = inputStart;
  let outputEnd = outputStart;
  let offset = firstOffset;
  let startRegister = frameRegister(<u32>(offset >>> 32), timestamp);
  let stop = INPUT_EXHAUSTED;
  while (inputEnd < inputLimit) {
    let start = inputEnd;
    let end: u32;
    let next: u32;
    if (delimiterBytes === 0) {
      if (start + LENGTH_PREFIX_BYTES > inputLimit) {
        stop = isFinal ? CUT_OFF : INPUT_EXHAUSTED;
        break;
      }
      const payloadBytes = bswap<u32>(load<u32>(start));
      if (payloadBytes > maxRecordBytes) {
        stop = RECORD_TOO_LARGE;
        break;
      }
      start += LENGTH_PREFIX_BYTES;
      end = next = start + payloadBytes;
      if (end > inputLimit) {
        stop = isFinal ? CUT_OFF : INPUT_EXHAUSTED;
        break;
      }
    } else {
      const longest = start + maxRecordBytes + delimiterBytes;
      end = findDelimiter(start, min(inputLimit, longest), delimiterBytes, needle);
      next = end + delimiterBytes;
      if (end === NOT_FOUND) {
        // Not everything that is there was searched, or there is as much as may be.
        const isTooLarge = isFinal ? inputLimit - start > maxRecordBytes : inputLimit >= longest;
        if (isTooLarge || !isFinal) {
          stop = isTooLarge ? RECORD_TOO_LARGE : INPUT_EXHAUSTED;
          break;
        }
        end = next = inputLimit;
      }
    }
    const payloadBytes = end - start;
    if (outputEnd + HEADER_BYTES + payloadBytes > outputLimit) {
      stop = OUTPUT_FULL;
      break;
    }
    store<u32>(outputEnd, bswap<u32>(payloadBytes));
    store<u64>(outputEnd, storedTimestamp, TIMESTAMP_AT);
    const register = registerAfter(
      startRegister ^ offsetAndLength(<u32>offset, payloadBytes), start, payloadBytes, outputEnd + HEADER_BYTES, true,
    );
    store<u32>(outputEnd, bswap<u32>(~register), CHECKSUM_AT);
    outputEnd += HEADER_BYTES + payloadBytes;
    inputEnd = next;
    offset++;
    if (<u32>offset === 0) startRegister = frameRegister(<u32>(offset >>> 32), timestamp);
  }
  store<u32>(RESULT_AT, <u32>(offset - firstOffset));
  store<u32>(RESULT_AT, inputEnd, 4);
  store<u32>(RESULT_AT, outputEnd, 8);
  return stop;
}

export function stampFrames(start: u32, end: u32, firstOffset: u64, timestamp: u64): void {
  const storedTimestamp = bswap<u64>(timestamp);
  let offset = firstOffset;
  let startRegister = frameRegister(<u32>(offset >>> 32), timestamp);
  for (let at = start; at < end;) {
    const payloadBytes = bswap<u32>(load<u32>(at));
    store<u64>(at, storedTimestamp, TIMESTAMP_AT);
    const register = registerAfter(
      startRegister ^ offsetAndLength(<u32>offset, payloadBytes), at + HEADER_BYTES, payloadBytes, 0, false,
    );
    store<u32>(at, bswap<u32>(~register), CHECKSUM_AT);
    at += HEADER_BYTES + payloadBytes;
    offset++;
    if (<u32>offset === 0) startRegister = frameRegister(<u32>(offset >>> 32), timestamp);
  }
}

/** @returns the next entry's position; RESULT_AT + 8 has the end of the output */
export function indexFrames(
  start: u32, end: u32, firstOffset: u64, position: u64, nextEntryPosition: u64, intervalBytes: u64, output: u32,
): u64 {
  let outputEnd = output;
  let offset = firstOffset;
  let framePosition = position;
  let next = nextEntryPosition;
  for (let at = start; at < end; offset++) {
    const storedLength = load<u32>(at);
    if (framePosition >= next) {
      store<u64>(outputEnd, bswap<u64>(offset));
      store<u64>(outputEnd, bswap<u64>(framePosition), 8);
      store<u32>(outputEnd, storedLength, 16);
      store<u32>(outputEnd, bswap<u32>(crc32Of20(outputEnd)), 20);
      outputEnd += 24;
      next = framePosition + intervalBytes;
    }
    const frameBytes = HEADER_BYTES + bswap<u32>(storedLength);
    at += frameBytes;
    framePosition += frameBytes;
  }
  store<u32>(RESULT_AT, outputEnd, 8);
  return next;
}
