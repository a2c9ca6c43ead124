// Records as JSON text. AssemblyScript; the contract is kernel.ts, the reference is reference.ts.
//
// Short pieces are copied sixteen bytes at a time, up to fifteen too many: what follows them is written afterwards, and
// ROOM_BYTES stay free at the end of the output.
import { HEADER_BYTES, OFFSET_DIGITS_END, RESULT_AT, TIMESTAMP_AT, TIME_DIGITS_END } from './layout';

const ROOM_BYTES: u32 = 64;
const MAX_DIGITS_BYTES: u32 = 20;

// In the order of TEXT_STOPS in wasm-kernel.ts.
const END = 0;
const UNTIL = 1;
const NOT_TEXT = 2;
const OUTPUT_FULL = 3;

const QUOTATION_MARK: u32 = 0x22;
const BACKSLASH: u32 = 0x5c;

@inline function copyShort(to: u32, from: u32, byteCount: u32): void {
  for (let done: u32 = 0; done < byteCount; done += 16) v128.store(to + done, v128.load(from + done));
}

/** Decimal digits that end at `end`. @returns where they begin */
function writeDigits(end: u32, value: u64): u32 {
  let at = end;
  do {
    store<u8>(--at, 0x30 + <u32>(value % 10));
    value /= 10;
  } while (value !== 0);
  return at;
}

/** The digits of the next offset in place of this one's. @returns where they begin */
@inline function incrementDigits(start: u32): u32 {
  let at = OFFSET_DIGITS_END - 1;
  for (; at >= start; at--) {
    const digit: u32 = load<u8>(at);
    if (digit !== 0x39) {
      store<u8>(at, digit + 1);
      return start;
    }
    store<u8>(at, 0x30);
  }
  store<u8>(at, 0x31);
  return at;
}

@inline function hexDigit(value: u32): u32 {
  return value < 10 ? 0x30 + value : 0x57 + value;
}

/** The letter behind the backslash, or 0 where the character is written as \u00XX. */
@inline function shortEscape(byte: u32): u32 {
  switch (byte) {
    case 0x08: return 0x62;
    case 0x09: return 0x74;
    case 0x0a: return 0x6e;
    case 0x0c: return 0x66;
    case 0x0d: return 0x72;
    case QUOTATION_MARK: case BACKSLASH: return byte;
    default: return 0;
  }
}

/** Bytes of the UTF-8 character that begins at `at`, whose first byte is 0x80 or above; 0 where it is none (RFC 3629). */
@inline function characterBytes(at: u32, end: u32): u32 {
  const first: u32 = load<u8>(at);
  if (first < 0xc2 || first > 0xf4) return 0;
  const byteCount: u32 = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + byteCount > end) return 0;
  const second: u32 = load<u8>(at, 1);
  const lowest: u32 = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest: u32 = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let index: u32 = 2; index < byteCount; index++) if ((load<u8>(at + index) & 0xc0) !== 0x80) return 0;
  return byteCount;
}

/** Where the last payload's text has ended. */
let textEnd: u32 = 0;

/** A payload as what stands between the quotation marks of a JSON string. */
@inline function emitString(start: u32, end: u32, output: u32, outputLimit: u32): i32 {
  const spaces = i8x16.splat(0x20);
  const quotationMarks = i8x16.splat(<i8>QUOTATION_MARK);
  const backslashes = i8x16.splat(<i8>BACKSLASH);
  let at = start;
  let out = output;
  while (at < end) {
    if (out + ROOM_BYTES > outputLimit) return OUTPUT_FULL;
    const bytes = v128.load(at);
    // Compared as signed numbers, what is above 0x7f is below a space as well.
    const special = v128.or(
      i8x16.lt_s(bytes, spaces), v128.or(i8x16.eq(bytes, quotationMarks), i8x16.eq(bytes, backslashes)),
    );
    const plainBytes = min<u32>(ctz<u32>(<u32>i8x16.bitmask(special) | 0x10000), end - at);
    v128.store(out, bytes);
    at += plainBytes;
    out += plainBytes;
    if (plainBytes === 16 || at === end) continue;
    const byte: u32 = load<u8>(at);
    if (byte >= 0x80) {
      const byteCount = characterBytes(at, end);
      if (byteCount === 0) return NOT_TEXT;
      store<u32>(out, load<u32>(at));
      at += byteCount;
      out += byteCount;
      continue;
    }
    at++;
    store<u8>(out, BACKSLASH);
    const letter = shortEscape(byte);
    if (letter !== 0) {
      store<u8>(out, letter, 1);
      out += 2;
    } else {
      store<u32>(out, 0x30303075, 1);
      store<u8>(out, hexDigit(byte >>> 4), 4);
      store<u8>(out, hexDigit(byte & 15), 5);
      out += 6;
    }
  }
  textEnd = out;
  return END;
}

/**
 * @param pieces where these stand one behind the other: what comes before the offset, the same once more (or nothing),
 *   what comes before the timestamp, before the payload, and behind it
 */
export function emitText(
  inputStart: u32, inputLimit: u32, firstOffset: u64, untilTimestamp: f64, outputStart: u32, outputLimit: u32,
  pieces: u32, firstBytes: u32, secondBytes: u32, timeBytes: u32, payloadLabelBytes: u32, endBytes: u32,
): i32 {
  const secondAt = pieces + firstBytes;
  const timeAt = secondAt + secondBytes;
  const payloadLabelAt = timeAt + timeBytes;
  const endAt = payloadLabelAt + payloadLabelBytes;
  const aroundBytes = endAt + endBytes - pieces + 3 * MAX_DIGITS_BYTES + ROOM_BYTES;
  let inputEnd = inputStart;
  let outputEnd = outputStart;
  let recordCount: u32 = 0;
  let digitsAt = writeDigits(OFFSET_DIGITS_END, firstOffset);
  // What stands between offset and payload is the same for all records of a batch: it is copied from the last one's text.
  let middleAt: u32 = 0;
  let middleBytes: u32 = 0;
  let knownTimestamp: i64 = 0;
  let stop = END;
  while (inputEnd < inputLimit) {
    const payloadBytes = bswap<u32>(load<u32>(inputEnd));
    const timestamp = <i64>bswap<u64>(load<u64>(inputEnd, TIMESTAMP_AT));
    if (<f64>timestamp >= untilTimestamp) {
      stop = UNTIL;
      break;
    }
    if (outputEnd + aroundBytes > outputLimit) {
      stop = OUTPUT_FULL;
      break;
    }
    let out = outputEnd;
    const digitsBytes = OFFSET_DIGITS_END - digitsAt;
    copyShort(out, pieces, firstBytes);
    out += firstBytes;
    copyShort(out, digitsAt, digitsBytes);
    out += digitsBytes;
    if (secondBytes !== 0) {
      copyShort(out, secondAt, secondBytes);
      out += secondBytes;
      copyShort(out, digitsAt, digitsBytes);
      out += digitsBytes;
    }
    if (timestamp === knownTimestamp && middleBytes !== 0) {
      copyShort(out, middleAt, middleBytes);
    } else {
      knownTimestamp = timestamp;
      let timeDigitsAt = writeDigits(TIME_DIGITS_END, <u64>(timestamp < 0 ? -timestamp : timestamp));
      if (timestamp < 0) store<u8>(--timeDigitsAt, 0x2d);
      const timeDigitsBytes = TIME_DIGITS_END - timeDigitsAt;
      copyShort(out, timeAt, timeBytes);
      copyShort(out + timeBytes, timeDigitsAt, timeDigitsBytes);
      copyShort(out + timeBytes + timeDigitsBytes, payloadLabelAt, payloadLabelBytes);
      middleBytes = timeBytes + timeDigitsBytes + payloadLabelBytes;
    }
    middleAt = out;
    out += middleBytes;
    const payloadAt = inputEnd + HEADER_BYTES;
    stop = emitString(payloadAt, payloadAt + payloadBytes, out, outputLimit - endBytes);
    if (stop !== END) break;
    copyShort(textEnd, endAt, endBytes);
    outputEnd = textEnd + endBytes;
    inputEnd = payloadAt + payloadBytes;
    recordCount++;
    digitsAt = incrementDigits(digitsAt);
  }
  store<u32>(RESULT_AT, recordCount);
  store<u32>(RESULT_AT, inputEnd, 4);
  store<u32>(RESULT_AT, outputEnd, 8);
  return stop;
}
