/**
 * Many records as JSON text at once, straight from their frames into bytes: no object, string or buffer for each, which
 * would take longer than the rest. A payload that is not UTF-8 goes as base64, so that the same bytes come back.
 */
import { isUtf8 } from 'node:buffer';
import { FRAME_HEADER_BYTES, frameTimestampAt, payloadBytesAt } from './format/frame.ts';
import { KERNEL_OUTPUT } from './kernel/index.ts';
import type { Kernel, RecordTextForm, Region } from './kernel/kernel.ts';

/** The lines of `consume --json`. */
export function lineForm(topic: string): RecordTextForm {
  const start = `{"type":"record","topic":${JSON.stringify(topic)},"offset":`;
  return { starts: [Buffer.from(start)], end: Buffer.from('}\n') };
}

export interface FrameRun {
  /** Good frames of kind 0 in the kernel's memory. */
  readonly frames: Region;
  readonly firstOffset: number;
  /** End before the first record with this timestamp or a later one. */
  readonly untilTimestamp: number;
}

/**
 * Records as text, in order, and how many came before `untilTimestamp`, in how many bytes of frames. The text may stand in
 * the kernel's memory: it is the caller's until the next call of the kernel.
 */
export function framesAsText(
  kernel: Kernel,
  run: FrameRun,
  form: RecordTextForm,
): { bytes: Buffer; recordCount: number; frameBytes: number } {
  const pieces: Buffer[] = [];
  let recordCount = 0;
  for (let at = run.frames.start; ;) {
    const firstOffset = run.firstOffset + recordCount;
    const input = { start: at, end: run.frames.end };
    const text = kernel.emitText({ ...run, input, firstOffset, output: KERNEL_OUTPUT, form });
    const bytes = kernel.memory.subarray(KERNEL_OUTPUT.start, text.outputEnd);
    recordCount += text.recordCount;
    at = text.inputEnd;
    const isOver = text.stop === 'end' || text.stop === 'until';
    if (!isOver || pieces.length > 0) pieces.push(Buffer.from(bytes));
    if (isOver) {
      const whole = pieces.length === 0 ? bytes : Buffer.concat(pieces);
      return { bytes: whole, recordCount, frameBytes: at - run.frames.start };
    }
    // What is no text goes as base64. What does not fit where nothing stands before it fits nowhere in the kernel.
    if (text.stop === 'not-text' || text.recordCount === 0) {
      const end = at + FRAME_HEADER_BYTES + payloadBytesAt(kernel.memory, at);
      pieces.push(recordText(kernel.memory.subarray(at, end), run.firstOffset + recordCount, form));
      recordCount += 1;
      at = end;
    }
  }
}

/** The record of one frame, whatever it is. */
function recordText(frame: Buffer, offset: number, form: RecordTextForm): Buffer {
  const payload = frame.subarray(FRAME_HEADER_BYTES);
  const member = isUtf8(payload)
    ? `"payload":${JSON.stringify(payload.toString())}`
    : `"payload_base64":"${payload.toString('base64')}"`;
  const digits = Buffer.from(String(offset));
  return Buffer.concat([
    ...form.starts.flatMap((start) => [start, digits]),
    Buffer.from(`,"timestamp":${frameTimestampAt(frame, 0)},${member}`),
    form.end,
  ]);
}
