/**
 * `inspect-segment`: what is in one store or index, wherever it lies. Reads only and takes no lock; what it says is of
 * the bytes alone, so a live file may end in the middle of a frame.
 */
import { basename, dirname, join } from 'node:path';
import { FastQueueError } from '../errors.ts';
import { classifyTopicFile, HIGH_WATERMARK_FILE } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { findBase, type SegmentBase } from './base.ts';
import type { ChecksumName } from './checks.ts';
import { walkStore, type HoleStep, type InspectedFrame } from './walk.ts';
import type { FileHandle, FileSystem } from '../io/file-system.ts';
import { NodeFileSystem } from '../io/node-file-system.ts';
import { sharedKernel } from '../kernel/index.ts';
import { peekMark } from '../mark-file.ts';
import { addRow, numberAt, numberRows } from '../number-rows.ts';
import { joined, sequence, type Sequence } from '../sequence.ts';
import type { TopicContext } from '../topic-directory.ts';

export interface InspectOptions {
  readonly checksum: ChecksumName;
  /** For tests: the disk to read from. */
  readonly fileSystem?: FileSystem;
}

export interface InspectFinding {
  readonly code:
    | HoleStep['code']
    | 'missing_tail'
    | 'overlapping_segments'
    | 'misplaced_frames'
    | 'torn_tail'
    | 'incomplete_frame';
  readonly severity: 'note' | 'error';
  readonly position: number;
  readonly bytes: number;
  /** Offsets that cannot be read; `to` excluded. */
  readonly lost: readonly { from: number; to: number }[];
  readonly message: string;
}

export interface StoreReport {
  readonly path: string;
  readonly base: SegmentBase;
  readonly nextOffset: number;
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly gapCount: number;
  readonly controlCount: number;
  /** Offsets that gaps stand for. */
  readonly gapOffsetCount: number;
  readonly payloadBytes: number;
  readonly smallestPayloadBytes: number | undefined;
  readonly largestPayloadBytes: number | undefined;
  /** Milliseconds since 1970. */
  readonly firstTimestamp: number | undefined;
  readonly lastTimestamp: number | undefined;
  readonly state: 'active' | 'sealed' | 'alone';
  /** Those of damage are put into words when somebody goes through them: there may be very many. */
  readonly findings: Sequence<InspectFinding>;
}

/** A stretch of frames or a hole, as it comes. */
export type StoreStep = { readonly type: 'frames'; readonly frames: readonly InspectedFrame[] } | HoleStep;

/** The stores and indexes that a path names: itself, or those in a directory, sorted. */
export function inspectablePaths(path: string, options: { fileSystem?: FileSystem } = {}): string[] {
  const fileSystem = options.fileSystem ?? new NodeFileSystem({ map: false });
  const status = fileSystem.status(path);
  if (status === undefined) {
    throw new FastQueueError('io_error', `There is no file or directory ${path}.`, { path, errno: 'ENOENT' });
  }
  if (!status.isDirectory) return [path];
  const names = (fileSystem.list(path) ?? []).filter((name) => /\.(store|log)$/.test(name));
  if (names.length > 0) return names.map((name) => join(path, name));
  throw new FastQueueError(
    'invalid_argument',
    `The directory ${path} holds no .store file. Name a topic's directory.`,
    {
      path,
    },
  );
}

/** One store being read. Take the steps to their end, then the report; close it. */
export class StoreInspection {
  readonly path: string;
  readonly base: SegmentBase;
  readonly #context: TopicContext;
  readonly #file: FileHandle;
  readonly #options: InspectOptions;
  readonly #sizeBytes: number;
  readonly #mark: HighWatermark | undefined;
  readonly #endOffset: number | undefined;
  /** Before and behind those of the holes. */
  readonly #findings: { readonly ofBase: InspectFinding[]; readonly ofEnd: InspectFinding[] } = {
    ofBase: [],
    ofEnd: [],
  };
  /** Code, position, end position, offset, next offset. */
  readonly #holes = numberRows(5);
  readonly #counts = { record: 0, gap: 0, control: 0, gapOffsets: 0, payloadBytes: 0 };
  #smallest = Infinity;
  #largest = -Infinity;
  #firstTimestamp: number | undefined;
  #lastTimestamp: number | undefined;
  #nextOffset: number;

  constructor(path: string, options: InspectOptions) {
    const fileSystem = options.fileSystem ?? new NodeFileSystem({ map: false });
    const directory = dirname(path);
    this.path = path;
    this.#options = options;
    this.#context = { fileSystem, kernel: sharedKernel(), directory, topic: basename(directory) };
    // The mark first: a writer may move both while they are looked at, and the bytes are never behind their mark.
    const mark = readMarkBeside(fileSystem, directory);
    this.#file = fileSystem.open(path, 'read');
    this.#sizeBytes = this.#file.status().sizeBytes;
    this.base = findBase(this.#file, options.checksum, this.#sizeBytes);
    this.#nextOffset = this.base.baseOffset;
    const isNamed = this.#isNamed();
    this.#mark = isNamed ? mark : undefined;
    this.#endOffset = isNamed ? this.#nextBase() : undefined;
  }

  /** Every frame and every hole, in order. What a step shows is valid until the next is asked for. */
  *steps(): Generator<StoreStep, void, undefined> {
    const request = {
      file: this.#file,
      checksum: this.#options.checksum,
      baseOffset: this.base.baseOffset,
      endPosition: this.#sizeBytes,
      endOffset: this.#endOffset,
      hasIndex: this.#isNamed(),
    };
    this.#noteBase();
    for (const step of walkStore(this.#context, request)) {
      if (step.type === 'frames') {
        this.#count(step.frames);
        yield step;
      } else if (step.type === 'hole') {
        this.#noteHole(step);
        yield step;
      } else {
        this.#nextOffset = step.nextOffset;
        if (step.isIncomplete) this.#noteIncomplete(step.position);
        this.#noteEnd(step.position);
      }
    }
  }

  report(): StoreReport {
    const { record, gap, control, gapOffsets, payloadBytes } = this.#counts;
    const isActive = this.#mark?.baseOffset === this.base.baseOffset;
    const unnamed = this.#mark === undefined && this.#endOffset === undefined ? 'alone' : 'sealed';
    return {
      path: this.path,
      base: this.base,
      nextOffset: this.#nextOffset,
      sizeBytes: this.#sizeBytes,
      recordCount: record,
      gapCount: gap,
      controlCount: control,
      gapOffsetCount: gapOffsets,
      payloadBytes,
      smallestPayloadBytes: record === 0 ? undefined : this.#smallest,
      largestPayloadBytes: record === 0 ? undefined : this.#largest,
      firstTimestamp: this.#firstTimestamp,
      lastTimestamp: this.#lastTimestamp,
      state: isActive ? 'active' : unnamed,
      findings: joined([
        this.#findings.ofBase,
        sequence(this.#holes.length, () => this.#holeFindings()),
        this.#findings.ofEnd,
      ]),
    };
  }

  close(): void {
    this.#file.close();
  }

  #isNamed(): boolean {
    return (
      this.base.source === 'name' &&
      this.#options.checksum === 'crc32' &&
      classifyTopicFile(basename(this.path)).type === 'store'
    );
  }

  #nextBase(): number | undefined {
    const bases = (this.#context.fileSystem.list(this.#context.directory) ?? [])
      .map((name) => classifyTopicFile(name))
      .flatMap((file) =>
        file.type === 'store' && file.baseOffset > this.base.baseOffset ? [file.baseOffset] : [],
      );
    return bases.length === 0 ? undefined : Math.min(...bases);
  }

  #count(frames: readonly InspectedFrame[]): void {
    for (const { kind, header, offset, offsetCount } of frames) {
      this.#counts[kind] += 1;
      this.#firstTimestamp ??= header.timestamp;
      this.#lastTimestamp = header.timestamp;
      this.#nextOffset = offset + offsetCount;
      if (kind === 'gap') this.#counts.gapOffsets += offsetCount;
      if (kind !== 'record') continue;
      this.#counts.payloadBytes += header.payloadBytes;
      this.#smallest = Math.min(this.#smallest, header.payloadBytes);
      this.#largest = Math.max(this.#largest, header.payloadBytes);
    }
  }

  #noteBase(): void {
    const { namedOffset, baseOffset, source } = this.base;
    if (source !== 'checksums' || namedOffset === undefined) return;
    const message = `The file is named for offset ${namedOffset}, and its frames check out from offset ${baseOffset}.`;
    this.#findings.ofBase.push(
      findingOf('misplaced_frames', { position: 0, bytes: this.#sizeBytes, message }),
    );
  }

  #noteHole({ code, position, endPosition, offset, nextOffset }: HoleStep): void {
    addRow(this.#holes, [HOLE_CODES.indexOf(code), position, endPosition, offset, nextOffset]);
  }

  *#holeFindings(): Generator<InspectFinding, void, undefined> {
    const markPosition = this.#mark?.baseOffset === this.base.baseOffset ? this.#mark.position : Infinity;
    for (let number = 0; number < this.#holes.length; number++) {
      const valueAt = (column: number): number => numberAt(this.#holes, number, column) as number;
      const [code, position, endPosition] = [valueAt(0), valueAt(1), valueAt(2)];
      const [offset, nextOffset] = [valueAt(3), valueAt(4)];
      const hole = { code: HOLE_CODES[code] as HoleStep['code'], offset, nextOffset };
      const bytes = endPosition - position;
      const lost = nextOffset > offset ? [{ from: offset, to: nextOffset }] : [];
      const tornSentence = `${bytes} bytes behind the high-water mark are no frames: a writer at work, or one that died. Nothing of it was acknowledged.`;
      yield position >= markPosition
        ? findingOf('torn_tail', { position, bytes, message: tornSentence })
        : findingOf(hole.code, { position, bytes, lost, message: holeSentence(hole) });
    }
  }

  #noteIncomplete(position: number): void {
    const bytes = this.#sizeBytes - position;
    this.#add('incomplete_frame', {
      position,
      bytes,
      message: `The file ends ${bytes} bytes into a frame, as a live file may.`,
    });
  }

  /** What the mark and the next store's name say about the end. */
  #noteEnd(position: number): void {
    const mark = this.#mark;
    if (mark?.baseOffset === this.base.baseOffset) {
      if (this.#nextOffset >= mark.nextOffset) return;
      const lost = [{ from: this.#nextOffset, to: mark.nextOffset }];
      const message = `The high-water mark says that the log goes on to byte ${mark.position}, before offset ${mark.nextOffset}.`;
      this.#add('missing_tail', { position, bytes: Math.max(0, mark.position - position), lost, message });
      return;
    }
    if (this.#endOffset === undefined || this.#endOffset === this.#nextOffset) return;
    if (this.#endOffset < this.#nextOffset) {
      const message = `This segment ends at offset ${this.#nextOffset}, and the next store begins at ${this.#endOffset}.`;
      this.#add('overlapping_segments', { position, bytes: 0, message });
      return;
    }
    const lost = [{ from: this.#nextOffset, to: this.#endOffset }];
    const message = `This segment ends at offset ${this.#nextOffset}, and the next store begins at ${this.#endOffset}: the rest was cut off, or a segment is missing.`;
    this.#add('missing_tail', { position, bytes: 0, lost, message });
  }

  #add(code: InspectFinding['code'], finding: NewFinding): void {
    this.#findings.ofEnd.push(findingOf(code, finding));
  }
}

/** By their numbers in rows. */
const HOLE_CODES: readonly HoleStep['code'][] = ['bad_checksum', 'bad_length', 'foreign_bytes'];

type NewFinding = Omit<InspectFinding, 'code' | 'severity' | 'lost'> & Partial<Pick<InspectFinding, 'lost'>>;

function findingOf(code: InspectFinding['code'], finding: NewFinding): InspectFinding {
  const severity = code === 'torn_tail' || code === 'incomplete_frame' ? 'note' : 'error';
  return { code, severity, lost: [], ...finding };
}

function holeSentence(hole: Pick<HoleStep, 'code' | 'offset' | 'nextOffset'>): string {
  switch (hole.code) {
    case 'bad_checksum':
      return `The frame of offset ${hole.offset} does not check out.`;
    case 'foreign_bytes':
      return `Bytes that are no frames; offset ${hole.offset} follows them, and none is missing.`;
    case 'bad_length':
      return hole.nextOffset === hole.offset
        ? `No frame of offset ${hole.offset} or later was found from here to the end.`
        : `Frame bounds are lost; the next good frame is of offset ${hole.nextOffset}.`;
  }
}

function readMarkBeside(fileSystem: FileSystem, directory: string): HighWatermark | undefined {
  const path = join(directory, HIGH_WATERMARK_FILE);
  if (fileSystem.status(path) === undefined) return undefined;
  const file = fileSystem.open(path, 'read');
  try {
    return peekMark(file);
  } finally {
    file.close();
  }
}
