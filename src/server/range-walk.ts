/**
 * A walk over the records of one answer: where it ends by its limits, by the log or by damage, and the records in
 * between, a piece at a time.
 */
import {
  FastQueueError,
  FRAME_HEADER_BYTES,
  READ_CHUNK_BYTES,
  type DamageStep,
  type EndStep,
  type ErrorDetails,
  type GapStep,
  type LogReader,
  type ReadLimits,
  type RecordTextForm,
  type RunStep,
  type TextStep,
} from '../engine/index.ts';

export interface WalkLimits {
  readonly untilOffset: number;
  /** End before the first record with this timestamp or a later one. */
  readonly untilTimestamp: number | undefined;
  readonly maxRecords: number;
  /** Bytes in the store; one record always comes. */
  readonly maxBytes: number;
}

/** What is read at once where records are only counted. */
const SKIM_BYTES = READ_CHUNK_BYTES;

export class RangeWalk {
  readonly #reader: LogReader;
  readonly #form: RecordTextForm;
  readonly #limits: WalkLimits;
  readonly #firstOffset: number;
  #nextOffset: number;
  #recordCount = 0;
  #frameBytes = 0;
  #hasEnded = false;
  #stoppedAt: ErrorDetails | undefined;

  /** Begins where the reader stands. */
  constructor(reader: LogReader, form: RecordTextForm, limits: WalkLimits) {
    this.#reader = reader;
    this.#form = form;
    this.#limits = limits;
    this.#firstOffset = this.#nextOffset = reader.nextOffset;
  }

  /** Where the walk stands; once it has ended, where the next answer begins. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** Payload bytes of the records so far. */
  get payloadBytes(): number {
    return this.#frameBytes - this.#recordCount * FRAME_HEADER_BYTES;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The damage that ended the walk after something had come. */
  get stoppedAt(): ErrorDetails | undefined {
    return this.#stoppedAt;
  }

  /**
   * The next records as text, at most `pieceBytes` of them or one; undefined at the end. The bytes are the caller's until
   * the kernel is used again.
   *
   * @throws FastQueueError `damaged` where damage is the first thing that was asked for; disk errors as themselves
   */
  next(pieceBytes: number): Buffer | undefined {
    const { untilTimestamp } = this.#limits;
    const step = this.#step<TextStep>(
      (limits) => this.#reader.readText(limits, this.#form, untilTimestamp),
      pieceBytes,
    );
    if (step === undefined) return undefined;
    this.#pass(step);
    if (step.isCut) this.#hasEnded = true;
    return step.bytes;
  }

  /** Goes on by one piece without looking at each record. Returns false at the end. @throws as `next` does */
  skim(): boolean {
    if (this.#limits.untilTimestamp !== undefined) return this.next(SKIM_BYTES) !== undefined;
    const step = this.#step<RunStep>((limits) => this.#reader.skim(limits), SKIM_BYTES);
    if (step === undefined) return false;
    this.#pass(step);
    return true;
  }

  #pass(step: RunStep): void {
    this.#recordCount += step.recordCount;
    this.#nextOffset = step.nextOffset;
    if (this.#recordCount >= this.#limits.maxRecords) this.#hasEnded = true;
  }

  #step<Records extends { readonly type: 'records'; readonly frameBytes: number }>(
    take: (limits: ReadLimits) => Records | GapStep | DamageStep | EndStep,
    pieceBytes: number,
  ): Records | undefined {
    const { maxRecords, untilOffset, maxBytes } = this.#limits;
    while (!this.#hasEnded) {
      const roomBytes = maxBytes - this.#frameBytes;
      const isFirst = this.#recordCount === 0;
      if (roomBytes <= 0 && !isFirst) break;
      const step = this.#attempt(() =>
        take({
          maxBytes: Math.min(pieceBytes, roomBytes),
          maxRecords: maxRecords - this.#recordCount,
          untilOffset,
        }),
      );
      if (step === undefined || step.type === 'end') break;
      if (step.type === 'records') {
        // One record comes though it is larger than what was asked for: too large beside those that came before.
        if (step.frameBytes > roomBytes && !isFirst) break;
        this.#frameBytes += step.frameBytes;
        return step;
      }
      this.#nextOffset = this.#reader.nextOffset;
    }
    this.#hasEnded = true;
    return undefined;
  }

  /** Undefined where damage ends the walk behind what has come. */
  #attempt<T>(take: () => T): T | undefined {
    try {
      return take();
    } catch (error) {
      if (!(error instanceof FastQueueError) || error.code !== 'damaged') throw error;
      const isFirst = this.#recordCount === 0 && this.#nextOffset === this.#firstOffset;
      if (isFirst) throw error;
      this.#stoppedAt = error.details;
      return undefined;
    }
  }
}
