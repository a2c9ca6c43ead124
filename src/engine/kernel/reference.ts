/**
 * The kernel in plain TypeScript: what every other implementation must agree with, byte for byte. Only tests run it:
 * there is no Node without WebAssembly that the rest would work on. Works on ordinary memory through the codecs of format/.
 */
import { isUtf8 } from 'node:buffer';
import { readInt64, writeInt64 } from '../format/big-endian.ts';
import {
  CHECKSUM_AT,
  FRAME_HEADER_BYTES,
  frameChecksum,
  MAX_RECORD_BYTES,
  TIMESTAMP_AT,
} from '../format/frame.ts';
import { encodeIndexEntry, INDEX_ENTRY_BYTES } from '../format/index-entry.ts';
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

const LENGTH_PREFIX_BYTES = 4;

export class ReferenceKernel implements Kernel {
  readonly memory: Buffer;

  /** @param memory used as it is, for as long as the kernel lives */
  constructor(memory: Buffer) {
    this.memory = memory;
  }

  frameLines(request: FrameLinesRequest): FrameLinesResult {
    const { memory } = this;
    let inputEnd = request.input.start;
    let outputEnd = request.output.start;
    let recordCount = 0;
    const finish = (stop: FrameLinesStop): FrameLinesResult => ({ stop, recordCount, inputEnd, outputEnd });
    while (inputEnd < request.input.end) {
      const found = this.#nextRecord(request, inputEnd);
      if (typeof found === 'string') return finish(found);
      const frameEnd = outputEnd + FRAME_HEADER_BYTES + found.end - found.start;
      if (frameEnd > request.output.end) return finish('output-full');
      memory.copy(memory, outputEnd + FRAME_HEADER_BYTES, found.start, found.end);
      memory.writeUInt32BE(found.end - found.start, outputEnd);
      this.#stamp(outputEnd, frameEnd, {
        offset: request.firstOffset + recordCount,
        timestamp: request.timestamp,
      });
      recordCount += 1;
      outputEnd = frameEnd;
      inputEnd = found.next;
    }
    return finish('input-exhausted');
  }

  checkFrames(request: FramesRequest): FramesResult {
    return this.#walk(request, () => true);
  }

  emitPayloads(request: EmitRequest): EmitResult {
    const { memory } = this;
    const { framing } = request;
    let outputEnd = request.output.start;
    const result = this.#walk(request, (payload) => {
      const payloadBytes = payload.end - payload.start;
      const extraBytes = framing === 'len32be' ? LENGTH_PREFIX_BYTES : framing.delimiter.length;
      if (outputEnd + payloadBytes + extraBytes > request.output.end) return false;
      if (framing === 'len32be') outputEnd = memory.writeUInt32BE(payloadBytes, outputEnd);
      outputEnd += memory.copy(memory, outputEnd, payload.start, payload.end);
      if (framing !== 'len32be') {
        memory.set(framing.delimiter, outputEnd);
        outputEnd += framing.delimiter.length;
      }
      return true;
    });
    return { ...result, outputEnd };
  }

  emitText(request: EmitTextRequest): EmitTextResult {
    const { memory } = this;
    const { input, output, form } = request;
    let inputEnd = input.start;
    let outputEnd = output.start;
    let recordCount = 0;
    const finish = (stop: EmitTextStop): EmitTextResult => ({ stop, recordCount, inputEnd, outputEnd });
    while (inputEnd < input.end) {
      const timestamp = readInt64(memory, inputEnd + TIMESTAMP_AT);
      if (timestamp >= request.untilTimestamp) return finish('until');
      const frameEnd = inputEnd + FRAME_HEADER_BYTES + memory.readUInt32BE(inputEnd);
      const payload = memory.subarray(inputEnd + FRAME_HEADER_BYTES, frameEnd);
      if (!isUtf8(payload)) return finish('not-text');
      const offset = request.firstOffset + recordCount;
      const text = Buffer.concat([
        ...form.starts.flatMap((start) => [start, Buffer.from(String(offset))]),
        Buffer.from(`,"timestamp":${timestamp},"payload":${JSON.stringify(payload.toString())}`),
        form.end,
      ]);
      if (outputEnd + text.length > output.end) return finish('output-full');
      outputEnd += text.copy(memory, outputEnd);
      inputEnd = frameEnd;
      recordCount += 1;
    }
    return finish('end');
  }

  stampFrames(request: StampRequest): void {
    let offset = request.firstOffset;
    for (let at = request.frames.start; at < request.frames.end; offset++) {
      const frameEnd = at + FRAME_HEADER_BYTES + this.memory.readUInt32BE(at);
      this.#stamp(at, frameEnd, { offset, timestamp: request.timestamp });
      at = frameEnd;
    }
  }

  indexFrames(request: IndexFramesRequest): IndexFramesResult {
    const { frames } = request;
    let { nextEntryPosition } = request;
    let outputEnd = request.output.start;
    let offset = request.firstOffset;
    for (let at = frames.start; at < frames.end; offset++) {
      const lengthField = this.memory.readUInt32BE(at);
      const position = request.position + at - frames.start;
      if (position >= nextEntryPosition) {
        encodeIndexEntry(this.memory, outputEnd, { offset, position, lengthField });
        outputEnd += INDEX_ENTRY_BYTES;
        nextEntryPosition = position + request.intervalBytes;
      }
      at += FRAME_HEADER_BYTES + lengthField;
    }
    return { outputEnd, nextEntryPosition };
  }

  #stamp(at: number, frameEnd: number, stamp: { offset: number; timestamp: number }): void {
    writeInt64(this.memory, stamp.timestamp, at + TIMESTAMP_AT);
    this.memory.writeUInt32BE(
      frameChecksum(this.memory.subarray(at, frameEnd), stamp.offset),
      at + CHECKSUM_AT,
    );
  }

  #nextRecord(request: FrameLinesRequest, start: number): (Region & { next: number }) | FrameLinesStop {
    return request.framing === 'len32be'
      ? this.#nextPrefixed(request, start)
      : this.#nextDelimited(request, start, request.framing.delimiter);
  }

  #nextDelimited(
    request: FrameLinesRequest,
    start: number,
    delimiter: Uint8Array,
  ): (Region & { next: number }) | FrameLinesStop {
    const { end: inputEnd } = request.input;
    // Only as far as a record may reach: a line without an end must not be searched again and again.
    const searchEnd = Math.min(inputEnd, start + request.maxRecordBytes + delimiter.length);
    const found = this.memory.subarray(start, searchEnd).indexOf(delimiter);
    if (found !== -1) return { start, end: start + found, next: start + found + delimiter.length };
    if (searchEnd < inputEnd) return 'record-too-large';
    if (!request.isFinal) {
      const mayStillEnd = inputEnd - start < request.maxRecordBytes + delimiter.length;
      return mayStillEnd ? 'input-exhausted' : 'record-too-large';
    }
    if (inputEnd - start > request.maxRecordBytes) return 'record-too-large';
    return { start, end: inputEnd, next: inputEnd };
  }

  #nextPrefixed(request: FrameLinesRequest, start: number): (Region & { next: number }) | FrameLinesStop {
    const { end: inputEnd } = request.input;
    const missing = request.isFinal ? 'cut-off' : 'input-exhausted';
    if (start + LENGTH_PREFIX_BYTES > inputEnd) return missing;
    const payloadBytes = this.memory.readUInt32BE(start);
    if (payloadBytes > request.maxRecordBytes) return 'record-too-large';
    const payloadStart = start + LENGTH_PREFIX_BYTES;
    const payloadEnd = payloadStart + payloadBytes;
    return payloadEnd > inputEnd ? missing : { start: payloadStart, end: payloadEnd, next: payloadEnd };
  }

  /** Good kind-0 frames one after the other, until `take` declines one. */
  #walk(request: FramesRequest, take: (payload: Region) => boolean): FramesResult {
    const { memory } = this;
    let inputEnd = request.input.start;
    let nextOffset = request.firstOffset;
    let lastTimestamp = request.minTimestamp;
    const finish = (stop: FramesStop): FramesResult => ({
      stop,
      recordCount: nextOffset - request.firstOffset,
      inputEnd,
      nextOffset,
      lastTimestamp,
    });
    while (inputEnd < request.input.end) {
      if (nextOffset >= request.untilOffset) return finish('until');
      if (inputEnd + FRAME_HEADER_BYTES > request.input.end) return finish('incomplete');
      const lengthField = memory.readUInt32BE(inputEnd);
      if (lengthField >>> 28 !== 0) return finish('special');
      if (lengthField > MAX_RECORD_BYTES) return finish('bad');
      const frameEnd = inputEnd + FRAME_HEADER_BYTES + lengthField;
      if (frameEnd > request.input.end) return finish('incomplete');
      const timestamp = readInt64(memory, inputEnd + TIMESTAMP_AT);
      const checksum = memory.readUInt32BE(inputEnd + CHECKSUM_AT);
      const holds = frameChecksum(memory.subarray(inputEnd, frameEnd), nextOffset) === checksum;
      if (!holds || !Number.isSafeInteger(timestamp) || timestamp < lastTimestamp) return finish('bad');
      if (!take({ start: inputEnd + FRAME_HEADER_BYTES, end: frameEnd })) return finish('output-full');
      inputEnd = frameEnd;
      nextOffset += 1;
      lastTimestamp = timestamp;
    }
    return finish(nextOffset >= request.untilOffset ? 'until' : 'end');
  }
}
