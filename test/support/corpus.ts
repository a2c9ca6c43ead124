/**
 * The damaged corpus in fixtures/: for every damage a data directory with one topic of three small segments, and what
 * must be said of it. Made from the format alone, byte for byte the same every time. `npm run fixtures` writes it.
 */
import { encodeFrame, FRAME_KIND } from '../../src/engine/format/frame.ts';
import { encodeHighWatermark, type HighWatermark } from '../../src/engine/format/high-watermark.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from '../../src/engine/format/index-entry.ts';
import { writeInt64 } from '../../src/engine/format/big-endian.ts';

/** A range of offsets, the second excluded. */
type Range = readonly [number, number];

export interface ExpectedFinding {
  readonly code: string;
  /** In the topic's directory. */
  readonly file: string;
  readonly position: number | null;
  readonly bytes: number | null;
  readonly lost: readonly Range[];
}

/** What the real command must say. */
export interface Expected {
  readonly description: string;
  readonly verify: { readonly exitStatus: number; readonly findings: readonly ExpectedFinding[] };
  readonly recover: { readonly exitStatus: number; readonly lost: readonly Range[] };
  /** Exit status and finding codes of inspect-segment for the topic's directory. */
  readonly inspect: { readonly exitStatus: number; readonly codes: readonly string[] };
}

/** Of files of the Java FastQueue2, which only inspect-segment reads. */
export interface ExpectedJava {
  readonly description: string;
  readonly inspect: readonly {
    readonly file: string;
    readonly exitStatus: number;
    readonly baseOffset: number;
    readonly records: number;
    readonly codes: readonly string[];
    readonly index: Readonly<Record<string, number>> | null;
  }[];
}

const TOPIC = 'data/orders';
const FIRST_TIME = 1_700_000_000_000;
const BASES = [0, 6, 12] as const;
const END = 17;
const INDEX_INTERVAL_BYTES = 256;

const nameOf = (base: number, suffix: string): string => `${String(base).padStart(20, '0')}.${suffix}`;
const [A, B, C] = BASES.map((base) => nameOf(base, 'store')) as [string, string, string];
const MARK = 'high-watermark';

const timeOf = (offset: number): number => FIRST_TIME + 1000 * Math.floor(offset / 2);
const payloadOf = (offset: number): Buffer =>
  Buffer.from(`order ${offset}: `.padEnd(120 + ((offset * 13) % 37), 'abcdefghij'));

type Files = Map<string, Buffer | undefined>;

function frames(from: number, to: number, payload: (offset: number) => Buffer): Buffer[] {
  return Array.from({ length: to - from }, (_, number) => {
    const bytes = payload(from + number);
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

const segmentFrames = (payload: (offset: number) => Buffer = payloadOf): Buffer[][] =>
  BASES.map((base, number) => frames(base, BASES[number + 1] ?? END, payload));

const markOf = (change: Partial<HighWatermark>, activeBytes: number): Buffer =>
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
function healthy(payload?: (offset: number) => Buffer): Files {
  const segments = segmentFrames(payload);
  const files: Files = new Map();
  segments.forEach((list, number) => {
    const base = BASES[number] as number;
    files.set(nameOf(base, 'store'), Buffer.concat(list));
    files.set(nameOf(base, 'index'), indexOf(base, list));
  });
  files.set(MARK, markOf({}, Buffer.concat(segments[2] as Buffer[]).length));
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

interface Case {
  readonly description: string;
  readonly change: (files: Files) => void;
  readonly findings: readonly ExpectedFinding[];
  /** Findings of inspect-segment where they are not those of stores above. */
  readonly inspected?: readonly string[];
}

const SEGMENTS = segmentFrames();
const positionsOf = (list: readonly Buffer[]): number[] =>
  list.reduce<number[]>((all, frame) => [...all, (all.at(-1) ?? 0) + frame.length], [0]);
const [AT_B, AT_C] = [positionsOf(SEGMENTS[1] as Buffer[]), positionsOf(SEGMENTS[2] as Buffer[])] as [
  number[],
  number[],
];
const at = (positions: readonly number[], number: number): number => positions[number] as number;
const lengthOf = (positions: readonly number[], number: number): number =>
  at(positions, number + 1) - at(positions, number);

const finding = (
  code: string,
  file: string,
  place?: { position: number; bytes: number },
  lost: readonly Range[] = [],
): ExpectedFinding => ({
  code,
  file,
  position: place?.position ?? null,
  bytes: place?.bytes ?? null,
  lost,
});

const frameB = (number: number, count = 1): { position: number; bytes: number } => ({
  position: at(AT_B, number),
  bytes: at(AT_B, number + count) - at(AT_B, number),
});

function edit(name: string, how: (bytes: Buffer) => Buffer): (files: Files) => void {
  return (files) => files.set(name, how(Buffer.from(files.get(name) as Buffer)));
}

const flip =
  (position: number, bit: number) =>
  (bytes: Buffer): Buffer => {
    bytes[position] = (bytes[position] as number) ^ bit;
    return bytes;
  };

const splice =
  (position: number, removedBytes: number, ...inserted: Buffer[]) =>
  (bytes: Buffer): Buffer =>
    Buffer.concat([bytes.subarray(0, position), ...inserted, bytes.subarray(position + removedBytes)]);

const foreign = (byteCount: number): Buffer => Buffer.alloc(byteCount, 'these bytes are nobody’s. ');

const frameOf = (segment: number, number: number): Buffer =>
  (SEGMENTS[segment] as Buffer[])[number] as Buffer;

const CASES: Readonly<Record<string, Case>> = {
  healthy: { description: 'Nothing is damaged.', change: () => undefined, findings: [] },
  'torn-tail': {
    description: 'A writer died in the middle of a write: half a frame lies behind the high-water mark.',
    change: edit(C, (bytes) => Buffer.concat([bytes, frameOf(1, 0).subarray(0, 60)])),
    findings: [finding('torn_tail', C, { position: AT_C.at(-1) as number, bytes: 60 })],
    inspected: ['incomplete_frame'],
  },
  'flipped-bit': {
    description: 'One bit of the payload of offset 8, in a sealed segment.',
    change: edit(B, flip(at(AT_B, 2) + 40, 4)),
    findings: [finding('bad_checksum', B, frameB(2), [[8, 9]])],
  },
  'flipped-length': {
    description: 'One bit of the Length of offset 8: where the frame ends is lost.',
    change: edit(B, flip(at(AT_B, 2) + 2, 2)),
    findings: [finding('bad_length', B, frameB(2), [[8, 9]])],
  },
  'flipped-last-length': {
    description: 'One bit of the Length of the last record of the log.',
    change: edit(C, flip(at(AT_C, 4) + 2, 2)),
    findings: [finding('missing_tail', C, { position: at(AT_C, 4), bytes: lengthOf(AT_C, 4) }, [[16, 17]])],
    inspected: ['incomplete_frame', 'missing_tail'],
  },
  'zeroed-block': {
    description: 'A block of 512 bytes reads as zeros.',
    change: edit(B, (bytes) => bytes.fill(0, 100, 612)),
    findings: [finding('bad_length', B, frameB(0, 5), [[6, 11]])],
  },
  'two-holes-no-index': {
    description: 'Two records of one segment are damaged, the bounds of both lost, and every index is gone.',
    change: (files) => {
      edit(B, flip(at(AT_B, 0) + 2, 2))(files);
      edit(B, flip(at(AT_B, 3) + 2, 2))(files);
      for (const base of BASES) files.set(nameOf(base, 'index'), undefined);
    },
    findings: [
      ...BASES.map((base) => finding('index_missing', nameOf(base, 'index'))),
      finding('bad_length', B, frameB(0), [[6, 7]]),
      finding('bad_length', B, frameB(3), [[9, 10]]),
    ],
  },
  'frame-removed': {
    description: 'The frame of offset 8 was cut out; those behind it moved up.',
    change: edit(B, splice(at(AT_B, 2), lengthOf(AT_B, 2))),
    findings: [finding('bad_length', B, { position: at(AT_B, 2), bytes: 0 }, [[8, 9]])],
  },
  'frame-doubled': {
    description: 'The frame of offset 8 stands there twice.',
    change: edit(B, splice(at(AT_B, 3), 0, frameOf(1, 2))),
    findings: [finding('foreign_bytes', B, { position: at(AT_B, 3), bytes: lengthOf(AT_B, 2) })],
  },
  'frames-swapped': {
    description: 'The frames of offsets 8 and 9 changed places.',
    change: edit(B, splice(at(AT_B, 2), frameB(2, 2).bytes, frameOf(1, 3), frameOf(1, 2))),
    findings: [finding('misplaced_frames', B, frameB(2, 2))],
    inspected: ['bad_length'],
  },
  'foreign-bytes': {
    description: '40 bytes that are no frame stand between two frames.',
    change: edit(B, splice(at(AT_B, 2), 0, foreign(40))),
    findings: [finding('foreign_bytes', B, { position: at(AT_B, 2), bytes: 40 })],
  },
  'foreign-few': {
    description: '3 bytes stand between two frames: too few for a frame, so the segment is written again.',
    change: edit(B, splice(at(AT_B, 2), 0, foreign(3))),
    findings: [finding('foreign_bytes', B, { position: at(AT_B, 2), bytes: 3 })],
  },
  'segment-removed': {
    description: 'The store in the middle is gone.',
    change: (files) => files.set(B, undefined),
    findings: [finding('missing_segment', B, undefined, [[6, 12]])],
    inspected: ['missing_tail'],
  },
  'segment-emptied': {
    description: 'The store in the middle has no bytes.',
    change: (files) => files.set(B, Buffer.alloc(0)),
    findings: [finding('missing_segment', B, undefined, [[6, 12]]), finding('leftover', B)],
    inspected: ['missing_tail'],
  },
  'segments-exchanged': {
    description: 'The first two stores bear each other’s names.',
    change: (files) => {
      const [first, second] = [files.get(A), files.get(B)];
      files.set(A, second).set(B, first);
    },
    findings: [finding('misplaced_frames', A), finding('misplaced_frames', B)],
    // One store alone cannot tell whether its first frames are missing or it bears another's name.
    inspected: ['bad_length', 'misplaced_frames'],
  },
  'first-segment-removed': {
    description: 'The first store is gone, though retention has removed nothing.',
    change: (files) => files.set(A, undefined),
    findings: [finding('missing_segment', A, undefined, [[0, 6]])],
    inspected: [],
  },
  'tail-missing': {
    description: 'The active store was cut in the middle of offset 15: acknowledged records are missing.',
    change: edit(C, (bytes) => bytes.subarray(0, at(AT_C, 3) + 50)),
    findings: [finding('missing_tail', C, { position: at(AT_C, 3), bytes: 50 }, [[15, 17]])],
    inspected: ['incomplete_frame', 'missing_tail'],
  },
  'mark-missing': {
    description: 'There is no high-water mark.',
    change: (files) => files.set(MARK, undefined),
    findings: [finding('mark_unsound', MARK)],
  },
  'mark-damaged': {
    description: 'One bit of the high-water mark.',
    change: edit(MARK, flip(20, 1)),
    findings: [finding('mark_unsound', MARK)],
  },
  'mark-stale': {
    description: 'The high-water mark is of two records ago.',
    change: (files) =>
      files.set(MARK, markOf({ nextOffset: 15, position: at(AT_C, 3), timestamp: timeOf(14) }, 0)),
    findings: [
      finding('torn_tail', C, { position: at(AT_C, 3), bytes: (AT_C.at(-1) as number) - at(AT_C, 3) }),
    ],
  },
  'mark-ahead': {
    description: 'The high-water mark says that three more records were acknowledged.',
    change: (files) =>
      files.set(MARK, markOf({ nextOffset: 20, position: (AT_C.at(-1) as number) + 400 }, 0)),
    findings: [finding('missing_tail', C, { position: AT_C.at(-1) as number, bytes: 0 }, [[17, 20]])],
    inspected: ['missing_tail'],
  },
  'settings-missing': {
    description: 'There is no topic.json.',
    change: (files) => files.set('topic.json', undefined),
    findings: [finding('topic_settings', 'topic.json')],
  },
  'index-missing': {
    description: 'The index of a sealed segment is gone.',
    change: (files) => files.set(nameOf(6, 'index'), undefined),
    findings: [finding('index_missing', nameOf(6, 'index'))],
  },
  'index-zeros': {
    description: 'The index of a sealed segment reads as zeros.',
    change: edit(nameOf(6, 'index'), (bytes) => bytes.fill(0)),
    findings: [finding('index_unsound', nameOf(6, 'index'))],
  },
  'index-of-another': {
    description: 'A sealed segment has the index of the one before it.',
    change: (files) => files.set(nameOf(6, 'index'), files.get(nameOf(0, 'index'))),
    findings: [finding('index_contradicts', nameOf(6, 'index'))],
  },
  'unknown-file': {
    description: 'A file that is no part of a log, and one that interrupted work left.',
    change: (files) => {
      files.set('notes.txt', Buffer.from('not mine\n'));
      files.set('topic.json.tmp-0000', Buffer.alloc(0));
    },
    findings: [finding('unknown_file', 'notes.txt'), finding('leftover', 'topic.json.tmp-0000')],
  },
};

const NOTES = new Set([
  'torn_tail',
  'index_missing',
  'index_unsound',
  'index_contradicts',
  'unknown_file',
  'leftover',
]);

function joined(ranges: readonly Range[]): Range[] {
  const all: [number, number][] = [];
  for (const [from, to] of ranges) {
    const last = all.at(-1);
    if (last?.[1] === from) last[1] = to;
    else all.push([from, to]);
  }
  return all;
}

function expectedOf({ description, findings, inspected }: Case): Expected {
  const errors = findings.filter(({ code }) => !NOTES.has(code));
  const lost = joined(findings.flatMap((each) => each.lost));
  const stores = findings.filter(({ code, file }) => file.endsWith('.store') && code !== 'leftover');
  const codes = inspected ?? stores.map(({ code }) => code).filter((code) => !NOTES.has(code));
  const isDamaged = codes.some((code) => code !== 'torn_tail' && code !== 'incomplete_frame');
  return {
    description,
    verify: { exitStatus: errors.length > 0 ? 3 : 0, findings },
    recover: { exitStatus: lost.length > 0 ? 4 : 0, lost },
    inspect: { exitStatus: isDamaged ? 3 : 0, codes },
  };
}

const json = (value: object): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

/** A frame as the Java FastQueue2 writes it: the checksum is the XOR of the payload's sign-extended bytes. */
function javaFrame(text: string, timestamp: number): Buffer {
  const payload = Buffer.from(text, 'latin1');
  const frame = Buffer.alloc(16 + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  writeInt64(frame, timestamp, 4);
  let sum = 0;
  for (let byte = 0; byte < payload.length; byte++) sum ^= payload.readInt8(byte);
  frame.writeInt32BE(sum, 12);
  payload.copy(frame, 16);
  return frame;
}

/** Zeros first and last, as that version left them, and one entry a frame in between. */
function javaIndex(base: number, list: readonly Buffer[]): Buffer {
  const entries = list.map((frame, number) => {
    const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
    writeInt64(entry, base + number, 0);
    writeInt64(entry, at(positionsOf(list), number), 8);
    entry.writeUInt32BE(frame.length - 16, 16);
    return entry;
  });
  const zeros = Buffer.alloc(INDEX_ENTRY_BYTES);
  return Buffer.concat([zeros, ...entries, zeros]);
}

function addJava(corpus: Map<string, Buffer>): void {
  const texts = ['the first', 'the second, with ÿ and \u0080', '', 'a longer one '.repeat(9), 'the last'];
  const list = texts.map((text, number) => javaFrame(text, FIRST_TIME + number));
  const damaged = flip(at(positionsOf(list), 1) + 18, 1)(Buffer.concat(list));
  const files: [name: string, bytes: Buffer, base: number, codes: string[]][] = [
    ['segment-3.store', Buffer.concat(list), 3, []],
    [nameOf(8, 'store'), Buffer.concat(list), 8, []],
    [nameOf(13, 'log'), Buffer.concat(list), 13, []],
    ['segment-18.store', damaged, 18, ['bad_checksum']],
  ];
  const inspect = files.map(([file, bytes, baseOffset, codes]) => {
    corpus.set(`java-fastqueue2/${file}`, bytes);
    corpus.set(`java-fastqueue2/${file.replace(/\.\w+$/, '.index')}`, javaIndex(baseOffset, list));
    return {
      file,
      exitStatus: codes.length > 0 ? 3 : 0,
      baseOffset,
      records: texts.length - codes.length,
      codes,
      index: { sound: texts.length, zero: 2 },
    };
  });
  const description = 'Files of the Java FastQueue2, read with inspect-segment --checksum xor8.';
  corpus.set('java-fastqueue2/expected.json', json({ description, inspect } satisfies ExpectedJava));
}

function readme(): Buffer {
  const rows = Object.entries(CASES).map(([name, { description }]) => `- \`${name}\`: ${description}`);
  return Buffer.from(
    `# A damaged corpus

One folder a damage. \`data\` in it is a data directory with one topic, \`orders\`: 17 records in three segments. What
\`fastqueue verify\`, \`recover\` and \`inspect-segment\` must say of it is in \`expected.json\`: exit statuses, findings with
file, byte and offsets (\`lost\` as pairs, the second excluded). Try one on a copy:

    cp -r fixtures/flipped-bit /tmp/ && fastqueue verify -d /tmp/flipped-bit/data

Everything here is made by \`npm run fixtures\` from test/support/corpus.ts; a test fails where making it again changes a byte.

${rows.join('\n')}
- \`java-fastqueue2\`: Files of the Java FastQueue2, under each of its names, one of them damaged; their indexes hold zero
  entries first and last.
`,
  );
}

/** Names of the folders that hold a damaged data directory. */
export const CORPUS_CASES = Object.keys(CASES);

/** Every file of the corpus, by its path in fixtures/. */
export function makeCorpus(): Map<string, Buffer> {
  const corpus = new Map<string, Buffer>([['README.md', readme()]]);
  for (const [name, each] of Object.entries(CASES)) {
    const files = healthy();
    each.change(files);
    for (const [file, bytes] of files) if (bytes !== undefined) corpus.set(`${name}/${TOPIC}/${file}`, bytes);
    corpus.set(`${name}/expected.json`, json(expectedOf(each)));
  }
  addJava(corpus);
  return corpus;
}
