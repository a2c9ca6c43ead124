/**
 * The kernel in WebAssembly (assembly/): one crossing for a whole stretch of bytes. Holds to the same contract as
 * reference.ts, byte for byte. A module is compiled once for a process; each kernel has an instance and a memory of its
 * own, created at its final size, since growing it would empty every view.
 */
import { crc32 } from 'node:zlib';
import { KERNEL_BINARY } from './kernel-binary.ts';
import type {
  EmitRequest,
  EmitResult,
  EmitTextRequest,
  EmitTextResult,
  EmitTextStop,
  FrameLinesRequest,
  FrameLinesResult,
  FrameLinesStop,
  FramesRequest,
  FramesResult,
  FramesStop,
  IndexFramesRequest,
  IndexFramesResult,
  Kernel,
  Region,
  StampRequest,
} from './kernel.ts';

const FRAME_LINES_STOPS = [
  'input-exhausted',
  'output-full',
  'record-too-large',
  'cut-off',
] as const satisfies FrameLinesStop[];

const FRAMES_STOPS = [
  'end',
  'until',
  'incomplete',
  'special',
  'bad',
  'output-full',
] as const satisfies FramesStop[];

const TEXT_STOPS = ['end', 'until', 'not-text', 'output-full'] as const satisfies EmitTextStop[];

/** What the kernel puts between an offset and a timestamp, a timestamp and a payload, and behind the payload. */
const TIME_LABEL = Buffer.from(',"timestamp":');
const PAYLOAD_LABEL = Buffer.from(',"payload":"');
const PAYLOAD_END = Buffer.from('"');

/** The module's exports; numbers named …At and …End are bytes in memory. */
interface KernelExports {
  readonly TABLES_AT: { readonly value: number };
  readonly RESULT_AT: { readonly value: number };
  readonly DELIMITER_AT: { readonly value: number };
  initialise(): void;
  frameLines(
    inputStart: number,
    inputEnd: number,
    outputStart: number,
    outputEnd: number,
    delimiterBytes: number,
    isFinal: number,
    firstOffset: bigint,
    timestamp: bigint,
    maxRecordBytes: number,
  ): number;
  checkFrames(
    inputStart: number,
    inputEnd: number,
    firstOffset: bigint,
    maxRecords: number,
    minTimestamp: number,
  ): number;
  emitPayloads(
    inputStart: number,
    inputEnd: number,
    firstOffset: bigint,
    maxRecords: number,
    minTimestamp: number,
    outputStart: number,
    outputEnd: number,
    prefixBytes: number,
    delimiterBytes: number,
  ): number;
  emitText(
    inputStart: number,
    inputEnd: number,
    firstOffset: bigint,
    untilTimestamp: number,
    outputStart: number,
    outputEnd: number,
    pieces: number,
    firstBytes: number,
    secondBytes: number,
    timeBytes: number,
    payloadLabelBytes: number,
    endBytes: number,
  ): number;
  stampFrames(start: number, end: number, firstOffset: bigint, timestamp: bigint): void;
  indexFrames(
    start: number,
    end: number,
    firstOffset: bigint,
    position: bigint,
    nextEntryPosition: bigint,
    intervalBytes: bigint,
    output: number,
  ): bigint;
}

/** What Node has of WebAssembly and the compiler's libraries for it do not declare. */
interface WebAssemblyApi {
  readonly Memory: new (options: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WebAssemblyApi };

const PAGE_BYTES = 65_536;

/** Tables, results, and delimiters as long as an argument of a command can be (128 KiB), rounded up. */
const OWN_BYTES = 4 * PAGE_BYTES;

const MAX_DELIMITER_BYTES = OWN_BYTES - PAGE_BYTES;

const LENGTH_PREFIX_BYTES = 4;

let compiled: object | undefined;

export class WasmKernel implements Kernel {
  readonly memory: Buffer;
  readonly #exports: KernelExports;
  readonly #regionsEnd: number;
  readonly #delimiterAt: number;
  /** Record count, end of the input taken, end of the output. */
  readonly #results: Uint32Array;
  readonly #timestampResult: Float64Array;

  /** @param regionsEnd where the memory that callers may use ends; the module is compiled for one value of it */
  constructor(regionsEnd: number) {
    const memory = new wasm.Memory({ ...pagesFor(regionsEnd + OWN_BYTES) });
    this.memory = Buffer.from(memory.buffer);
    compiled ??= new wasm.Module(Buffer.from(KERNEL_BINARY, 'base64'));
    const instance = new wasm.Instance(compiled, {
      env: {
        memory,
        nativeCrc32: (start: number, end: number, previous: number) =>
          crc32(this.memory.subarray(start, end), previous >>> 0),
      },
    });
    this.#exports = instance.exports as KernelExports;
    if (this.#exports.TABLES_AT.value !== regionsEnd)
      throw new RangeError(`The kernel was compiled for regions of ${this.#exports.TABLES_AT.value} bytes.`);
    this.#exports.initialise();
    this.#regionsEnd = regionsEnd;
    this.#delimiterAt = this.#exports.DELIMITER_AT.value;
    this.#results = new Uint32Array(memory.buffer, this.#exports.RESULT_AT.value, 3);
    this.#timestampResult = new Float64Array(memory.buffer, this.#exports.RESULT_AT.value + 16, 1);
  }

  frameLines(request: FrameLinesRequest): FrameLinesResult {
    const { input, output, framing } = request;
    this.#assertInside(input, output);
    const stop = this.#exports.frameLines(
      input.start,
      input.end,
      output.start,
      output.end,
      framing === 'len32be' ? 0 : this.#setDelimiter(framing.delimiter),
      request.isFinal ? 1 : 0,
      BigInt(request.firstOffset),
      BigInt(request.timestamp),
      request.maxRecordBytes,
    );
    const [recordCount, inputEnd, outputEnd] = this.#results as unknown as [number, number, number];
    return { stop: FRAME_LINES_STOPS[stop] as FrameLinesStop, recordCount, inputEnd, outputEnd };
  }

  checkFrames(request: FramesRequest): FramesResult {
    const { input, firstOffset, untilOffset, minTimestamp } = request;
    this.#assertInside(input, input);
    return this.#framesResult(
      request,
      this.#exports.checkFrames(
        input.start,
        input.end,
        BigInt(firstOffset),
        untilOffset - firstOffset,
        minTimestamp,
      ),
    );
  }

  emitPayloads(request: EmitRequest): EmitResult {
    const { input, output, firstOffset, untilOffset, minTimestamp, framing } = request;
    this.#assertInside(input, output);
    const stop = this.#exports.emitPayloads(
      input.start,
      input.end,
      BigInt(firstOffset),
      untilOffset - firstOffset,
      minTimestamp,
      output.start,
      output.end,
      framing === 'len32be' ? LENGTH_PREFIX_BYTES : 0,
      framing === 'len32be' ? 0 : this.#setDelimiter(framing.delimiter),
    );
    return { ...this.#framesResult(request, stop), outputEnd: this.#results[2] as number };
  }

  emitText(request: EmitTextRequest): EmitTextResult {
    const { input, output, form } = request;
    this.#assertInside(input, output);
    const [first, second] = form.starts;
    const pieces = Buffer.concat([...form.starts, TIME_LABEL, PAYLOAD_LABEL, PAYLOAD_END, form.end]);
    this.#setDelimiter(pieces);
    const stop = this.#exports.emitText(
      input.start,
      input.end,
      BigInt(request.firstOffset),
      request.untilTimestamp,
      output.start,
      output.end,
      this.#delimiterAt,
      first.length,
      second?.length ?? 0,
      TIME_LABEL.length,
      PAYLOAD_LABEL.length,
      PAYLOAD_END.length + form.end.length,
    );
    const [recordCount, inputEnd, outputEnd] = this.#results as unknown as [number, number, number];
    return { stop: TEXT_STOPS[stop] as EmitTextStop, recordCount, inputEnd, outputEnd };
  }

  stampFrames(request: StampRequest): void {
    const { frames } = request;
    this.#assertInside(frames, frames);
    this.#exports.stampFrames(
      frames.start,
      frames.end,
      BigInt(request.firstOffset),
      BigInt(request.timestamp),
    );
  }

  indexFrames(request: IndexFramesRequest): IndexFramesResult {
    const { frames, output } = request;
    this.#assertInside(frames, output);
    const nextEntryPosition = this.#exports.indexFrames(
      frames.start,
      frames.end,
      BigInt(request.firstOffset),
      BigInt(request.position),
      BigInt(request.nextEntryPosition),
      BigInt(request.intervalBytes),
      output.start,
    );
    return { outputEnd: this.#results[2] as number, nextEntryPosition: Number(nextEntryPosition) };
  }

  #framesResult(request: FramesRequest, stop: number): FramesResult {
    const [recordCount, inputEnd] = this.#results as unknown as [number, number];
    return {
      stop: FRAMES_STOPS[stop] as FramesStop,
      recordCount,
      inputEnd,
      nextOffset: request.firstOffset + recordCount,
      lastTimestamp: this.#timestampResult[0] as number,
    };
  }

  #setDelimiter(delimiter: Uint8Array): number {
    if (delimiter.length > MAX_DELIMITER_BYTES)
      throw new RangeError(`A delimiter may have ${MAX_DELIMITER_BYTES} bytes.`);
    if (delimiter.length === 1) this.memory[this.#delimiterAt] = delimiter[0] as number;
    else this.memory.set(delimiter, this.#delimiterAt);
    return delimiter.length;
  }

  /** Behind the regions lie the tables: a caller that strays would corrupt every checksum from then on. */
  #assertInside(...regions: readonly Region[]): void {
    for (const { start, end } of regions) {
      if (start < 0 || end < start || end > this.#regionsEnd)
        throw new RangeError(`Bytes ${start} to ${end} are outside of the kernel's regions.`);
    }
  }
}

function pagesFor(byteCount: number): { initial: number; maximum: number } {
  const pages = Math.ceil(byteCount / PAGE_BYTES);
  return { initial: pages, maximum: pages };
}
