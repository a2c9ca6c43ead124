/**
 * The log that every damage of the corpus is done to: 17 records in three small segments A, B and C, made from the
 * format alone, byte for byte the same every time.
 */
import { encodeFrame, FRAME_KIND } from '../../../src/engine/format/frame.ts';
import { encodeHighWatermark, type HighWatermark } from '../../../src/engine/format/high-watermark.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from '../../../src/engine/format/index-entry.ts';

export const FIRST_TIME = 1_700_000_000_000;
export const BASES = [0, 6, 12] as const;
const END = 17;
const INDEX_INTERVAL_BYTES = 256;

export const nameOf = (base: number, suffix: string): string => `${String(base).padStart(20, '0')}.${suffix}`;
export const [A, B, C] = BASES.map((base) => nameOf(base, 'store')) as [string, string, string];
export const MARK = 'high-watermark';

export const timeOf = (offset: number): number => FIRST_TIME + 1000 * Math.floor(offset / 2);
const payloadOf = (offset: number): Buffer =>
  Buffer.from(`order ${offset}: `.padEnd(120 + ((offset * 13) % 37), 'abcdefghij'));

/** The files of a topic by name; undefined where one is not there. */
export type Files = Map<string, Buffer | undefined>;

function frames(from: number, to: number): Buffer[] {
  return Array.from({ length: to - from }, (_, number) => {
    const bytes = payloadOf(from + number);
    const frame = Buffer.alloc(16 + bytes.length);
    const [kind, offset] = [FRAME_KIND.record, from + number];
    encodeFrame(frame, 0, { kind, offset, timestamp: timeOf(offset), payload: bytes });
    return frame;
  });
}

function indexOf(base: number, list: readonly Buffer[]): Buffer {
  const entries: Buffer[] = [];
  let [position, next] = [0, 0];
  list.forEach((frame, number) => {
    if (position >= next) {
      const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
      encodeIndexEntry(entry, 0, { offset: base + number, position, lengthField: frame.length - 16 });
      entries.push(entry);
      next = position + INDEX_INTERVAL_BYTES;
    }
    position += frame.length;
  });
  return Buffer.concat(entries);
}

/** The frames of each segment. */
export const SEGMENTS: readonly (readonly Buffer[])[] = BASES.map((base, number) =>
  frames(base, BASES[number + 1] ?? END),
);

export const markOf = (change: Partial<HighWatermark>, activeBytes: number): Buffer =>
  encodeHighWatermark({
    nextOffset: END,
    baseOffset: 12,
    position: activeBytes,
    timestamp: timeOf(END - 1),
    startOffset: 0,
    generation: FIRST_TIME,
    flags: 0,
    ...change,
  });

/** The healthy topic, by name in its directory. */
export function healthy(): Files {
  const files: Files = new Map();
  SEGMENTS.forEach((list, number) => {
    const base = BASES[number] as number;
    files.set(nameOf(base, 'store'), Buffer.concat(list));
    files.set(nameOf(base, 'index'), indexOf(base, list));
  });
  files.set(MARK, markOf({}, Buffer.concat(SEGMENTS[2]!).length));
  const settings = {
    segmentBytes: 1024,
    indexIntervalBytes: INDEX_INTERVAL_BYTES,
    retentionAgeMs: 0,
    retentionBytes: 0,
  };
  const id = '00000000-0000-4000-8000-000000000000';
  const document = { format: 1, id, created: new Date(FIRST_TIME).toISOString(), settings };
  files.set('topic.json', Buffer.from(`${JSON.stringify(document)}\n`));
  return files;
}

/** Where each frame begins, and where the last one ends. */
export const positionsOf = (list: readonly Buffer[]): number[] =>
  list.reduce<number[]>((all, frame) => [...all, (all.at(-1) ?? 0) + frame.length], [0]);
export const [AT_B, AT_C] = [positionsOf(SEGMENTS[1]!), positionsOf(SEGMENTS[2]!)] as [number[], number[]];
export const at = (positions: readonly number[], number: number): number => positions[number] as number;
export const lengthOf = (positions: readonly number[], number: number): number =>
  at(positions, number + 1) - at(positions, number);
