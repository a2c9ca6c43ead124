/**
 * From consume's flags to what its use-case is asked for, and from its report to the exit status.
 */
import {
  missingAsJson,
  parseOffsetSpec,
  parseTime,
  type DamageStep,
  type GapStep,
  type OffsetRange,
  lineForm,
} from '../../engine/index.ts';
import { NEWLINE_DELIMITER, NUL_DELIMITER } from '../delimiter.ts';
import { EXIT } from '../exit-status.ts';
import type { Messages } from '../messages.ts';
import { usageError } from '../report-error.ts';
import { missingAsSentence } from '../views/missing-view.ts';
import type { ConsumeReport, ConsumeRequest } from './consume.ts';
import type { RecordFormatter } from './record-format.ts';

/**
 * Where to begin and end, joined from every flag that says so.
 *
 * @throws FastQueueError `invalid_argument` where two of them contradict each other
 */
export function consumeSpec(
  flags: {
    readonly offset?: readonly string[] | undefined;
    readonly since?: string | undefined;
    readonly until?: string | undefined;
  },
  nowMs: number,
): OffsetRange {
  const ranges: OffsetRange[] = (flags.offset ?? []).map((text) => parseOffsetSpec(text, nowMs));
  if (flags.since !== undefined)
    ranges.push({ from: { type: 'time', timestamp: parseTime(flags.since, nowMs) } });
  if (flags.until !== undefined)
    ranges.push({ until: { type: 'time', timestamp: parseTime(flags.until, nowMs) } });
  return {
    ...onlyOne('from', ranges),
    ...onlyOne('until', ranges),
  };
}

function onlyOne(side: 'from' | 'until', ranges: readonly OffsetRange[]): OffsetRange {
  const given = ranges.filter((range) => range[side] !== undefined);
  if (given.length > 1) {
    throw usageError(
      `Where to ${side === 'from' ? 'begin' : 'end'} is said twice: --offset, --since and --until must not overlap.`,
    );
  }
  const [point] = given.map((range) => range[side]);
  return point === undefined ? {} : { [side]: point };
}

/** What a record looks like on standard output. */
export function consumeForm(
  topic: string,
  flags: {
    readonly json: boolean;
    readonly null: boolean;
    readonly framing?: 'len32be' | undefined;
    readonly delimiter?: Buffer | undefined;
    readonly format?: RecordFormatter | undefined;
  },
): ConsumeRequest['form'] {
  if (flags.json) return { text: lineForm(topic) };
  if (flags.format !== undefined) return { formatter: flags.format };
  if (flags.framing !== undefined) return { framing: flags.framing };
  return { framing: { delimiter: flags.delimiter ?? (flags.null ? NUL_DELIMITER : NEWLINE_DELIMITER) } };
}

/** What becomes of offsets without a record: a sentence on stderr, or a line among the records. */
export function tellMissing(
  messages: Messages,
  options: { topic: string; asLines: boolean },
): (missing: GapStep | DamageStep) => Buffer | undefined {
  return (missing) => {
    if (options.asLines) return Buffer.from(`${JSON.stringify(missingAsJson(options.topic, missing))}\n`);
    messages.warn(missingAsSentence(missing));
    return undefined;
  };
}

/** Sets the exit status. */
export function reportConsume(
  report: ConsumeReport,
  options: { messages: Messages; maxCount: number | undefined; stopStatus: number | undefined },
): void {
  const { messages, maxCount, stopStatus } = options;
  messages.detail(`consumed ${report.recordCount} records, ${report.byteCount} bytes`);
  if (report.metDamage) process.exitCode = EXIT.damage;
  else if (stopStatus !== undefined) process.exitCode = stopStatus;
  else if (report.ending === 'timeout' && maxCount !== undefined) process.exitCode = EXIT.timedOut;
}
