/**
 * A place in one segment, moving forward frame by frame over an open store. Knows nothing of marks, generations or other
 * segments: log-reader.ts tells it how far it may go. Uses the kernel's memory for the length of a call.
 */
import { decodeFrameHeader, FRAME_HEADER_BYTES, frameTimestampAt, payloadBytesAt } from './format/frame.ts';
import { headerAt } from './frame-header.ts';
import { isSound, newerFrame, readFrameAt } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { KERNEL_INPUT, KERNEL_OUTPUT } from './kernel/index.ts';
import type { EmitRequest, FramesResult, Kernel } from './kernel/kernel.ts';
import { MAX_BATCH_BYTES, READ_CHUNK_BYTES } from './limits.ts';
import type { SegmentPlace } from './offset-index.ts';

/** One record that was read. */
export interface RecordEntry {
  readonly type: 'record';
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** A part of the buffer that it was read into: whose that is says who reads. */
  readonly payload: Buffer;
}

/** What stands at the cursor. `short`: no whole frame, and the file has fewer bytes than it should. `end`: nothing before endPosition. */
export type CursorStep =
  | { readonly type: 'records'; readonly result: FramesResult }
  | { readonly type: 'gap'; readonly offset: number; readonly count: number; readonly reason: number }
  | { readonly type: 'end' | 'short' | 'bad' };

/** Bytes read to get from an index entry to the wanted offset. */
const SKIP_CHUNK_BYTES = 64 * 1024;

export class SegmentCursor {
  readonly baseOffset: number;
  readonly store: FileHandle;
  readonly #kernel: Kernel;
  /** Bytes of the store that may be read: the mark's Position, or the size of a sealed store. */
  endPosition: number;
  #position: number;
  #offset: number;
  #lastTimestamp = -Infinity;

  constructor(parts: {
    kernel: Kernel;
    store: FileHandle;
    baseOffset: number;
    endPosition: number;
    place: SegmentPlace;
  }) {
    this.#kernel = parts.kernel;
    this.store = parts.store;
    this.baseOffset = parts.baseOffset;
    this.endPosition = parts.endPosition;
    this.#position = parts.place.position;
    this.#offset = parts.place.offset;
  }

  /** Where the next frame begins. */
  get position(): number {
    return this.#position;
  }

  /** The offset that the next frame begins at. */
  get offset(): number {
    return this.#offset;
  }

  /** Timestamp of the frame before, -Infinity where none was read. */
  get lastTimestamp(): number {
    return this.#lastTimestamp;
  }

  /** Goes on at another frame boundary, behind damage. */
  moveTo(place: SegmentPlace): void {
    this.#position = place.position;
    this.#offset = place.offset;
  }

  close(): void {
    this.store.close();
  }

  /** Moves past whole frames that end at or before `offset`; stops before anything that is not a good record. */
  skipTo(offset: number): CursorStep {
    return this.#advance({ untilOffset: offset, maxBytes: SKIP_CHUNK_BYTES }, (request) =>
      this.#kernel.checkFrames(request),
    );
  }

  /** Checks the next records. They stand in the kernel's input region, from its start. */
  check(limits: { untilOffset: number; maxBytes: number }): CursorStep {
    return this.#advance(limits, (request) => this.#kernel.checkFrames(request));
  }

  /** Checks the next records and puts their payloads into the kernel's output region. */
  emit(
    limits: { untilOffset: number; maxBytes: number },
    framing: EmitRequest['framing'],
  ): CursorStep & { outputEnd: number } {
    let outputEnd = KERNEL_OUTPUT.start;
    const step = this.#advance(limits, (request) => {
      const result = this.#kernel.emitPayloads({ ...request, output: KERNEL_OUTPUT, framing });
      outputEnd = result.outputEnd;
      return result;
    });
    return { ...step, outputEnd };
  }

  #advance(
    limits: { untilOffset: number; maxBytes: number },
    run: (request: {
      input: { start: number; end: number };
      firstOffset: number;
      untilOffset: number;
      minTimestamp: number;
    }) => FramesResult,
  ): CursorStep {
    let chunkBytes = Math.min(Math.max(limits.maxBytes, FRAME_HEADER_BYTES), MAX_BATCH_BYTES);
    for (;;) {
      const wanted = Math.min(chunkBytes, this.endPosition - this.#position);
      if (wanted <= 0) return { type: 'end' };
      const byteCount = this.store.read(this.#kernel.memory.subarray(0, wanted), this.#position);
      if (byteCount === 0) return { type: 'short' };
      const result = run({
        input: { start: KERNEL_INPUT.start, end: KERNEL_INPUT.start + byteCount },
        firstOffset: this.#offset,
        untilOffset: limits.untilOffset,
        minTimestamp: this.#lastTimestamp,
      });
      if (result.recordCount > 0) {
        this.#position += result.inputEnd - KERNEL_INPUT.start;
        this.#offset = result.nextOffset;
        this.#lastTimestamp = result.lastTimestamp;
        return { type: 'records', result };
      }
      if (result.stop === 'until') return { type: 'end' };
      if (result.stop === 'bad') return { type: 'bad' };
      if (result.stop === 'special') {
        const step = this.#special();
        if (step !== undefined) return step;
        continue;
      }
      if (byteCount < wanted) return { type: 'short' };
      const frameBytes = this.#frameBytes(byteCount);
      if (frameBytes === undefined || this.#position + frameBytes > this.endPosition) return { type: 'bad' };
      chunkBytes = Math.max(frameBytes, chunkBytes === frameBytes ? READ_CHUNK_BYTES : 0);
    }
  }

  /** Length of the frame at the cursor, whose first bytes are in the kernel's input region. */
  #frameBytes(byteCount: number): number | undefined {
    if (byteCount >= FRAME_HEADER_BYTES)
      return decodeFrameHeader(this.#kernel.memory, KERNEL_INPUT.start).frameBytes;
    return headerAt(this.store, { position: this.#position, endPosition: this.endPosition })?.frameBytes;
  }

  /** A gap is a step; a control frame is passed over. @throws FastQueueError `newer_format` */
  #special(): CursorStep | undefined {
    const frame = readFrameAt(this.store, {
      position: this.#position,
      offset: this.#offset,
      endPosition: this.endPosition,
      minTimestamp: this.#lastTimestamp,
    });
    if (frame.type === 'newer') throw newerFrame(this.store.path, this.#position);
    if (!isSound(frame)) return { type: 'bad' };
    const offset = this.#offset;
    this.#position += frame.header.frameBytes;
    this.#offset += frame.offsetCount;
    this.#lastTimestamp = frame.header.timestamp;
    return frame.type === 'gap' && frame.offsetCount > 0
      ? { type: 'gap', offset, count: frame.offsetCount, reason: frame.reason }
      : undefined;
  }
}

/** The records of good frames, from the first byte of `frames` to its end; payloads are parts of it. */
export function recordEntries(frames: Buffer, firstOffset: number): RecordEntry[] {
  const records: RecordEntry[] = [];
  for (let at = 0; at < frames.length;) {
    const end = at + FRAME_HEADER_BYTES + payloadBytesAt(frames, at);
    records.push({
      type: 'record',
      offset: firstOffset + records.length,
      timestamp: frameTimestampAt(frames, at),
      payload: frames.subarray(at + FRAME_HEADER_BYTES, end),
    });
    at = end;
  }
  return records;
}
