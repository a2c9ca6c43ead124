/**
 * 64-bit integers as JavaScript numbers. Everything here that leaves the safe range becomes ±Infinity, never a rounded
 * neighbour, so that a comparison with any limit refuses it.
 */

export function readInt64(bytes: Buffer, at: number): number {
  return safe(bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4));
}

export function readUInt64(bytes: Buffer, at: number): number {
  return safe(bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4));
}

/** Writes a safe integer, of either sign. */
export function writeInt64(bytes: Buffer, value: number, at: number): void {
  bytes.writeInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}

function safe(value: number): number {
  return Number.isSafeInteger(value) ? value : value < 0 ? -Infinity : Infinity;
}
