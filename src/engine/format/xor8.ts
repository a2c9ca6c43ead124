/**
 * The checksum of the Java FastQueue2: the XOR of the payload's bytes, each extended to 32 bits with its sign. It covers
 * neither the header nor the offset. Read only: nothing writes it any more.
 */

/** An unsigned 32-bit number, as it stands in the frame. */
export function xor8(payload: Uint8Array): number {
  let folded = 0;
  for (const byte of payload) folded ^= byte;
  return ((folded << 24) >> 24) >>> 0;
}
