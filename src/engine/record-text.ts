/**
 * Many records as JSON text at once, straight from their frames: no object and no buffer for each, which would take
 * longer than the rest. A property holds it to what json-records.ts gives for one record.
 */
import { isUtf8 } from 'node:buffer';
import { FRAME_HEADER_BYTES, frameTimestampAt, payloadBytesAt } from './format/frame.ts';

/** What stands around a record as text. */
export interface RecordTextForm {
  /** What comes before the offset. */
  readonly start: (offset: number) => string;
  /** What comes behind the payload. */
  readonly end: string;
}

/** The lines of `consume --json`: byte for byte what `recordAsJson` gives. */
export function lineForm(topic: string): RecordTextForm {
  const start = `{"type":"record","topic":${JSON.stringify(topic)},"offset":`;
  return { start: () => start, end: '}\n' };
}

/** A character that stands for bytes that are no text, or was stored as itself. */
const REPLACEMENT_CHARACTER = '\ufffd';

/**
 * Records as text, in order.
 *
 * @param run good frames of kind 0 from `start` on
 * @returns also how many came before `untilTimestamp`
 */
export function framesAsText(
  memory: Buffer,
  run: { start: number; firstOffset: number; recordCount: number; untilTimestamp: number },
  form: RecordTextForm,
): { text: string; recordCount: number } {
  let text = '';
  let at = run.start;
  for (let number = 0; number < run.recordCount; number++) {
    const timestamp = frameTimestampAt(memory, at);
    if (timestamp >= run.untilTimestamp) return { text, recordCount: number };
    const payloadStart = at + FRAME_HEADER_BYTES;
    at = payloadStart + payloadBytesAt(memory, at);
    const offset = run.firstOffset + number;
    text += `${form.start(offset)}${offset},"timestamp":${timestamp},${payloadMember(memory, payloadStart, at)}${form.end}`;
  }
  return { text, recordCount: run.recordCount };
}

function payloadMember(memory: Buffer, start: number, end: number): string {
  const payload = memory.toString('utf8', start, end);
  if (payload.includes(REPLACEMENT_CHARACTER) && !isUtf8(memory.subarray(start, end)))
    return `"payload_base64":"${memory.toString('base64', start, end)}"`;
  return `"payload":${JSON.stringify(payload)}`;
}
