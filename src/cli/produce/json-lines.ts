/**
 * Reads back what `consume --json` prints: one object a line, its payload as text or base64. Exactly the bytes that were
 * consumed come out, a byte order mark included; what could not give them back exactly is refused, as is a member that
 * would be lost.
 */
import { FastQueueError, NotAPayload, payloadFromJson } from '../../engine/index.ts';
import type { ByteInput } from './byte-input.ts';

export interface JsonRecord {
  readonly payload: Buffer;
  /** Byte of the input behind the record's line. */
  readonly endByte: number;
}

export interface JsonLinesOptions {
  readonly maxRecordBytes: number;
  readonly onGap: () => void;
}

const NEWLINE = 0x0a;
const FIRST_BUFFER_BYTES = 256 * 1024;

/** A line of JSON may be longer than its payload: six characters for one byte at the worst, and the other fields. */
const LONGEST_ESCAPE = 6;
const OTHER_FIELDS_BYTES = 4096;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class JsonLines {
  readonly #input: ByteInput;
  readonly #options: JsonLinesOptions;
  readonly #maxLineBytes: number;
  #buffer = Buffer.alloc(FIRST_BUFFER_BYTES);
  #start = 0;
  #end = 0;
  /** Everything before this has been looked at for a newline. */
  #searchedTo = 0;
  /** Byte of the input at `#start`. */
  #startByte = 0;
  #lineNumber = 0;
  #hasEnded = false;
  #next: JsonRecord | undefined;

  constructor(input: ByteInput, options: JsonLinesOptions) {
    this.#input = input;
    this.#options = options;
    this.#maxLineBytes = options.maxRecordBytes * LONGEST_ESCAPE + OTHER_FIELDS_BYTES;
  }

  /**
   * The next record, or undefined at the end.
   *
   * @throws FastQueueError `malformed_input` naming line and byte, `record_too_large`
   */
  async peek(): Promise<JsonRecord | undefined> {
    for (;;) {
      const next = this.peekAtHand();
      if (next !== undefined || this.#hasEnded) return next;
      await this.#fill();
    }
  }

  /** As `peek`, but undefined also where input would have to be waited for. */
  peekAtHand(): JsonRecord | undefined {
    while (this.#next === undefined) {
      const line = this.#takeLine();
      if (line === undefined) return undefined;
      this.#next = this.#decode(line);
    }
    return this.#next;
  }

  /** Goes on behind the record that was peeked at. */
  advance(): void {
    this.#next = undefined;
  }

  #findNewline(): number {
    if (this.#searchedTo < this.#start) this.#searchedTo = this.#start;
    const found = this.#buffer.subarray(0, this.#end).indexOf(NEWLINE, this.#searchedTo);
    this.#searchedTo = found === -1 ? this.#end : found;
    return found;
  }

  /** The next whole line, or the unfinished last one; it is valid until the next fill. */
  #takeLine(): Buffer | undefined {
    const newline = this.#findNewline();
    if (newline === -1 && !(this.#hasEnded && this.#end > this.#start)) return undefined;
    const lineEnd = newline === -1 ? this.#end : newline;
    const next = newline === -1 ? this.#end : newline + 1;
    const line = this.#buffer.subarray(this.#start, lineEnd);
    this.#startByte += next - this.#start;
    this.#start = next;
    this.#lineNumber += 1;
    return line;
  }

  async #fill(): Promise<void> {
    if (this.#end - this.#start > this.#maxLineBytes) throw this.#tooLarge(this.#lineNumber + 1, 'begins');
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#searchedTo = Math.max(0, this.#searchedTo - this.#start);
      this.#start = 0;
    }
    if (this.#end === this.#buffer.length) {
      const larger = Buffer.alloc(this.#buffer.length * 2);
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    const byteCount = await this.#input.read(this.#buffer.subarray(this.#end));
    if (byteCount === 0) this.#hasEnded = true;
    this.#end += byteCount;
    // Reading was stopped in the middle of a line, which is not the last one: the rest of it has not come.
    if (this.#hasEnded && this.#input.isStopped) this.#end = this.#start;
  }

  /** Undefined for a line that carries no record: an empty one, or a gap. */
  #decode(line: Buffer): JsonRecord | undefined {
    if (line.length === 0) return undefined;
    const value = this.#parse(line);
    if (isGap(value)) {
      this.#options.onGap();
      return undefined;
    }
    const payload = this.#payloadOf(value);
    if (payload.length > this.#options.maxRecordBytes) throw this.#tooLarge(this.#lineNumber, 'ends');
    return { payload, endByte: this.#startByte };
  }

  #parse(line: Buffer): unknown {
    try {
      return JSON.parse(decoder.decode(line)) as unknown;
    } catch {
      throw this.#malformed('is not JSON');
    }
  }

  #payloadOf(record: unknown): Buffer {
    try {
      return payloadFromJson(record);
    } catch (error) {
      if (error instanceof NotAPayload) throw this.#malformed(error.message);
      throw error;
    }
  }

  get #ofFile(): string {
    return this.#input.path === undefined ? '' : ` of ${this.#input.path}`;
  }

  #malformed(what: string): FastQueueError {
    return new FastQueueError(
      'malformed_input',
      `Line ${this.#lineNumber}${this.#ofFile} (it ends at byte ${this.#startByte}) ${what}. ` +
        '"-i json" reads what "fastqueue consume --json" prints.',
    );
  }

  #tooLarge(lineNumber: number, does: 'begins' | 'ends'): FastQueueError {
    return new FastQueueError(
      'record_too_large',
      `The record on line ${lineNumber}${this.#ofFile} (it ${does} at byte ${this.#startByte}) is larger than the ${this.#options.maxRecordBytes} bytes that a record may have (--max-record-bytes).`,
    );
  }
}

const isGap = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'type' in value && value.type === 'gap';
