/**
 * From the input into batches: fills the kernel's input memory, has the kernel split and frame it, and hands full
 * batches on. Works on whole stretches of bytes, never on single records, except where one is larger than a batch.
 */
import {
  FastQueueError,
  FRAME_HEADER_BYTES,
  KERNEL_INPUT,
  type FrameLinesResult,
  type Kernel,
} from '../../engine/index.ts';
import type { BatchWriter } from './batch-writer.ts';
import type { Framing, RecordFeed } from './record-feed.ts';

export interface PumpOptions {
  readonly kernel: Kernel;
  readonly writer: BatchWriter;
  readonly batchBytes: number;
  readonly maxRecordBytes: number;
}

const LENGTH_BYTES = 4;

/** So much is read at once: it is framed while the processor still has it at hand, which a whole batch would not be. */
const READ_BYTES = 256 * 1024;

/** So little is moved to the front of the memory rather than reading on behind it. */
const CHEAP_MOVE_BYTES = 64 * 1024;

export class Pump {
  readonly #options: PumpOptions;
  /** Unframed bytes stand from `#start` to `#end` in the kernel's memory. */
  #start = KERNEL_INPUT.start;
  #end = KERNEL_INPUT.start;
  /** No delimiter ends before this. */
  #searchedTo = KERNEL_INPUT.start;
  #recordNumber = 0;

  constructor(options: PumpOptions) {
    this.#options = options;
  }

  /**
   * Frames everything that the feed has. Returns early, without an error, once the writer has failed or the input was
   * stopped; what had been read completely by then is framed.
   *
   * @throws FastQueueError `record_too_large`, `malformed_input`, naming record and byte; errors of the input
   */
  async run(feed: RecordFeed): Promise<void> {
    const { writer } = this.#options;
    this.#start = this.#end = this.#searchedTo = KERNEL_INPUT.start;
    for (let isFinal = false; !writer.hasFailed;) {
      await this.#frameAll(feed, isFinal);
      if (isFinal || feed.input.isStopped) return;
      this.#makeRoom();
      const reading = feed.read(this.#window(feed));
      // There is nothing at the moment: what is framed is stored rather than kept waiting.
      if (typeof reading !== 'number' && !feed.input.isImmediate) writer.pause();
      const byteCount = await reading;
      this.#end += byteCount;
      isFinal = byteCount === 0 && !feed.input.isStopped;
    }
  }

  /** Frames until the input memory holds less than one record, storing batches as they fill up. */
  async #frameAll(feed: RecordFeed, isFinal: boolean): Promise<void> {
    const { writer } = this.#options;
    while (!writer.hasFailed && (this.#mayHoldRecord(feed.framing) || (isFinal && this.#end > this.#start))) {
      const result = this.#frame(feed, isFinal, this.#end);
      switch (result.stop) {
        case 'input-exhausted':
          this.#searchedTo = this.#end;
          return;
        case 'output-full':
          if (writer.isEmpty) await this.#frameAlone(feed);
          else await writer.submit();
          break;
        case 'record-too-large':
          throw this.#tooLarge(feed);
        case 'cut-off':
          throw this.#cutOff(feed);
      }
    }
  }

  /** One call of the kernel, into the open batch. */
  #frame(feed: RecordFeed, isFinal: boolean, inputEnd: number): FrameLinesResult {
    const { kernel, writer, maxRecordBytes } = this.#options;
    const result = kernel.frameLines({
      input: { start: this.#start, end: inputEnd },
      framing: feed.framing,
      isFinal,
      maxRecordBytes,
      ...writer.nextTarget(),
    });
    feed.taken({ recordCount: result.recordCount, byteCount: result.inputEnd - this.#start });
    this.#start = result.inputEnd;
    this.#recordNumber += result.recordCount;
    if (result.recordCount > 0) {
      writer.add({
        recordCount: result.recordCount,
        outputEnd: result.outputEnd,
        inputPosition: { path: feed.input.path, byte: feed.nextInputByte },
      });
    }
    return result;
  }

  /** The next record is larger than a batch may be: it becomes a batch of its own. */
  async #frameAlone(feed: RecordFeed): Promise<void> {
    const { kernel, writer, maxRecordBytes } = this.#options;
    const recordEnd = this.#recordEnd(feed.framing);
    const output = await writer.makeRoomFor(FRAME_HEADER_BYTES + recordEnd - this.#start);
    const result = kernel.frameLines({
      input: { start: this.#start, end: recordEnd },
      framing: feed.framing,
      isFinal: true,
      maxRecordBytes,
      ...writer.nextTarget(),
      output,
    });
    feed.taken({ recordCount: result.recordCount, byteCount: result.inputEnd - this.#start });
    this.#start = result.inputEnd;
    this.#recordNumber += result.recordCount;
    writer.add({
      recordCount: result.recordCount,
      outputEnd: result.outputEnd,
      inputPosition: { path: feed.input.path, byte: feed.nextInputByte },
    });
    await writer.submit();
  }

  /** End of the record at `#start`, delimiter included, which is known to be in memory or to be the last. */
  #recordEnd(framing: Framing): number {
    const { memory } = this.#options.kernel;
    if (framing === 'len32be') return this.#start + LENGTH_BYTES + memory.readUInt32BE(this.#start);
    const found = memory.subarray(0, this.#end).indexOf(framing.delimiter, this.#start);
    return found === -1 ? this.#end : found + framing.delimiter.length;
  }

  /**
   * False when the kernel would look at bytes it has seen and find no end of a record again: a record of megabytes that
   * comes in pieces must not be searched from its beginning for every piece.
   */
  #mayHoldRecord(framing: Framing): boolean {
    const { kernel, maxRecordBytes } = this.#options;
    const byteCount = this.#end - this.#start;
    if (byteCount === 0) return false;
    if (framing === 'len32be') {
      if (byteCount < LENGTH_BYTES) return false;
      const payloadBytes = kernel.memory.readUInt32BE(this.#start);
      return payloadBytes > maxRecordBytes || byteCount >= LENGTH_BYTES + payloadBytes;
    }
    if (this.#searchedTo <= this.#start || byteCount > maxRecordBytes) return true;
    const from = Math.max(this.#start, this.#searchedTo - framing.delimiter.length + 1);
    const found = kernel.memory.subarray(0, this.#end).indexOf(framing.delimiter, from);
    // Where the batch has no room for it, it is asked for again; once it is framed, what stands behind it is unsearched.
    this.#searchedTo = found === -1 ? this.#end : found;
    return found !== -1;
  }

  /** Moves what is left to the front where that costs little or there is no more room behind it. */
  #makeRoom(): void {
    const { memory } = this.#options.kernel;
    const byteCount = this.#end - this.#start;
    if (this.#start === KERNEL_INPUT.start) return;
    if (byteCount > CHEAP_MOVE_BYTES && this.#end + this.#options.batchBytes <= KERNEL_INPUT.end) return;
    memory.copyWithin(KERNEL_INPUT.start, this.#start, this.#end);
    this.#searchedTo = Math.max(KERNEL_INPUT.start, this.#searchedTo - (this.#start - KERNEL_INPUT.start));
    this.#start = KERNEL_INPUT.start;
    this.#end = KERNEL_INPUT.start + byteCount;
  }

  /** Where the next bytes go: all that there is room for only where a feed needs room for a whole record. */
  #window(feed: RecordFeed): Buffer {
    const { kernel } = this.#options;
    const wantedBytes = feed.deliversWhole ? KERNEL_INPUT.end : READ_BYTES;
    const end = Math.min(KERNEL_INPUT.end, this.#end + wantedBytes);
    return kernel.memory.subarray(this.#end, end);
  }

  #tooLarge(feed: RecordFeed): FastQueueError {
    return new FastQueueError(
      'record_too_large',
      `Record ${this.#recordNumber + 1}, at byte ${feed.nextInputByte} of ${nameOf(feed)}, is larger than the ` +
        `${this.#options.maxRecordBytes} bytes that a record may have (--max-record-bytes).`,
    );
  }

  #cutOff(feed: RecordFeed): FastQueueError {
    return new FastQueueError(
      'malformed_input',
      `Record ${this.#recordNumber + 1}, at byte ${feed.nextInputByte} of ${nameOf(feed)}, is cut off: the input ends inside it.`,
    );
  }
}

function nameOf(feed: RecordFeed): string {
  return feed.input.path ?? 'the input';
}
