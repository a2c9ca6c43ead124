/**
 * What inspect-segment shows: a line a frame, a summary, index entries, an explanation; as text or as JSON.
 * `--redact` leaves out whatever comes from a payload.
 */
import {
  formatSize,
  formatTime,
  type Explanation,
  type HoleStep,
  type InspectedEntry,
  type InspectedFrame,
  type StoreReport,
} from '../../engine/index.ts';

export interface FrameForm {
  readonly isJson: boolean;
  readonly payload: 'none' | 'text' | 'hex';
  readonly isRedacted: boolean;
}

const hex8 = (value: number): string => value.toString(16).padStart(8, '0');

/** `offset: 42 position: 1984 ts: … size: 39 payload: 23 crc: 9f3a01bc valid: true`, with a newline. */
export function frameLine(frame: InspectedFrame, form: FrameForm): string {
  const { offset, position, kind, header, offsetCount, reason } = frame;
  const isShown = form.payload !== 'none' && !form.isRedacted;
  if (form.isJson) {
    const fields = {
      type: kind,
      offset,
      position,
      timestamp: numberOrNull(header.timestamp),
      size: header.frameBytes,
      payloadBytes: header.payloadBytes,
      ...(form.isRedacted ? {} : { checksum: hex8(header.checksum) }),
      valid: true,
      ...(kind === 'gap' ? { count: offsetCount, reason } : {}),
      ...(isShown && kind === 'record' ? payloadField(frame.payload) : {}),
    };
    return `${JSON.stringify(fields)}\n`;
  }
  const crc = form.isRedacted ? '' : ` crc: ${hex8(header.checksum)}`;
  const special = kind === 'record' ? '' : ` kind: ${kind}`;
  const gap = kind === 'gap' ? ` count: ${offsetCount} reason: ${reason ?? 0}` : '';
  const line = `offset: ${offset} position: ${position} ts: ${header.timestamp} size: ${header.frameBytes} payload: ${header.payloadBytes}${crc} valid: true${special}${gap}`;
  if (!isShown) return `${line}\n`;
  return form.payload === 'hex'
    ? `${line}\n${hexDump(frame.payload, 0)}`
    : `${line} ${printable(frame.payload)}\n`;
}

/** A stretch that is no frame, in the same form. */
export function holeLine(hole: HoleStep, form: FrameForm): string {
  const bytes = hole.endPosition - hole.position;
  if (form.isJson) {
    const { code, offset, nextOffset, position } = hole;
    return `${JSON.stringify({ type: 'damage', code, offset, nextOffset, position, bytes, valid: false })}\n`;
  }
  return `offset: ${hole.offset} position: ${hole.position} size: ${bytes} valid: false ${hole.code}, next offset: ${hole.nextOffset}\n`;
}

/** Sixteen bytes a line, as `hexdump -C` has it. */
export function hexDump(bytes: Buffer, position: number): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    const pairs = Array.from(row, (byte) => byte.toString(16).padStart(2, '0'));
    const left = pairs.slice(0, 8).join(' ');
    const right = pairs.slice(8).join(' ');
    const signs = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'));
    text += `  ${(position + at).toString(16).padStart(8, '0')}  ${left.padEnd(23)}  ${right.padEnd(23)}  |${signs.join('')}|\n`;
  }
  return text;
}

/** Text of a payload that cannot move a terminal's cursor or pass for another line. */
function printable(payload: Buffer): string {
  return JSON.stringify(payload.toString('utf8')).replaceAll(
    /[\u007f-\u009f\u2028\u2029]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function payloadField(payload: Buffer): object {
  const text = payload.toString('utf8');
  return Buffer.from(text, 'utf8').equals(payload)
    ? { payload: text }
    : { payload_base64: payload.toString('base64') };
}

/** The summary of one store, in pieces. */
export function* storeText(report: StoreReport): Generator<string, void, undefined> {
  const { base, findings } = report;
  const source = {
    name: 'from its name',
    checksums: 'solved from its checksums',
    unknown: 'unknown, counted from 0',
  };
  const times =
    report.firstTimestamp === undefined || report.lastTimestamp === undefined
      ? 'none'
      : `${formatTime(report.firstTimestamp)} to ${formatTime(report.lastTimestamp)}`;
  const sizes =
    report.smallestPayloadBytes === undefined
      ? 'none'
      : `${report.smallestPayloadBytes} to ${report.largestPayloadBytes ?? 0} bytes, ${report.payloadBytes} in all`;
  yield [
    report.path,
    `  base offset  ${base.baseOffset} (${source[base.source]})`,
    `  next offset  ${report.nextOffset}`,
    `  records      ${report.recordCount}`,
    `  gaps         ${report.gapCount} (${report.gapOffsetCount} offset${report.gapOffsetCount === 1 ? '' : 's'})`,
    `  control      ${report.controlCount}`,
    `  size         ${report.sizeBytes} bytes (${formatSize(report.sizeBytes)})`,
    `  payloads     ${sizes}`,
    `  times        ${times}`,
    `  state        ${report.state}`,
    `  findings     ${findings.length === 0 ? 'none' : ''}`.trimEnd(),
    '',
  ].join('\n');
  for (const { severity, code, position, bytes, lost, message } of findings) {
    const ranges = lost
      .map(({ from, to }) => (to - from === 1 ? String(from) : `${from}..${to - 1}`))
      .join(', ');
    yield `    ${severity} ${code}: byte ${position}, ${bytes} bytes; lost: ${ranges === '' ? 'nothing' : ranges}\n`;
    yield `      ${message}\n`;
  }
}

/** The same as an object; field names are stable. */
export function storeAsJson(report: StoreReport): object {
  const { base, findings, firstTimestamp, lastTimestamp, smallestPayloadBytes, largestPayloadBytes } = report;
  return {
    type: 'report',
    path: report.path,
    baseOffset: base.baseOffset,
    baseFrom: base.source,
    nextOffset: report.nextOffset,
    bytes: report.sizeBytes,
    records: report.recordCount,
    gaps: report.gapCount,
    gapOffsets: report.gapOffsetCount,
    controls: report.controlCount,
    payloadBytes: report.payloadBytes,
    smallestPayloadBytes: smallestPayloadBytes ?? null,
    largestPayloadBytes: largestPayloadBytes ?? null,
    firstTimestamp: numberOrNull(firstTimestamp),
    lastTimestamp: numberOrNull(lastTimestamp),
    state: report.state,
    findings,
  };
}

/** One index entry. */
export function entryLine(entry: InspectedEntry, isJson: boolean): string {
  const { number, offset, position, lengthField, state } = entry;
  if (isJson) {
    const fields = { type: 'entry', number, offset: numberOrNull(offset), position: numberOrNull(position) };
    return `${JSON.stringify({ ...fields, length: lengthField, state })}\n`;
  }
  return `entry: ${number} offset: ${offset} position: ${position} length: ${lengthField} ${state}\n`;
}

/** How many entries are in which state. */
export function indexSummary(
  path: string,
  counts: Readonly<Record<string, number>>,
  isJson: boolean,
): string {
  if (isJson) return `${JSON.stringify({ type: 'index', path, ...counts })}\n`;
  const parts = Object.entries(counts).map(([state, count]) => `${count} ${state}`);
  return `${path}\n  entries      ${parts.join(', ')}\n`;
}

/** Annotated bytes and the reasons. */
export function explanationText(explanation: Explanation, form: FrameForm): string {
  const { path, position, bytes, header, within, reasons } = explanation;
  if (form.isJson) {
    const shown = form.isRedacted ? undefined : bytes.toString('hex');
    return `${JSON.stringify({ type: 'explanation', path, position, bytes: shown, header, within, reasons })}\n`;
  }
  const field = (from: number, to: number): string => bytes.subarray(from, to).toString('hex').padEnd(16);
  const lines = [`${path}, byte ${position}`];
  if (header !== undefined && !form.isRedacted) {
    lines.push(
      `  ${field(0, 4)}  Length: kind ${header.kind}, ${header.payloadBytes} bytes of payload`,
      `  ${field(4, 12)}  Timestamp: ${Number.isFinite(header.timestamp) ? formatTime(header.timestamp) : 'beyond any calendar'}`,
      `  ${field(12, 16)}  Checksum: ${hex8(header.checksum)}`,
    );
  }
  const where = { frame: 'a good frame', hole: 'damage', end: 'the end of the file' }[within.type];
  lines.push(`  in ${where}, which begins at byte ${within.position}, offset ${within.offset}`);
  return `${[...lines, ...reasons.map((reason) => `  ${reason}`)].join('\n')}\n`;
}

const numberOrNull = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;
