/** The damages of the corpus: what each one changes in the healthy log, and what verify must find. */
import type { ExpectedFinding, Findings, Range } from './expected.ts';
import {
  A,
  at,
  AT_B,
  AT_C,
  B,
  BASES,
  C,
  lengthOf,
  MARK,
  markOf,
  nameOf,
  SEGMENTS,
  timeOf,
  type Files,
} from './healthy-log.ts';

interface Damage extends Findings {
  readonly change: (files: Files) => void;
}

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

/** Changes the bits of `bit` in one byte. */
export const flip =
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

const frameOf = (segment: number, number: number): Buffer => SEGMENTS[segment]![number]!;

/** By the name of the folder. */
export const DAMAGES: Readonly<Record<string, Damage>> = {
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
    findings: [finding('missing_segment', B, undefined, [[6, 12]])],
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
