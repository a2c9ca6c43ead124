/**
 * Appends that wait for the writer of one topic, in the order in which they came, and which of them go together.
 */
import { offsetsExhausted, unexpectedOffset } from './append-errors.ts';
import type { FastQueueError } from './errors.ts';
import type { Kernel, Region } from './kernel/kernel.ts';
import { MAX_BATCH_BYTES, MAX_OFFSET } from './limits.ts';
import type { RecordSource } from './record-sources.ts';
import type { TopicContext } from './topic-directory.ts';

/** What is durable when an append resolves. */
export interface Ack {
  readonly topic: string;
  /** Offset of the first record of this append. */
  readonly offset: number;
  /** Offset of its last record. */
  readonly lastOffset: number;
  readonly nextOffset: number;
  readonly count: number;
  /** Milliseconds since 1970, the same for every record of the batch. */
  readonly timestamp: number;
}

/** Frames made ahead of the lock, in the memory of the caller's own kernel. They may be stamped anew in place. */
export interface FramedBatch {
  readonly kernel: Kernel;
  readonly frames: Region;
  readonly recordCount: number;
  /** What they were framed for. */
  readonly firstOffset: number;
  readonly timestamp: number;
}

export const isFramed = (source: RecordSource | FramedBatch): source is FramedBatch => 'frames' in source;

export interface PendingAppend {
  readonly source: RecordSource | FramedBatch;
  readonly frameBytes: number;
  readonly expectedOffset: number | undefined;
  readonly resolve: (ack: Ack) => void;
  readonly reject: (error: unknown) => void;
}

export class AppendQueue {
  readonly #context: TopicContext;
  readonly #pending: PendingAppend[] = [];

  constructor(context: TopicContext) {
    this.#context = context;
  }

  get length(): number {
    return this.#pending.length;
  }

  push(pending: PendingAppend): void {
    this.#pending.push(pending);
  }

  /**
   * As many as fit one batch, in order. Those whose condition does not hold at `nextOffset` are refused here; where it is
   * the others of the batch that are in the way, the next group begins: what a refusal says must be durable.
   */
  takeGroup(nextOffset: number): PendingAppend[] {
    const group: PendingAppend[] = [];
    let groupEnd = nextOffset;
    let frameBytes = 0;
    let takenCount = 0;
    for (const next of this.#pending) {
      const isAlone = isFramed(next.source) || (group[0] !== undefined && isFramed(group[0].source));
      if (group.length > 0 && (isAlone || frameBytes + next.frameBytes > MAX_BATCH_BYTES)) break;
      const refusal = this.#refusalOf(next, groupEnd);
      if (refusal !== undefined && group.length > 0) break;
      takenCount += 1;
      if (refusal !== undefined) {
        next.reject(refusal);
        continue;
      }
      group.push(next);
      frameBytes += next.frameBytes;
      groupEnd += next.source.recordCount;
    }
    this.#pending.splice(0, takenCount);
    return group;
  }

  /** What was taken comes first again, in its order. */
  putBack(group: readonly PendingAppend[]): void {
    this.#pending.unshift(...group);
  }

  #refusalOf({ expectedOffset, source }: PendingAppend, nextOffset: number): FastQueueError | undefined {
    if (expectedOffset !== undefined && expectedOffset !== nextOffset)
      return unexpectedOffset(this.#context, expectedOffset, nextOffset);
    if (nextOffset + source.recordCount > MAX_OFFSET) return offsetsExhausted(this.#context, nextOffset);
    return undefined;
  }

  /** Refuses everybody who waits. */
  rejectAll(error: unknown): void {
    for (const pending of this.#pending.splice(0)) pending.reject(error);
  }
}

/** Tells each caller of a stored group which offsets are its own. */
export function acknowledgeGroup(
  topic: string,
  group: readonly PendingAppend[],
  stamp: { readonly firstOffset: number; readonly timestamp: number },
): void {
  let offset = stamp.firstOffset;
  for (const { source, resolve } of group) {
    const nextOffset = offset + source.recordCount;
    resolve({
      topic,
      offset,
      lastOffset: nextOffset - 1,
      nextOffset,
      count: source.recordCount,
      timestamp: stamp.timestamp,
    });
    offset = nextOffset;
  }
}
