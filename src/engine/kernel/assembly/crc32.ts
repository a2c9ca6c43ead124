// CRC-32 (IEEE 802.3) by sixteen tables: sixteen bytes a step, each byte one load, none waiting for another.
// AssemblyScript. Registers are inverted checksums, as everywhere in CRC-32. Its reference is format/crc32.ts.
import { TABLES_AT, TABLE_BYTES } from './layout';

const POLYNOMIAL: u32 = 0xedb88320;

/** From so many bytes on, a call out to zlib costs less than it gains. */
const NATIVE_FROM_BYTES: u32 = 2048;

/** zlib's CRC-32 of the bytes from `start` to `end`, going on from the checksum `previous`. */
@external('env', 'nativeCrc32')
declare function nativeCrc32(start: u32, end: u32, previous: u32): u32;

/** Fills the tables. Once for each memory, before anything else. */
export function initialise(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let register = byte;
    for (let bit = 0; bit < 8; bit++) register = register & 1 ? (register >>> 1) ^ POLYNOMIAL : register >>> 1;
    store<u32>(TABLES_AT + byte * 4, register);
  }
  for (let at: u32 = TABLES_AT + TABLE_BYTES; at < TABLES_AT + 16 * TABLE_BYTES; at += 4) {
    const before = load<u32>(at - TABLE_BYTES);
    store<u32>(at, (before >>> 8) ^ load<u32>(TABLES_AT + (before & 0xff) * 4));
  }
}

/** What the four bytes of `word` (lowest first) do to a register that 12, 8, 4 or 0 more bytes follow. */
@inline function fourBytes12(word: u32): u32 {
  return (
    load<u32>((word << 2) & 0x3fc, TABLES_AT + 15 * TABLE_BYTES) ^
    load<u32>((word >>> 6) & 0x3fc, TABLES_AT + 14 * TABLE_BYTES) ^
    load<u32>((word >>> 14) & 0x3fc, TABLES_AT + 13 * TABLE_BYTES) ^
    load<u32>((word >>> 22) & 0x3fc, TABLES_AT + 12 * TABLE_BYTES)
  );
}
@inline function fourBytes8(word: u32): u32 {
  return (
    load<u32>((word << 2) & 0x3fc, TABLES_AT + 11 * TABLE_BYTES) ^
    load<u32>((word >>> 6) & 0x3fc, TABLES_AT + 10 * TABLE_BYTES) ^
    load<u32>((word >>> 14) & 0x3fc, TABLES_AT + 9 * TABLE_BYTES) ^
    load<u32>((word >>> 22) & 0x3fc, TABLES_AT + 8 * TABLE_BYTES)
  );
}
@inline function fourBytes4(word: u32): u32 {
  return (
    load<u32>((word << 2) & 0x3fc, TABLES_AT + 7 * TABLE_BYTES) ^
    load<u32>((word >>> 6) & 0x3fc, TABLES_AT + 6 * TABLE_BYTES) ^
    load<u32>((word >>> 14) & 0x3fc, TABLES_AT + 5 * TABLE_BYTES) ^
    load<u32>((word >>> 22) & 0x3fc, TABLES_AT + 4 * TABLE_BYTES)
  );
}
@inline function fourBytes0(word: u32): u32 {
  return (
    load<u32>((word << 2) & 0x3fc, TABLES_AT + 3 * TABLE_BYTES) ^
    load<u32>((word >>> 6) & 0x3fc, TABLES_AT + 2 * TABLE_BYTES) ^
    load<u32>((word >>> 14) & 0x3fc, TABLES_AT + TABLE_BYTES) ^
    load<u32>((word >>> 22) & 0x3fc, TABLES_AT)
  );
}

@inline function oneByte(register: u32, byte: u32): u32 {
  return (register >>> 8) ^ load<u32>(((register ^ byte) << 2) & 0x3fc, TABLES_AT);
}

/** The register after `bytes` bytes at `from`, copied to `to` in the same pass if `copies` (a constant where it is inlined). */
@inline export function registerAfter(register: u32, from: u32, byteCount: u32, to: u32, copies: bool): u32 {
  if (byteCount >= NATIVE_FROM_BYTES) {
    if (copies) memory.copy(to, from, byteCount);
    return ~nativeCrc32(from, from + byteCount, ~register);
  }
  const end = from + byteCount;
  const blocksEnd = from + (byteCount & ~15);
  let at = from;
  let out = to;
  for (; at < blocksEnd; at += 16) {
    const word = load<u32>(at) ^ register;
    register =
      fourBytes12(word) ^ fourBytes8(load<u32>(at, 4)) ^ fourBytes4(load<u32>(at, 8)) ^ fourBytes0(load<u32>(at, 12));
    if (copies) {
      v128.store(out, v128.load(at));
      out += 16;
    }
  }
  if (byteCount & 8) {
    register = fourBytes4(load<u32>(at) ^ register) ^ fourBytes0(load<u32>(at, 4));
    if (copies) {
      store<u64>(out, load<u64>(at));
      out += 8;
    }
    at += 8;
  }
  if (byteCount & 4) {
    const word = load<u32>(at);
    register = fourBytes0(word ^ register);
    if (copies) {
      store<u32>(out, word);
      out += 4;
    }
    at += 4;
  }
  for (; at < end; at++) {
    const byte = load<u8>(at);
    register = oneByte(register, byte);
    if (copies) {
      store<u8>(out, byte);
      out++;
    }
  }
  return register;
}

/** What Offset (its low word) and Length, which eight bytes of timestamp follow, do to the register. */
@inline export function offsetAndLength(offsetLow: u32, lengthField: u32): u32 {
  return fourBytes12(bswap<u32>(offsetLow)) ^ fourBytes8(bswap<u32>(lengthField));
}

/** The register after Offset ‖ Length ‖ Timestamp where the low word of Offset and Length are zero: the rest is XORed to it. */
export function frameRegister(offsetHigh: u32, timestamp: u64): u32 {
  let register: u32 = 0xffffffff;
  for (let shift = 24; shift >= 0; shift -= 8) register = oneByte(register, (offsetHigh >>> shift) & 0xff);
  for (let zero = 0; zero < 8; zero++) register = oneByte(register, 0);
  for (let shift: u64 = 64; shift > 0;) {
    shift -= 8;
    register = oneByte(register, <u32>(timestamp >>> shift) & 0xff);
  }
  return register;
}

/** CRC-32 of the 20 bytes at `at`. */
@inline export function crc32Of20(at: u32): u32 {
  let register: u32 = 0xffffffff;
  const word = load<u32>(at) ^ register;
  register = fourBytes12(word) ^ fourBytes8(load<u32>(at, 4)) ^ fourBytes4(load<u32>(at, 8)) ^ fourBytes0(load<u32>(at, 12));
  return ~fourBytes0(load<u32>(at, 16) ^ register);
}
