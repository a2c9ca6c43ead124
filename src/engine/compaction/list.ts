/**
 * What compact looks at before it plans: every sealed segment of the log, read from end to end. Takes no lock and changes
 * nothing; what it says of a file holds under the generation that it names.
 */
import { setImmediate as letOthersRun, setTimeout as delay } from 'node:timers/promises';
import { FrameCompactor, type CompactGap, type FrameOutput, type FrameSource } from './frames.ts';
import { scanWhole } from './scan.ts';
import { commandLine } from '../command-line.ts';
import { FastQueueError } from '../errors.ts';
import { FRAME_HEADER_BYTES } from '../format/frame.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { SoundFrame } from '../frame-scanner.ts';
import type { FileHandle, FileStatus } from '../io/file-system.ts';
import { headerAt } from '../frame-header.ts';
import { IndexCheck } from '../index-check.ts';
import type { Region } from '../kernel/kernel.ts';
import { currentMark } from '../mark-file.ts';
import { isIndexFree } from '../offset-index.ts';
import { listSegments, openStoreIfThere, type LogSegment } from '../segment-list.ts';
import { storePath, type TopicContext } from '../topic-directory.ts';

/** Where the log is damaged. */
export interface DamagedPlace {
  readonly path: string;
  readonly position: number;
  /** Offset that was expected there. */
  readonly offset: number;
}

/** A sealed segment, read. */
export interface SealedSegment {
  readonly baseOffset: number;
  /** Base of the next segment. */
  readonly endOffset: number;
  readonly file: FileStatus;
  /** Bytes of the store without filler and padding. */
  readonly compactBytes: number;
  /** What it begins and ends with then, where that is a gap: the same one twice if that is all there is. */
  readonly firstGap: CompactGap | undefined;
  readonly lastGap: CompactGap | undefined;
  /** Milliseconds since 1970. */
  readonly firstTimestamp: number;
  readonly lastTimestamp: number;
  /** Where it is damaged, or does not meet the next; undefined where it is sound. */
  readonly damage: DamagedPlace | undefined;
  /** False where what is called its index is no file: then the segment stays as it is. */
  readonly isIndexFree: boolean;
  /** Every entry is right, and none is missing at the end. */
  readonly isIndexComplete: boolean;
}

export interface SealedList {
  readonly generation: number;
  /** In order. */
  readonly segments: readonly SealedSegment[];
  /** Damage that is in no segment: the log begins above its start offset. */
  readonly damage: DamagedPlace | undefined;
}

export interface ListSealedOptions {
  /** What the topic's settings say of its indexes. */
  readonly indexIntervalBytes: number;
  /** List as if the log began here: dropping what lies before is planned already. */
  readonly startOffset?: number | undefined;
  /** Told how many bytes of stores there are to read, then how many were read since it was told last. */
  readonly onTotal: (byteCount: number) => void;
  readonly onBytes: (byteCount: number) => void;
}

const MAX_ATTEMPTS = 20;

/**
 * Lists the sealed segments. Starts over while files are replaced or removed under it, or damage is seen that may be a
 * repair halfway.
 *
 * @throws FastQueueError `condition_failed` when the log does not keep still; `newer_format`; disk errors as themselves
 */
export async function listSealed(context: TopicContext, options: ListSealedOptions): Promise<SealedList> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (attempt > 0) await delay(attempt * 5);
    const mark = await currentMark(context);
    const list = await tryList(context, mark, options);
    if (list === undefined) continue;
    const after = await currentMark(context);
    if (after.generation === mark.generation && after.startOffset === mark.startOffset) return list;
  }
  throw notStill(context);
}

/** The refusal of a log that is replaced again and again under whoever plans. */
export function notStill(context: TopicContext): FastQueueError {
  return new FastQueueError(
    'condition_failed',
    `The topic "${context.topic}" was changed again and again while compact looked at it. What was done is sound; ` +
      `run "${commandLine(context, `compact ${context.topic}`)}" again when recover or another compact is done.`,
    { topic: context.topic, path: context.directory },
  );
}

/** Undefined where a store was removed since it was listed. */
async function tryList(
  context: TopicContext,
  mark: HighWatermark,
  options: ListSealedOptions,
): Promise<SealedList | undefined> {
  // Retention may have gone further since it was asked what it would drop.
  const startOffset = Math.max(options.startOffset ?? 0, mark.startOffset);
  const { live } = listSegments(context, { ...mark, startOffset });
  const sealed = live.filter(({ isActive }) => !isActive);
  options.onTotal(sealed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  const segments: SealedSegment[] = [];
  for (const segment of sealed) {
    await letOthersRun();
    const read = await readSealed(context, segment, options);
    if (read === undefined) return undefined;
    segments.push(read);
  }
  const firstBase = live[0]?.baseOffset;
  const beginsLate = firstBase === undefined || firstBase > startOffset;
  const path = storePath(context, startOffset);
  return {
    generation: mark.generation,
    segments,
    damage: beginsLate ? { path, position: 0, offset: startOffset } : undefined,
  };
}

async function readSealed(
  context: TopicContext,
  segment: LogSegment,
  options: ListSealedOptions,
): Promise<SealedSegment | undefined> {
  const { baseOffset } = segment;
  const store = openStoreIfThere(context, baseOffset);
  if (store === undefined) return undefined;
  try {
    const visit = new Visit(context, { baseOffset, intervalBytes: options.indexIntervalBytes });
    try {
      return await readOpened(context, { segment, store, visit, onBytes: options.onBytes });
    } finally {
      visit.close();
    }
  } finally {
    store.close();
  }
}

async function readOpened(
  context: TopicContext,
  request: {
    segment: LogSegment;
    store: FileHandle;
    visit: Visit;
    onBytes: ListSealedOptions['onBytes'];
  },
): Promise<SealedSegment> {
  const { store, visit } = request;
  const { baseOffset, endOffset } = request.segment;
  const file = store.status();
  const { sizeBytes } = file;
  const range = { store, baseOffset, sizeBytes, minTimestamp: -Infinity };
  const scan = await scanWhole(context, range, {
    records: (...run) => {
      visit.records(...run);
    },
    special: (...frame) => {
      visit.special(...frame);
    },
    step: request.onBytes,
  });
  const isSound = scan.stop === 'end' && scan.nextOffset === endOffset;
  const place = { path: store.path, position: scan.endPosition, offset: scan.nextOffset };
  return {
    baseOffset,
    endOffset,
    file,
    firstTimestamp: headerAt(store, { position: 0 })?.timestamp ?? -Infinity,
    lastTimestamp: scan.lastTimestamp,
    damage: isSound ? undefined : place,
    ...visit.end({ hasFrames: sizeBytes >= FRAME_HEADER_BYTES }),
  };
}

/** Watches the frames of one segment go by: how long its store would be, and whether its index is right. */
class Visit {
  readonly #counter = new ByteCounter();
  readonly #compactor = new FrameCompactor(this.#counter);
  /** Undefined where what is called the index is no file. */
  readonly #check: IndexCheck | undefined;

  constructor(context: TopicContext, segment: { baseOffset: number; intervalBytes: number }) {
    const isFree = isIndexFree(context, segment.baseOffset);
    this.#check = isFree ? new IndexCheck(context, { ...segment, endPosition: Infinity }) : undefined;
  }

  records(frames: Region, source: FrameSource, recordCount: number): void {
    this.#compactor.records(frames, source, recordCount);
    this.#check?.records(frames, source);
  }

  special(frame: SoundFrame, source: FrameSource): void {
    this.#compactor.special(frame, source);
    this.#check?.special(frame, source);
  }

  end(store: {
    hasFrames: boolean;
  }): Pick<SealedSegment, 'compactBytes' | 'firstGap' | 'lastGap' | 'isIndexFree' | 'isIndexComplete'> {
    this.#compactor.end();
    const { bytes, firstGap, lastGap } = this.#counter;
    const index = this.#check?.verdict({ ...store, regions: [] });
    return {
      compactBytes: bytes,
      firstGap,
      lastGap,
      isIndexFree: index !== undefined,
      isIndexComplete: index?.isSound === true && !index.endsEarly,
    };
  }

  close(): void {
    this.#check?.close();
  }
}

/** How long the store would be, and what it would begin and end with. */
class ByteCounter implements FrameOutput {
  bytes = 0;
  firstGap: CompactGap | undefined;
  lastGap: CompactGap | undefined;

  records(frames: { start: number; end: number }): void {
    this.#add(frames.end - frames.start, undefined);
  }

  gap(frame: Buffer, { reason, count }: CompactGap): void {
    this.#add(frame.length, { reason, count });
  }

  copy(frame: { byteCount: number }): void {
    this.#add(frame.byteCount, undefined);
  }

  #add(byteCount: number, gap: CompactGap | undefined): void {
    if (this.bytes === 0) this.firstGap = gap;
    this.lastGap = gap;
    this.bytes += byteCount;
  }
}
