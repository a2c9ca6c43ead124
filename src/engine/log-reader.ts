/**
 * Reading a topic, without a lock and never past the high-water mark.
 *
 * What a reader sees can change under it: segments roll, retention removes them, recovery patches them, the topic is
 * deleted. The generation in the mark says when anything but the tail changed; then everything is opened again by name.
 * A bad frame is judged only when it was bad twice under one generation.
 */
import { commandLine } from './command-line.ts';
import { FastQueueError } from './errors.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import type { FileHandle } from './io/file-system.ts';
import { KERNEL_INPUT, KERNEL_OUTPUT } from './kernel/index.ts';
import type { EmitRequest, RecordTextForm } from './kernel/kernel.ts';
import { MarkWatch } from './mark-watch.ts';
import type { SegmentPlace } from './offset-index.ts';
import type { PassedPlaces } from './passed-places.ts';
import { findFrameBehind } from './damage-scan.ts';
import type {
  BytesStep,
  DamageStep,
  EmitStep,
  EndStep,
  GapStep,
  ReadLimits,
  ReadStep,
  RunStep,
  SkimStep,
  TextStep,
} from './read-steps.ts';
import { ReaderMark } from './reader-mark.ts';
import { framesAsText } from './record-text.ts';
import { recordEntries, SegmentCursor, type CursorStep } from './segment-cursor.ts';
import { listSegments, openStoreIfThere, storeHolding } from './segment-list.ts';
import { placeAtOffset } from './starting-place.ts';
import { storeBytes, storePath, topicNotFound, type TopicContext } from './topic-directory.ts';

export interface ReaderOptions {
  /** First offset wanted; undefined: where the log begins. */
  readonly from: number | undefined;
  /** `stop`: damage is thrown. `skip`: damage is a step, and reading goes on behind it. */
  readonly onDamage: 'stop' | 'skip';
  /** Settles what a dead writer left if that can be done at once; resolves to false when it cannot. */
  readonly settle: () => Promise<boolean>;
  /** What readers of the topic have come by: looked up where the index does not help, and added to. */
  readonly places: PassedPlaces;
}

export class LogReader {
  readonly #context: TopicContext;
  readonly #options: ReaderOptions;
  readonly #mark: ReaderMark;
  #cursor: SegmentCursor | undefined;
  /** What was asked for begins here. */
  #from: number;
  #nextOffset: number;
  #watch: MarkWatch | undefined;

  /**
   * Opens a reader. Bytes behind the mark with no writer alive are settled first, so that everything durable is seen.
   *
   * @throws FastQueueError `topic_not_found`, `damaged` (the mark is unsound, unless damage is skipped),
   *   `offset_out_of_range`, `newer_format`
   */
  static async open(context: TopicContext, options: ReaderOptions): Promise<LogReader> {
    const settle = (): Promise<void> => settleIfCan(options);
    const mark = await ReaderMark.open(context, { onDamage: options.onDamage, settle });
    const { from = mark.value.startOffset } = options;
    if (from <= mark.value.nextOffset) return new LogReader(context, options, mark, from);
    mark.close();
    throw outOfRange(context, from, mark.value);
  }

  private constructor(context: TopicContext, options: ReaderOptions, mark: ReaderMark, from: number) {
    this.#context = context;
    this.#options = options;
    this.#mark = mark;
    this.#from = from;
    this.#nextOffset = from;
  }

  /** The offset that the next step begins at. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** The mark as last read: where the log ended then. */
  get mark(): HighWatermark {
    return this.#mark.value;
  }

  /** True where the mark is missing or unsound and what checks out is read without it: `mark` is what the stores say. */
  get isMarkAssumed(): boolean {
    return this.#mark.isAssumed;
  }

  /** Goes on at another offset, before `mark.nextOffset` or at it. */
  seek(offset: number): void {
    this.#forgetCursor();
    this.#from = offset;
    this.#nextOffset = offset;
  }

  /** The next records; payloads stand in the kernel's memory. */
  read(limits: ReadLimits): ReadStep {
    return this.#readFrames(limits, (frames) => frames);
  }

  /** The next records; payloads stand in one buffer, made for them. */
  readCopied(limits: ReadLimits): ReadStep {
    return this.#readFrames(limits, (frames) => Buffer.from(frames));
  }

  #readFrames(limits: ReadLimits, kept: (frames: Buffer) => Buffer): ReadStep {
    return this.#step(limits, (cursor, bounds) => {
      const firstOffset = cursor.offset;
      const step = cursor.check(bounds);
      if (step.type !== 'records') return step;
      const frames = kept(this.#context.kernel.memory.subarray(KERNEL_INPUT.start, step.result.inputEnd));
      return {
        type: 'records',
        firstOffset,
        nextOffset: cursor.offset,
        frameBytes: frames.length,
        records: recordEntries(frames, firstOffset),
      };
    });
  }

  /** Moves past the next records, checked: how many there are and how much. */
  skim(limits: ReadLimits): SkimStep {
    return this.#step<RunStep>(limits, (cursor, bounds) => {
      const firstOffset = cursor.offset;
      const step = cursor.check(bounds);
      if (step.type !== 'records') return step;
      const { recordCount, inputEnd } = step.result;
      const frameBytes = inputEnd - KERNEL_INPUT.start;
      return { type: 'records', firstOffset, nextOffset: cursor.offset, recordCount, frameBytes };
    });
  }

  /** The next records as text, up to the first with `untilTimestamp` or a later one. */
  readText(
    limits: ReadLimits,
    form: RecordTextForm,
    untilTimestamp = Infinity,
  ): TextStep | GapStep | DamageStep | EndStep {
    return this.#step<TextStep>(limits, (cursor, bounds) => {
      const firstOffset = cursor.offset;
      const step = cursor.check(bounds);
      if (step.type !== 'records') return step;
      const { recordCount: checkedCount, inputEnd } = step.result;
      const { bytes, recordCount, frameBytes } = framesAsText(
        this.#context.kernel,
        { frames: { start: KERNEL_INPUT.start, end: inputEnd }, firstOffset, untilTimestamp },
        form,
      );
      return {
        type: 'records',
        firstOffset,
        nextOffset: cursor.offset - checkedCount + recordCount,
        recordCount,
        frameBytes,
        bytes,
        isCut: recordCount < checkedCount,
      };
    });
  }

  /** The next records' payloads in one buffer. */
  emit(framing: EmitRequest['framing'], limits: ReadLimits): EmitStep {
    return this.#step<BytesStep>(limits, (cursor, bounds) => {
      const firstOffset = cursor.offset;
      const step = cursor.emit(bounds, framing);
      if (step.type !== 'records') return step;
      return {
        type: 'records',
        firstOffset,
        nextOffset: cursor.offset,
        recordCount: step.result.recordCount,
        bytes: this.#context.kernel.memory.subarray(KERNEL_OUTPUT.start, step.outputEnd),
      };
    });
  }

  /**
   * Looks at the mark again and follows whatever has changed.
   *
   * @throws FastQueueError `topic_not_found` when the topic was deleted, even if there is another of that name now
   */
  async refresh(): Promise<void> {
    if (await this.#mark.refresh(this.#nextOffset)) this.#forgetCursor();
  }

  /** Resolves when the mark may have moved past the last refresh, or the time is up, or the signal came. */
  async waitForMore(
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<'more' | 'timeout' | 'aborted'> {
    this.#watch ??= new MarkWatch(this.#context, {
      hasMoved: () => this.#mark.mayHaveMoved(),
      onStill: () => (this.#mark.hasUnsettledTail() ? settleIfCan(this.#options) : Promise.resolve()),
    });
    return this.#watch.wait(options);
  }

  /** Bytes of the active store that lie behind the mark and could not be settled: 0 beside a live writer that is idle. */
  unsettledBytes(): number {
    return this.#mark.unsettledBytes();
  }

  close(): void {
    this.#watch?.close();
    this.#forgetCursor();
    this.#mark.close();
  }

  #step<Records extends { type: 'records'; firstOffset: number; nextOffset: number }>(
    limits: ReadLimits,
    take: (
      cursor: SegmentCursor,
      bounds: { untilOffset: number; maxBytes: number },
    ) => Records | Exclude<CursorStep, { type: 'records' }>,
  ): Records | GapStep | DamageStep | EndStep {
    let suspect: { position: number; generation: number } | undefined;
    for (;;) {
      const endOffset = Math.min(limits.untilOffset, this.mark.nextOffset);
      if (this.#nextOffset >= endOffset) return { type: 'end' };
      const arrived = this.#arrive();
      if (arrived.type !== 'cursor') return arrived;
      const { cursor } = arrived;
      this.#options.places.note({ generation: this.mark.generation, baseOffset: cursor.baseOffset }, cursor);
      const isSkipping = cursor.offset < this.#nextOffset;
      const step = isSkipping
        ? skipStep(cursor, this.#nextOffset)
        : take(cursor, {
            untilOffset: Math.min(endOffset, cursor.offset + limits.maxRecords),
            maxBytes: limits.maxBytes,
          });
      switch (step.type) {
        case 'skipped':
          continue;
        case 'records':
          this.#nextOffset = step.nextOffset;
          return step;
        case 'gap': {
          const until = Math.min(step.offset + step.count, endOffset);
          const offset = this.#nextOffset;
          if (until <= offset) continue;
          this.#nextOffset = until;
          if (until < step.offset + step.count) this.#forgetCursor();
          return { type: 'gap', offset, count: until - offset, reason: step.reason };
        }
        case 'end':
          if (isSkipping && cursor.position < cursor.endPosition) continue;
          // A sealed segment ends where the next begins; the active one at the mark, which has records left to give.
          if (cursor.baseOffset === this.mark.baseOffset) return this.#damage(cursor, 'missing');
          if (this.#toNextSegment(cursor) === 'missing') return this.#missingSegment();
          continue;
        case 'short':
        case 'bad': {
          const isSecond =
            suspect?.position === cursor.position && suspect.generation === this.mark.generation;
          if (isSecond) {
            const place = step.type === 'bad' ? this.#nextGoodFrame(cursor) : undefined;
            if (place === undefined || !this.#liesBefore(place, isSkipping))
              return this.#damage(cursor, step.type === 'short' ? 'missing' : 'bad', place);
            cursor.moveTo(place);
            continue;
          }
          suspect = { position: cursor.position, generation: this.mark.generation };
          this.#lookAgain();
        }
      }
    }
  }

  /** A cursor at or before the next offset, or what there is to say about why there is none. */
  #arrive(): { type: 'cursor'; cursor: SegmentCursor } | GapStep | DamageStep {
    if (this.#cursor !== undefined) {
      this.#extend(this.#cursor);
      return { type: 'cursor', cursor: this.#cursor };
    }
    for (let isSecond = false; ;) {
      const opened = this.#openSegment();
      if (opened !== undefined) {
        this.#cursor = opened;
        return { type: 'cursor', cursor: opened };
      }
      // Gone between list and open, or missing. The mark knows whether retention took it, or files were replaced.
      const { generation } = this.mark;
      this.#peekAgain();
      if (this.#nextOffset < this.mark.startOffset) return this.#jumpToStart();
      const isReplaced = this.mark.generation !== generation;
      if (isSecond && !isReplaced) return this.#missingSegment();
      isSecond = !isReplaced;
    }
  }

  /**
   * Whether damage that ends at `place` lies wholly before what was asked for: whoever is told to go on behind it must
   * get there. Foreign bytes take no offset, and are before the first record wanted if nothing else is.
   */
  #liesBefore(place: SegmentPlace, isSkipping: boolean): boolean {
    return place.offset <= this.#nextOffset && (isSkipping || this.#nextOffset === this.#from);
  }

  #jumpToStart(): GapStep {
    const offset = this.#nextOffset;
    this.#nextOffset = this.mark.startOffset;
    return { type: 'gap', offset, count: this.#nextOffset - offset, reason: 'retention' };
  }

  /** The active segment grows with the mark, and is read to the end of its file once it is sealed. */
  #extend(cursor: SegmentCursor): void {
    if (cursor.baseOffset === this.mark.baseOffset) cursor.endPosition = this.mark.position;
    else if (cursor.position >= cursor.endPosition) cursor.endPosition = cursor.store.status().sizeBytes;
  }

  /** Opens the segment that holds the next offset. Undefined where there is none, or it is of another log by now. */
  #openSegment(): SegmentCursor | undefined {
    const baseOffset = storeHolding(this.#context, this.mark, this.#nextOffset);
    if (baseOffset === undefined || this.#nextOffset < this.mark.startOffset) return undefined;
    const store = openStoreIfThere(this.#context, baseOffset);
    if (store === undefined) return undefined;
    try {
      const cursor = this.#cursorIn(store, baseOffset);
      if (this.#mark.isUnchanged()) return cursor;
    } catch (error) {
      store.close();
      throw error;
    }
    store.close();
    return undefined;
  }

  #endPositionOf(store: FileHandle, baseOffset: number): number {
    return baseOffset === this.mark.baseOffset ? this.mark.position : store.status().sizeBytes;
  }

  /** At the greatest known place that is not behind the next offset. */
  #cursorIn(store: FileHandle, baseOffset: number): SegmentCursor {
    const { mark } = this;
    const isActive = baseOffset === mark.baseOffset;
    const endPosition = this.#endPositionOf(store, baseOffset);
    const place = placeAtOffset(this.#context, {
      store,
      baseOffset,
      endPosition,
      useMap: !isActive,
      generation: mark.generation,
      places: this.#options.places,
      offset: this.#nextOffset,
    });
    return new SegmentCursor({ kernel: this.#context.kernel, store, baseOffset, endPosition, place });
  }

  /** A roll that was killed half-way leaves an empty store; a writer may then have gone on in the segment before it. */
  #isEmptyLeftover(baseOffset: number): boolean {
    if (baseOffset === this.mark.baseOffset) return false;
    return storeBytes(this.#context, baseOffset) === 0;
  }

  /**
   * The next segment is the store named by this one's end. `missing`: there is none, or nothing in it, and neither
   * retention nor compaction is why.
   */
  #toNextSegment(ended: SegmentCursor): 'opened' | 'look-again' | 'missing' {
    this.#forgetCursor();
    const baseOffset = ended.offset;
    this.#nextOffset = Math.max(this.#nextOffset, baseOffset);
    const store = this.#isEmptyLeftover(baseOffset) ? undefined : openStoreIfThere(this.#context, baseOffset);
    if (store === undefined) {
      const before = this.mark;
      this.#peekAgain();
      const hasMoved =
        this.mark.generation !== before.generation ||
        this.mark.baseOffset !== before.baseOffset ||
        this.#nextOffset < this.mark.startOffset;
      return hasMoved ? 'look-again' : 'missing';
    }
    if (!this.#mark.isUnchanged()) {
      store.close();
      return 'look-again';
    }
    this.#cursor = new SegmentCursor({
      kernel: this.#context.kernel,
      store,
      baseOffset,
      endPosition: this.#endPositionOf(store, baseOffset),
      place: { position: 0, offset: baseOffset },
    });
    return 'opened';
  }

  /** Reads the mark once more and opens everything by name: what looked bad may have been patched just now. */
  #lookAgain(): void {
    const cursor = this.#cursor;
    this.#peekAgain();
    if (this.#cursor === undefined || cursor === undefined) return;
    const store = openStoreIfThere(this.#context, cursor.baseOffset);
    if (store === undefined) return;
    if (!this.#mark.isUnchanged()) {
      store.close();
      this.#forgetCursor();
      return;
    }
    this.#cursor = new SegmentCursor({
      kernel: this.#context.kernel,
      store,
      baseOffset: cursor.baseOffset,
      endPosition: this.#endPositionOf(store, cursor.baseOffset),
      place: { position: cursor.position, offset: cursor.offset },
    });
    cursor.close();
  }

  #peekAgain(): void {
    if (this.#mark.lookAgain()) this.#forgetCursor();
  }

  #missingSegment(): DamageStep {
    return this.#report({
      path: storePath(this.#context, this.#nextOffset),
      position: 0,
      nextReadable: this.#baseBehind(this.#nextOffset),
      what: 'its segment is missing',
    });
  }

  /** @param next where reading can go on in the segment, if anywhere */
  #damage(cursor: SegmentCursor, kind: 'bad' | 'missing', next?: SegmentPlace): DamageStep {
    const { position } = cursor;
    const nextReadable = next?.offset ?? this.#baseBehind(cursor.baseOffset);
    const step = this.#report({
      path: cursor.store.path,
      position,
      nextReadable: Math.max(nextReadable, this.#nextOffset),
      what: kind === 'bad' ? 'the frame there does not check out' : 'the file ends before its records do',
    });
    if (next === undefined) this.#forgetCursor();
    else cursor.moveTo(next);
    return step;
  }

  #nextGoodFrame(cursor: SegmentCursor): SegmentPlace | undefined {
    const { store, baseOffset, position, offset, lastTimestamp } = cursor;
    // A store that lost bytes ends before the mark's, with a frame that may be good.
    const endPosition = Math.min(cursor.endPosition, store.status().sizeBytes);
    const nextOffset = this.#baseBehind(baseOffset);
    return findFrameBehind(this.#context, {
      store,
      baseOffset,
      position,
      offset,
      lastTimestamp,
      endPosition,
      maxOffset: nextOffset - 1,
      end: { position: endPosition, nextOffset },
    });
  }

  /** Where the segment behind an offset begins, or the log ends. */
  #baseBehind(offset: number): number {
    const { live } = listSegments(this.#context, this.mark);
    return live.find(({ baseOffset }) => baseOffset > offset)?.baseOffset ?? this.mark.nextOffset;
  }

  /** @throws FastQueueError `damaged` where the reader is to stop at damage */
  #report(damage: { path: string; position: number; nextReadable: number; what: string }): DamageStep {
    if (this.#mark.isTopicGone()) throw topicNotFound(this.#context);
    const { topic } = this.#context;
    const offset = this.#nextOffset;
    const { nextReadable } = damage;
    const lost = nextReadable - offset > 1 ? `offsets ${offset}..${nextReadable - 1}` : `offset ${offset}`;
    const error = new FastQueueError(
      'damaged',
      `"${topic}" cannot be read at ${lost}: ${damage.path}, byte ${damage.position}: ${damage.what}. ` +
        `Reading can go on at offset ${nextReadable}. Run "${commandLine(this.#context, `recover ${topic} --dry-run`)}" to see what can be repaired.`,
      { topic, path: damage.path, position: damage.position, offset, nextReadable },
    );
    if (this.#options.onDamage === 'stop') throw error;
    this.#nextOffset = nextReadable;
    return { type: 'damage', offset, nextReadable, error };
  }

  #forgetCursor(): void {
    this.#cursor?.close();
    this.#cursor = undefined;
  }
}

/** What cannot be settled is no reader's business: it reads to the mark, and `verify` says what lies behind it. */
async function settleIfCan({ settle }: ReaderOptions): Promise<void> {
  try {
    await settle();
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
  }
}

function skipStep(
  cursor: SegmentCursor,
  offset: number,
): { type: 'skipped' } | Exclude<CursorStep, { type: 'records' }> {
  const step = cursor.skipTo(offset);
  return step.type === 'records' ? { type: 'skipped' } : step;
}

function outOfRange(context: TopicContext, offset: number, mark: HighWatermark): FastQueueError {
  return new FastQueueError(
    'offset_out_of_range',
    `Offset ${offset} is beyond the end of "${context.topic}", which has offsets ${mark.startOffset} to before ${mark.nextOffset}. ` +
      '--clamp begins at the nearest end instead.',
    { topic: context.topic, offset, startOffset: mark.startOffset, endOffset: mark.nextOffset },
  );
}
