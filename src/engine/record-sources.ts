/**
 * What can be appended: payloads, or a bulk body of delimited lines. A source knows its size before it is framed, so
 * that the log can decide on a roll, and is framed under the lock, straight into the memory that is written from.
 */
import { isUint8Array } from 'node:util/types';
import { batchFull } from './append-errors.ts';
import { FastQueueError } from './errors.ts';
import { FRAME_HEADER_BYTES, MAX_RECORD_BYTES } from './format/frame.ts';
import { KERNEL_INPUT } from './kernel/index.ts';
import type { Kernel } from './kernel/kernel.ts';
import { MAX_BATCH_BYTES, READ_CHUNK_BYTES } from './limits.ts';

export interface RecordSource {
  readonly recordCount: number;
  /** Exactly what `frameInto` writes: payloads and 16 bytes of header for each. */
  readonly frameBytes: number;
  /** Writes the frames at `at` in the kernel's memory. Synchronous, and the same however often it is called. */
  frameInto(kernel: Kernel, at: number, stamp: { firstOffset: number; timestamp: number }): void;
}

/** Payloads in memory. The buffers must not change until the append has resolved; the list of them may. */
export class PayloadsSource implements RecordSource {
  readonly recordCount: number;
  readonly frameBytes: number;
  readonly #payloads: readonly Uint8Array[];

  /** @throws FastQueueError `record_too_large`; `invalid_argument` for what has no bytes to store, from who checks no types */
  constructor(payloads: readonly Uint8Array[]) {
    if (!Array.isArray(payloads)) throw notPayloads();
    const own = [...(payloads as readonly Uint8Array[])];
    let frameBytes = 0;
    for (const [index, payload] of own.entries()) {
      if (!isUint8Array(payload)) throw notAPayload(index);
      if (payload.length > MAX_RECORD_BYTES) throw recordTooLarge(index, payload.length);
      frameBytes += FRAME_HEADER_BYTES + payload.length;
    }
    this.#payloads = own;
    this.recordCount = own.length;
    this.frameBytes = frameBytes;
  }

  frameInto(kernel: Kernel, at: number, stamp: { firstOffset: number; timestamp: number }): void {
    const { memory } = kernel;
    let end = at;
    for (const payload of this.#payloads) {
      memory.writeUInt32BE(payload.length, end);
      memory.set(payload, end + FRAME_HEADER_BYTES);
      end += FRAME_HEADER_BYTES + payload.length;
    }
    kernel.stampFrames({ frames: { start: at, end }, ...stamp });
  }
}

/** The first chunk of a `PackedSource`, each twice the one before, up to the largest. */
const FIRST_CHUNK_BYTES = 4 * 1024;
const LARGEST_CHUNK_BYTES = 1024 * 1024;

/** Payloads that come one at a time and are copied: two million small ones take as much memory as their frames. */
export class PackedSource implements RecordSource {
  /** Laid out as frames without a stamp. */
  readonly #chunks: Buffer[] = [];
  /** Bytes of the last chunk that are taken. */
  #usedBytes = 0;
  #recordCount = 0;
  #frameBytes = 0;

  get recordCount(): number {
    return this.#recordCount;
  }

  get frameBytes(): number {
    return this.#frameBytes;
  }

  /** @throws FastQueueError `record_too_large`, `batch_too_large` */
  add(payload: Uint8Array): void {
    if (payload.length > MAX_RECORD_BYTES) throw recordTooLarge(this.#recordCount, payload.length);
    const frameBytes = FRAME_HEADER_BYTES + payload.length;
    if (this.#frameBytes + frameBytes > MAX_BATCH_BYTES) throw batchFull(this.#recordCount);
    const chunk = this.#chunkFor(frameBytes);
    chunk.writeUInt32BE(payload.length, this.#usedBytes);
    chunk.set(payload, this.#usedBytes + FRAME_HEADER_BYTES);
    this.#usedBytes += frameBytes;
    this.#frameBytes += frameBytes;
    this.#recordCount += 1;
  }

  frameInto(kernel: Kernel, at: number, stamp: { firstOffset: number; timestamp: number }): void {
    let end = at;
    for (const [number, chunk] of this.#chunks.entries()) {
      const isLast = number === this.#chunks.length - 1;
      end += chunk.copy(kernel.memory, end, 0, isLast ? this.#usedBytes : chunk.length);
    }
    kernel.stampFrames({ frames: { start: at, end }, ...stamp });
  }

  #chunkFor(frameBytes: number): Buffer {
    const last = this.#chunks.at(-1);
    if (last !== undefined && this.#usedBytes + frameBytes <= last.length) return last;
    if (last !== undefined) this.#chunks[this.#chunks.length - 1] = last.subarray(0, this.#usedBytes);
    const doubled = last === undefined ? FIRST_CHUNK_BYTES : Math.min(2 * last.length, LARGEST_CHUNK_BYTES);
    const chunk = Buffer.allocUnsafe(Math.max(doubled, frameBytes));
    this.#chunks.push(chunk);
    this.#usedBytes = 0;
    return chunk;
  }
}

/** A body of lines: every `\n` ends a record, and what follows the last one, if anything, is a record too. */
export class LinesSource implements RecordSource {
  readonly recordCount: number;
  readonly frameBytes: number;
  readonly #body: Buffer;

  /**
   * @param body must not change until the append has resolved
   * @throws FastQueueError `record_too_large`
   */
  constructor(body: Buffer, options: { maxRecordBytes?: number } = {}) {
    const maxRecordBytes = options.maxRecordBytes ?? MAX_RECORD_BYTES;
    let recordCount = 0;
    let start = 0;
    while (start < body.length) {
      const newline = body.indexOf(NEWLINE, start);
      const end = newline === -1 ? body.length : newline;
      if (end - start > maxRecordBytes) throw recordTooLarge(recordCount, end - start);
      recordCount += 1;
      start = end + 1;
    }
    const endsWithNewline = body[body.length - 1] === NEWLINE;
    const delimiterCount = endsWithNewline ? recordCount : Math.max(0, recordCount - 1);
    this.#body = body;
    this.recordCount = recordCount;
    this.frameBytes = body.length - delimiterCount + recordCount * FRAME_HEADER_BYTES;
  }

  frameInto(kernel: Kernel, at: number, stamp: { firstOffset: number; timestamp: number }): void {
    const end = at + this.frameBytes;
    let outputStart = at;
    let { firstOffset } = stamp;
    let windowBytes = READ_CHUNK_BYTES;
    for (let taken = 0; taken < this.#body.length;) {
      const byteCount = this.#body.copy(kernel.memory, KERNEL_INPUT.start, taken, taken + windowBytes);
      const framed = kernel.frameLines({
        input: { start: KERNEL_INPUT.start, end: KERNEL_INPUT.start + byteCount },
        output: { start: outputStart, end },
        framing: { delimiter: LINE_DELIMITER },
        isFinal: taken + byteCount === this.#body.length,
        firstOffset,
        timestamp: stamp.timestamp,
        maxRecordBytes: MAX_RECORD_BYTES,
      });
      const inputBytes = framed.inputEnd - KERNEL_INPUT.start;
      // A line longer than the window: look at more of it at once.
      windowBytes = inputBytes === 0 ? windowBytes * 2 : READ_CHUNK_BYTES;
      taken += inputBytes;
      outputStart = framed.outputEnd;
      firstOffset += framed.recordCount;
    }
  }
}

const NEWLINE = 0x0a;
const LINE_DELIMITER = Uint8Array.of(NEWLINE);

/** Frames of which nobody knows how long they are would be written over what others have stored. */
function notAPayload(index: number): FastQueueError {
  return new FastQueueError(
    'invalid_argument',
    `Record ${index + 1} is no Uint8Array: give its bytes, Buffer.from(text) for text. Nothing was written.`,
    { sideEffects: 'none' },
  );
}

function notPayloads(): FastQueueError {
  return new FastQueueError(
    'invalid_argument',
    'The records to append must be an array of Uint8Array, one for each. Nothing was written.',
    { sideEffects: 'none' },
  );
}

function recordTooLarge(index: number, payloadBytes: number): FastQueueError {
  return new FastQueueError(
    'record_too_large',
    `Record ${index + 1} has ${payloadBytes} bytes; a record may have at most ${MAX_RECORD_BYTES}. Nothing was written.`,
    { sideEffects: 'none' },
  );
}
