/**
 * Batches on their way to the topic: one is being stored while the next is framed behind it. Owns the frames in the
 * kernel's output memory and the bookkeeping of what was acknowledged.
 *
 * Always: at most one append is under way; an acknowledged batch is durable; after a failure nothing more is started.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import {
  KERNEL_OUTPUT,
  monotonicMs,
  type Ack,
  type Kernel,
  type Region,
  type Topic,
} from '../../engine/index.ts';

/** Where in the input somebody would go on who has everything before. */
export interface InputPosition {
  /** Undefined for standard input. */
  readonly path: string | undefined;
  readonly byte: number;
}

export interface BatchWriterOptions {
  readonly topic: Topic;
  /** Framed bytes of a batch; a single larger record goes alone. */
  readonly batchBytes: number;
  readonly lingerMs: number;
  /** Condition on the first batch. */
  readonly expectedOffset: number | undefined;
  /** Called for each acknowledged batch, in order; the next is not started before it has resolved. */
  readonly onAck: (ack: Ack) => Promise<void>;
  /** Called once when an append has failed: there is no point in reading on. */
  readonly onFailure: () => void;
}

/** Frames that can still be added to. */
interface OpenBatch {
  readonly slot: Region;
  /** Both are guesses until the batch is stored, and cost one pass of the kernel where they were wrong. */
  firstOffset: number;
  timestamp: number;
  /** When its first record came, whatever is done to the clock. */
  beganMs: number;
  recordCount: number;
  end: number;
  /** Behind its last record. */
  inputPosition: InputPosition;
}

/** What has been acknowledged. */
export interface Stored {
  readonly recordCount: number;
  readonly firstOffset: number | undefined;
  readonly lastOffset: number | undefined;
  readonly inputPosition: InputPosition;
}

const SLOT_BYTES = (KERNEL_OUTPUT.end - KERNEL_OUTPUT.start) / 2;
const SLOTS: readonly [Region, Region] = [
  { start: KERNEL_OUTPUT.start, end: KERNEL_OUTPUT.start + SLOT_BYTES },
  { start: KERNEL_OUTPUT.start + SLOT_BYTES, end: KERNEL_OUTPUT.end },
];

export class BatchWriter {
  readonly #kernel: Kernel;
  readonly #options: BatchWriterOptions;
  #batch: OpenBatch;
  #isFirstBatch = true;
  #underWay: Promise<void> | undefined;
  /** True from `pause` until more frames come: what there is need not wait to become more. */
  #isPaused = false;
  #failure: { readonly error: unknown } | undefined;
  #lingerTimer: NodeJS.Timeout | undefined;
  #predictedOffset: number;
  #stored: Stored;

  constructor(kernel: Kernel, options: BatchWriterOptions & { start: InputPosition }) {
    this.#kernel = kernel;
    this.#options = options;
    this.#predictedOffset = options.topic.expectedNextOffset;
    this.#stored = {
      recordCount: 0,
      firstOffset: undefined,
      lastOffset: undefined,
      inputPosition: options.start,
    };
    this.#batch = this.#openBatch(SLOTS[0]);
  }

  get stored(): Stored {
    return this.#stored;
  }

  /** The error of the append that failed, if one has. */
  get failure(): unknown {
    return this.#failure?.error;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Where the next frames go and what they are to be stamped with. */
  nextTarget(): { output: Region; firstOffset: number; timestamp: number } {
    const batch = this.#batch;
    if (batch.recordCount === 0) {
      batch.firstOffset = this.#predictedOffset;
      batch.timestamp = Date.now();
      batch.beganMs = monotonicMs();
    }
    const limit = Math.max(batch.end, Math.min(batch.slot.end, batch.slot.start + this.#options.batchBytes));
    return {
      output: { start: batch.end, end: limit },
      firstOffset: batch.firstOffset + batch.recordCount,
      timestamp: batch.timestamp,
    };
  }

  /** True while no frame has been added. */
  get isEmpty(): boolean {
    return this.#batch.recordCount === 0;
  }

  /** Tells of frames that were written to the target. */
  add(frames: { recordCount: number; outputEnd: number; inputPosition: InputPosition }): void {
    const batch = this.#batch;
    this.#isPaused = false;
    batch.recordCount += frames.recordCount;
    batch.end = frames.outputEnd;
    batch.inputPosition = frames.inputPosition;
  }

  /** Makes room for one record whose frame is larger than a batch, with nothing else in the batch. */
  async makeRoomFor(frameBytes: number): Promise<Region> {
    if (!this.isEmpty) await this.submit();
    if (frameBytes > SLOT_BYTES) {
      await this.#settled();
      this.#batch = this.#openBatch(KERNEL_OUTPUT);
    }
    return { start: this.#batch.slot.start, end: this.#batch.slot.end };
  }

  /** Stores the batch as soon as the one before it is stored; resolves when there is room for the next. */
  async submit(): Promise<void> {
    await this.#settled();
    if (this.#failure !== undefined || this.isEmpty) return;
    const { slot } = this.#batch;
    this.#start();
    // Lets the append get as far as its sync before the next batch is framed.
    await letOthersRun();
    // A batch that took all of the memory leaves no second slot.
    if (slot === KERNEL_OUTPUT) await this.#settled();
  }

  /** To be called when no more input is there at the moment: stores what there is, now or when the linger time is over. */
  pause(): void {
    this.#isPaused = true;
    if (this.isEmpty || this.#underWay !== undefined || this.#failure !== undefined) return;
    const waitMs = this.#batch.beganMs + this.#options.lingerMs - monotonicMs();
    if (waitMs <= 0) {
      this.#start();
      return;
    }
    this.#lingerTimer ??= setTimeout(() => {
      this.#lingerTimer = undefined;
      this.pause();
    }, waitMs);
  }

  /** Stores what is left and waits until it is. Never throws: `failure` says what went wrong. */
  async finish(): Promise<void> {
    await this.submit();
    await this.#settled();
    clearTimeout(this.#lingerTimer);
  }

  async #settled(): Promise<void> {
    while (this.#underWay !== undefined) await this.#underWay;
  }

  #openBatch(slot: Region): OpenBatch {
    return {
      slot,
      firstOffset: this.#predictedOffset,
      timestamp: 0,
      beganMs: 0,
      recordCount: 0,
      end: slot.start,
      inputPosition: this.#stored.inputPosition,
    };
  }

  #start(): void {
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    const batch = this.#batch;
    this.#predictedOffset = batch.firstOffset + batch.recordCount;
    this.#underWay = this.#store(batch).finally(() => {
      this.#underWay = undefined;
      // What came meanwhile has waited for this one, unless more of it is being framed right now.
      if (this.#isPaused) this.pause();
    });
    this.#batch = this.#openBatch(batch.slot === SLOTS[0] ? SLOTS[1] : SLOTS[0]);
  }

  async #store(batch: OpenBatch): Promise<void> {
    const condition = this.#isFirstBatch ? { expectedOffset: this.#options.expectedOffset } : {};
    this.#isFirstBatch = false;
    try {
      const ack = await this.#options.topic.appendFramed(
        {
          kernel: this.#kernel,
          frames: { start: batch.slot.start, end: batch.end },
          recordCount: batch.recordCount,
          firstOffset: batch.firstOffset,
          timestamp: batch.timestamp,
        },
        condition,
      );
      this.#note(ack, batch.inputPosition);
      await this.#options.onAck(ack);
    } catch (error) {
      this.#failure ??= { error };
      this.#options.onFailure();
    }
  }

  #note(ack: Ack, inputPosition: InputPosition): void {
    this.#stored = {
      recordCount: this.#stored.recordCount + ack.count,
      firstOffset: this.#stored.firstOffset ?? ack.offset,
      lastOffset: ack.lastOffset,
      inputPosition,
    };
    // Other writers may have come in between: the next batch is framed for what comes now, if it has not been begun.
    this.#predictedOffset = ack.nextOffset;
  }
}
