/**
 * Many records as JSON text at once, straight from their frames into bytes: no object, string or buffer for each, which
 * would take longer than the rest. A property holds it to what json-records.ts gives for one record.
 */
import { isUtf8 } from 'node:buffer';
import { FRAME_HEADER_BYTES, frameTimestampAt, payloadBytesAt } from './format/frame.ts';

/** What stands around a record as text. */
export interface RecordTextForm {
  /** What comes before the offset. Where there are several, the offset follows each. */
  readonly starts: readonly Buffer[];
  /** What comes behind the payload. */
  readonly end: Buffer;
}

/** The lines of `consume --json`: byte for byte what `recordAsJson` gives. */
export function lineForm(topic: string): RecordTextForm {
  const start = `{"type":"record","topic":${JSON.stringify(topic)},"offset":`;
  return { starts: [Buffer.from(start)], end: Buffer.from('}\n') };
}

export interface FrameRun {
  /** Good frames of kind 0 stand here, from `start` to before `end`. */
  readonly memory: Buffer;
  readonly start: number;
  readonly end: number;
  readonly firstOffset: number;
  readonly recordCount: number;
  /** End before the first record with this timestamp or a later one. */
  readonly untilTimestamp: number;
}

/** Bytes that stand in a JSON string as they are: ASCII without control characters, quotation mark and backslash. */
const IS_PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte < 0x80 && byte !== 0x22 && byte !== 0x5c ? 1 : 0,
);

/** `,"timestamp":-9007199254740991,"payload":"` and the quotation mark at the end. */
const MEMBER_BYTES = 48;

/** Digits of the largest offset. */
const OFFSET_BYTES = 16;

/** A character that stands for bytes that are no text, or was stored as itself. */
const REPLACEMENT_CHARACTER = '\ufffd';

/** Records as text, in order: bytes of the caller's own, and how many records came before `untilTimestamp`. */
export function framesAsText(run: FrameRun, form: RecordTextForm): { bytes: Buffer; recordCount: number } {
  const text = new TextBuffer(run, form);
  let at = run.start;
  for (let number = 0; number < run.recordCount; number++) {
    const timestamp = frameTimestampAt(run.memory, at);
    if (timestamp >= run.untilTimestamp) return { bytes: text.take(), recordCount: number };
    const payloadStart = at + FRAME_HEADER_BYTES;
    at = payloadStart + payloadBytesAt(run.memory, at);
    text.add({ offset: run.firstOffset + number, timestamp, payloadStart, payloadEnd: at });
  }
  return { bytes: text.take(), recordCount: run.recordCount };
}

class TextBuffer {
  readonly #memory: Buffer;
  readonly #form: RecordTextForm;
  /** Bytes that a record takes at the most besides its payload, if that is plain. */
  readonly #frameBytes: number;
  #output: Buffer;
  #length = 0;
  #timestamp: number | undefined;
  /** What stands between offset and payload, for `#timestamp`. */
  #middle = Buffer.alloc(0);

  constructor(run: FrameRun, form: RecordTextForm) {
    this.#memory = run.memory;
    this.#form = form;
    const startBytes = form.starts.reduce((sum, start) => sum + start.length + OFFSET_BYTES, 0);
    this.#frameBytes = startBytes + MEMBER_BYTES + form.end.length;
    this.#output = Buffer.allocUnsafeSlow(run.end - run.start + run.recordCount * this.#frameBytes);
  }

  add(record: { offset: number; timestamp: number; payloadStart: number; payloadEnd: number }): void {
    const { timestamp, payloadStart, payloadEnd } = record;
    this.#makeRoom(this.#frameBytes + payloadEnd - payloadStart);
    const digits = String(record.offset);
    for (const start of this.#form.starts) {
      this.#addBytes(start);
      this.#addDigits(digits);
    }
    if (timestamp !== this.#timestamp) {
      this.#timestamp = timestamp;
      this.#middle = Buffer.from(`,"timestamp":${timestamp},"payload":"`);
    }
    const beforeMember = this.#length;
    this.#addBytes(this.#middle);
    if (this.#addPlain(payloadStart, payloadEnd)) {
      this.#output[this.#length++] = 0x22;
    } else {
      this.#length = beforeMember;
      this.#addText(`,"timestamp":${timestamp},${payloadMember(this.#memory, payloadStart, payloadEnd)}`);
    }
    this.#addBytes(this.#form.end);
  }

  take(): Buffer {
    return this.#output.subarray(0, this.#length);
  }

  /** False where a byte does not stand for itself: what was added of it must be taken back. */
  #addPlain(start: number, end: number): boolean {
    const memory = this.#memory;
    const output = this.#output;
    let length = this.#length;
    for (let at = start; at < end; at++) {
      const byte = memory[at] as number;
      if (IS_PLAIN[byte] === 0) return false;
      output[length++] = byte;
    }
    this.#length = length;
    return true;
  }

  /** A few bytes: a loop takes less time than a call out of the engine. */
  #addBytes(bytes: Buffer): void {
    const output = this.#output;
    let length = this.#length;
    for (let at = 0; at < bytes.length; at++) output[length++] = bytes[at] as number;
    this.#length = length;
  }

  #addDigits(digits: string): void {
    for (let at = 0; at < digits.length; at++) this.#output[this.#length++] = digits.charCodeAt(at);
  }

  #addText(text: string): void {
    this.#makeRoom(Buffer.byteLength(text) + this.#form.end.length);
    this.#length += this.#output.write(text, this.#length);
  }

  #makeRoom(byteCount: number): void {
    const wanted = this.#length + byteCount;
    if (wanted <= this.#output.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, this.#output.length * 2));
    this.#output.copy(larger, 0, 0, this.#length);
    this.#output = larger;
  }
}

function payloadMember(memory: Buffer, start: number, end: number): string {
  const payload = memory.toString('utf8', start, end);
  if (payload.includes(REPLACEMENT_CHARACTER) && !isUtf8(memory.subarray(start, end)))
    return `"payload_base64":"${memory.toString('base64', start, end)}"`;
  return `"payload":${JSON.stringify(payload)}`;
}
