/**
 * Unsigned LEB128 (DWARF 4, section 7.6), canonical form only, 0 … 2^53 − 1: the count of a gap frame.
 */
import { MAX_OFFSET } from '../limits.ts';

/** Largest encoding: 53 bits in groups of seven. */
export const MAX_LEB128_BYTES = 8;

export function encodeLeb128(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** `undefined` when the number is cut off, not canonical (a last group of zero), or above 2^53 − 1. */
export function decodeLeb128(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let group = 0; group < MAX_LEB128_BYTES; group++) {
    const byte = bytes[at + group];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * group);
    if (byte >= 0x80) continue;
    if (value > MAX_OFFSET || (byte === 0 && group > 0)) return undefined;
    return { value, end: at + group + 1 };
  }
  return undefined;
}
