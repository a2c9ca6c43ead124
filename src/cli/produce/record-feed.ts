/**
 * What stands between the input and the kernel: bytes in a form that the kernel can split into records, and the way
 * back from what was stored to the byte of the input where it ended. Lines and `len32be` go through untouched; `raw`
 * and `json` are rewritten as `len32be`.
 */
import { FastQueueError } from '../../engine/index.ts';
import type { ByteInput } from './byte-input.ts';
import { JsonLines } from './json-lines.ts';

/** How the kernel splits what a feed delivers. */
export type Framing = { readonly delimiter: Uint8Array } | 'len32be';

export interface RecordFeed {
  readonly input: ByteInput;
  readonly framing: Framing;
  /** True when only whole records come, and the window must have room for the largest. */
  readonly deliversWhole: boolean;
  /** As ByteInput.read, for the bytes to be framed. */
  read(window: Buffer): number | Promise<number>;
  /** Tells that so many more of the bytes delivered, and the records in them, are frames now. */
  taken(part: { recordCount: number; byteCount: number }): void;
  /** Byte of the input behind everything taken. */
  readonly nextInputByte: number;
}

export interface FeedOptions {
  readonly format: 'lines' | 'raw' | 'json' | 'len32be';
  readonly delimiter: Uint8Array;
  readonly maxRecordBytes: number;
  /** Told how many gap lines a JSON input had. */
  readonly onGap: () => void;
}

export function openFeed(input: ByteInput, options: FeedOptions): RecordFeed {
  switch (options.format) {
    case 'lines':
      return new PlainFeed(input, { delimiter: options.delimiter });
    case 'len32be':
      return new PlainFeed(input, 'len32be');
    case 'raw':
      return new WholeFeed(input, options.maxRecordBytes);
    case 'json':
      return new JsonFeed(input, options);
  }
}

const LENGTH_BYTES = 4;

/** Bytes as they come. */
class PlainFeed implements RecordFeed {
  readonly input: ByteInput;
  readonly deliversWhole = false;
  readonly framing: Framing;
  nextInputByte = 0;

  constructor(input: ByteInput, framing: Framing) {
    this.input = input;
    this.framing = framing;
  }

  read(window: Buffer): number | Promise<number> {
    return this.input.read(window);
  }

  taken({ byteCount }: { byteCount: number }): void {
    this.nextInputByte += byteCount;
  }
}

/** All of the input as one record: its length is known, and put before it, once the end has come. */
class WholeFeed implements RecordFeed {
  readonly input: ByteInput;
  readonly deliversWhole = true;
  readonly framing = 'len32be';
  readonly #maxRecordBytes: number;
  #payloadBytes = 0;
  #isDelivered = false;
  nextInputByte = 0;

  constructor(input: ByteInput, maxRecordBytes: number) {
    this.input = input;
    this.#maxRecordBytes = maxRecordBytes;
  }

  async read(window: Buffer): Promise<number> {
    if (this.#isDelivered) return 0;
    for (;;) {
      const end = LENGTH_BYTES + this.#payloadBytes;
      // One byte more than may come, to see that too much has come.
      const byteCount = await this.input.read(window.subarray(end, LENGTH_BYTES + this.#maxRecordBytes + 1));
      if (byteCount === 0) break;
      this.#payloadBytes += byteCount;
      if (this.#payloadBytes > this.#maxRecordBytes) {
        throw new FastQueueError(
          'record_too_large',
          `${this.input.path ?? 'Standard input'} is larger than the ${this.#maxRecordBytes} bytes that a record may have (--max-record-bytes).`,
        );
      }
    }
    // Reading was stopped inside the record.
    if (this.input.isStopped) return 0;
    this.#isDelivered = true;
    window.writeUInt32BE(this.#payloadBytes, 0);
    return LENGTH_BYTES + this.#payloadBytes;
  }

  taken({ recordCount }: { recordCount: number }): void {
    if (recordCount > 0) this.nextInputByte = this.#payloadBytes;
  }
}

/** JSON lines, decoded. */
class JsonFeed implements RecordFeed {
  readonly input: ByteInput;
  readonly deliversWhole = true;
  readonly framing = 'len32be';
  readonly #lines: JsonLines;
  /** Where in the input each record that was delivered and not yet taken ends. */
  readonly #ends: number[] = [];
  /** What is wrong with the line behind the records delivered last. */
  #failure: Error | undefined;
  nextInputByte = 0;

  constructor(input: ByteInput, options: FeedOptions) {
    this.input = input;
    this.#lines = new JsonLines(input, options);
  }

  async read(window: Buffer): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure;
    let end = 0;
    for (;;) {
      let next;
      try {
        // What is there is delivered before more is waited for.
        next = end === 0 ? await this.#lines.peek() : this.#lines.peekAtHand();
      } catch (error) {
        // The records before it are delivered first: they are good, and are stored.
        if (end === 0) throw error;
        this.#failure = error as Error;
        return end;
      }
      if (next === undefined || end + LENGTH_BYTES + next.payload.length > window.length) return end;
      end = window.writeUInt32BE(next.payload.length, end);
      end += next.payload.copy(window, end);
      this.#ends.push(next.endByte);
      this.#lines.advance();
    }
  }

  taken({ recordCount }: { recordCount: number }): void {
    if (recordCount > 0) this.nextInputByte = this.#ends.splice(0, recordCount).at(-1) as number;
  }
}
