/**
 * What verify found, as an operator wants it at night: the segments, then each finding with the place, what is lost and
 * the command to run next, then the verdict. Colours only where stdout is a terminal; results never carry them.
 */
import { Chalk } from 'chalk';
import Table from 'cli-table3';
import { formatSize, formatTime, mapped, some, type Finding, type VerifyReport } from '../../engine/index.ts';
import { wrapWords } from './columns.ts';
import { countOf, offsetsText } from './recover-view.ts';

const BARE = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** One block a topic, in lines. */
export function* verifyLines(
  report: VerifyReport,
  options: { isColoured: boolean; columns?: number | undefined },
): Generator<string, void, undefined> {
  const chalk = new Chalk({ level: options.isColoured ? 1 : 0 });
  const { columns } = options;
  yield `topic ${report.topic}`;
  yield* fittingRows(report.segments, columns ?? DEFAULT_COLUMNS);
  const counts = { errors: 0, notes: 0 };
  for (const finding of report.findings) {
    counts[finding.severity === 'error' ? 'errors' : 'notes'] += 1;
    yield* findingLines(finding, chalk, columns);
  }
  yield verdict(report, chalk, counts);
}

/** Of a terminal that does not say. */
const DEFAULT_COLUMNS = 100;

/** How much the times tell: what does not fit into the width is left out, since a table that wraps cannot be read. */
const FORMS = ['milliseconds', 'seconds', 'last-only'] as const;

function fittingRows(segments: VerifyReport['segments'], columns: number): string[] {
  for (const form of FORMS) {
    const rows = tableRows(segments, form);
    if (rows.every((row) => row.length <= columns)) return rows;
  }
  return tableRows(segments, 'last-only');
}

function tableRows(segments: VerifyReport['segments'], form: (typeof FORMS)[number]): string[] {
  const times = form === 'last-only' ? ['LAST'] : ['FIRST', 'LAST'];
  const table = new Table({
    head: ['SEGMENT', 'NEXT', 'RECORDS', 'GAPS', 'BYTES', ...times],
    chars: BARE,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    colAligns: ['right', 'right', 'right', 'right', 'right', ...times.map(() => 'left' as const)],
  });
  const timeText = (timestampMs: number | undefined): string =>
    form === 'milliseconds' ? timeOf(timestampMs) : timeOf(timestampMs).replace(/\.\d+Z$/, 'Z');
  for (const segment of segments) {
    table.push([
      String(segment.baseOffset),
      String(segment.nextOffset),
      String(segment.records ?? '-'),
      String(segment.gaps ?? '-'),
      formatSize(segment.bytes),
      ...(form === 'last-only' ? [] : [timeText(segment.firstTimestamp)]),
      timeText(segment.lastTimestamp),
    ]);
  }
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

function findingLines(
  finding: Finding,
  chalk: InstanceType<typeof Chalk>,
  columns: number | undefined,
): string[] {
  const label = finding.severity === 'error' ? chalk.red('error') : chalk.yellow('note');
  const where =
    finding.position === undefined
      ? finding.path
      : `${finding.path}, bytes ${finding.position} to before ${finding.position + (finding.bytes ?? 0)}`;
  const place = wrapWords(`${finding.severity} ${finding.code}: ${where}`, {
    indent: '',
    hanging: '    ',
    columns,
  });
  const lines = [
    ...place.map((line, number) => (number === 0 ? label + line.slice(finding.severity.length) : line)),
    ...wrapWords(finding.message, { indent: '    ', columns }),
  ];
  if (finding.lost.length > 0)
    lines.push(...wrapWords(`lost: ${offsetsText(finding.lost)}`, { indent: '    ', columns }));
  if (finding.command !== undefined) lines.push(`    next: ${finding.command}`);
  return lines;
}

function verdict(
  report: VerifyReport,
  chalk: InstanceType<typeof Chalk>,
  { errors, notes }: { errors: number; notes: number },
): string {
  const bytes = report.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const totals =
    `${counted(report.segments.length, 'segment')}, ${formatSize(bytes)}, offsets ${report.startOffset} to before ${report.nextOffset}, ` +
    `${counted(errors, 'error')}, ${counted(notes, 'note')}`;
  const lost = countOf(report.lost);
  if (errors === 0) return `${totals}: ${chalk.green('sound')}`;
  // What the disk did not give up is not known to be damaged.
  const isKnown = some(report.findings, ({ severity, code }) => severity === 'error' && code !== 'io_error');
  if (!isKnown) return `${totals}: ${chalk.red('not all of it could be read')}`;
  return `${totals}: ${chalk.red('damaged')}, ${lost === 0 ? 'no record lost' : `${counted(lost, 'record')} lost`}`;
}

/** The same as an object; field names are stable. */
export function verifyAsJson(report: VerifyReport): object {
  const orNull = (value: number | undefined): number | null => value ?? null;
  return {
    type: 'report',
    topic: report.topic,
    startOffset: report.startOffset,
    nextOffset: report.nextOffset,
    segments: report.segments.map((segment) => ({
      ...segment,
      records: orNull(segment.records),
      gaps: orNull(segment.gaps),
      firstTimestamp: orNull(segment.firstTimestamp),
      lastTimestamp: orNull(segment.lastTimestamp),
    })),
    findings: mapped(report.findings, (finding) => ({
      ...finding,
      position: orNull(finding.position),
      bytes: orNull(finding.bytes),
      command: finding.command ?? null,
    })),
    lost: report.lost,
    lostCount: countOf(report.lost),
    isSound: !some(report.findings, ({ severity }) => severity === 'error'),
  };
}

const timeOf = (timestampMs: number | undefined): string =>
  timestampMs === undefined ? '-' : formatTime(timestampMs);

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
