/**
 * An independent reader of a topic's files, written from docs/FORMAT.md alone: it shares no code with src, so that what
 * both agree on is what the page says. Small logs only; every rule that is broken throws.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface StoredRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly payload: Buffer;
}

export interface StoredMark {
  readonly nextOffset: number;
  readonly baseOffset: number;
  readonly position: number;
  readonly timestamp: number;
  readonly startOffset: number;
  readonly flags: number;
}

/** CRC-32 bit by bit over the parts, as the polynomial is written. */
const TABLE = Array.from({ length: 256 }, (_, byte) => {
  let register = byte;
  for (let bit = 0; bit < 8; bit++)
    register = (register & 1) === 1 ? 0xedb88320 ^ (register >>> 1) : register >>> 1;
  return register >>> 0;
});

export function checksumOf(...parts: readonly Uint8Array[]): number {
  let register = 0xffffffff;
  for (const part of parts)
    for (const byte of part) register = (TABLE[(register ^ byte) & 0xff]! ^ (register >>> 8)) >>> 0;
  return (register ^ 0xffffffff) >>> 0;
}

const number64 = (bytes: Buffer, at: number): number => Number(bytes.readBigInt64BE(at));

export function readMarkFile(topicDirectory: string): StoredMark {
  const bytes = readFileSync(join(topicDirectory, 'high-watermark'));
  if (bytes.length !== 64) throw new Error(`the mark has ${bytes.length} bytes`);
  if (checksumOf(bytes.subarray(0, 60)) !== bytes.readUInt32BE(60))
    throw new Error('the mark does not check out');
  if (!bytes.subarray(52, 60).equals(Buffer.alloc(8)))
    throw new Error('the mark is not zero where it must be');
  return {
    nextOffset: number64(bytes, 0),
    baseOffset: number64(bytes, 8),
    position: number64(bytes, 16),
    timestamp: number64(bytes, 24),
    startOffset: number64(bytes, 32),
    flags: bytes.readUInt32BE(48),
  };
}

function readStore(
  bytes: Buffer,
  baseOffset: number,
): { records: StoredRecord[]; positions: Map<number, number> } {
  const records: StoredRecord[] = [];
  const positions = new Map<number, number>();
  const offsetBytes = Buffer.alloc(8);
  let lastTimestamp = -Infinity;
  for (let at = 0; at < bytes.length;) {
    const offset = baseOffset + records.length;
    const length = bytes.readUInt32BE(at);
    if (length >>> 28 !== 0) throw new Error(`kind ${length >>> 28} at byte ${at}`);
    const timestamp = number64(bytes, at + 4);
    const payload = bytes.subarray(at + 16, at + 16 + length);
    if (payload.length !== length) throw new Error(`the frame at byte ${at} is cut off`);
    offsetBytes.writeBigUInt64BE(BigInt(offset));
    if (checksumOf(offsetBytes, bytes.subarray(at, at + 12), payload) !== bytes.readUInt32BE(at + 12))
      throw new Error(`the frame at byte ${at} does not check out at offset ${offset}`);
    if (timestamp < lastTimestamp) throw new Error(`the time goes back at byte ${at}`);
    lastTimestamp = timestamp;
    positions.set(at, offset);
    records.push({ offset, timestamp, payload });
    at += 16 + length;
  }
  return { records, positions };
}

function checkIndex(
  path: string,
  store: Buffer,
  positions: Map<number, number>,
  intervalBytes: number,
): void {
  const bytes = readFileSync(path);
  let last: number | undefined;
  const named: number[] = [];
  for (let at = 0; at + 24 <= bytes.length; at += 24) {
    const entry = bytes.subarray(at, at + 24);
    if (checksumOf(entry.subarray(0, 20)) !== entry.readUInt32BE(20))
      throw new Error(`${path}: entry at ${at}`);
    const position = number64(entry, 8);
    if (positions.get(position) !== number64(entry, 0))
      throw new Error(`${path}: offset of the entry at ${at}`);
    if (store.readUInt32BE(position) !== entry.readUInt32BE(16)) throw new Error(`${path}: length at ${at}`);
    named.push(position);
  }
  named.forEach((position, at) => {
    if (at > 0 && position <= named[at - 1]!)
      throw new Error(`${path}: entry ${at} names ${position} after ${named[at - 1]!}`);
  });
  // Frames that a dead writer left and the next one adopted have no entries.
  if (intervalBytes === 0) return;
  const expected: number[] = [];
  for (const position of positions.keys()) {
    if (last !== undefined && position < last + intervalBytes) continue;
    expected.push(position);
    last = position;
  }
  if (expected.join() !== named.join())
    throw new Error(`${path}: entries ${named.join()}, expected ${expected.join()}`);
}

/** Every record of a topic of plain records, with every rule of the page checked. `index`: check the indexes too, for this interval, or 0: sound and ascending. */
export function readTopicFiles(topicDirectory: string, options: { index?: number } = {}): StoredRecord[] {
  const mark = readMarkFile(topicDirectory);
  const storeFile = (base: number): string => join(topicDirectory, `${String(base).padStart(20, '0')}.store`);
  const bases = readdirSync(topicDirectory)
    .filter((name) => /^\d{20}\.store$/.test(name))
    .map((name) => Number(name.slice(0, 20)))
    .filter((base) => base <= mark.baseOffset)
    // What a roll that was killed half-way leaves: an empty store that the mark does not name is no part of the log.
    .filter((base) => base === mark.baseOffset || statSync(storeFile(base)).size > 0);
  const all: StoredRecord[] = [];
  let nextOffset = mark.startOffset;
  for (const base of bases) {
    if (base !== nextOffset) throw new Error(`the segment ${base} does not begin at ${nextOffset}`);
    const file = readFileSync(storeFile(base));
    const store = base === mark.baseOffset ? file.subarray(0, mark.position) : file;
    if (base === mark.baseOffset && store.length < mark.position)
      throw new Error('the store ends before its mark');
    const { records, positions } = readStore(store, base);
    const indexPath = storeFile(base).replace(/store$/, 'index');
    if (options.index !== undefined && existsSync(indexPath))
      checkIndex(indexPath, store, positions, options.index);
    for (const record of records) all.push(record);
    nextOffset = base + records.length;
  }
  if (nextOffset !== mark.nextOffset)
    throw new Error(`the log ends at ${nextOffset}, its mark says ${mark.nextOffset}`);
  if ((all.at(-1)?.timestamp ?? 0) !== mark.timestamp) throw new Error('the mark has another timestamp');
  return all;
}
