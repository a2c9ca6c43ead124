/**
 * How a run of produce ends: its summary, or the error and, as the last line, the receipt; and the exit status.
 */
import type { Ack } from '../../engine/index.ts';
import type { Messages } from '../messages.ts';
import { writeStderr } from '../messages.ts';
import type { Output } from '../output.ts';
import { reportError, usageError } from '../report-error.ts';
import {
  ackAsJson,
  ackAsOffsets,
  produceAsJson,
  produceReceipt,
  produceSummary,
} from '../views/produce-view.ts';
import type { ProduceReport } from './produce.ts';

export type AckMode = 'summary' | 'offset' | 'json' | 'none';

/** @throws FastQueueError `invalid_argument` for flags that cannot hold together */
export function refuseContradictions(flags: {
  readonly ack: AckMode;
  readonly tee: boolean;
  readonly input: string;
  readonly delimiter?: Buffer | undefined;
  readonly null: boolean;
}): void {
  if (flags.tee && (flags.ack === 'offset' || flags.ack === 'json')) {
    throw usageError(
      '--tee and acknowledgements would mix on standard output. Use --ack summary or --ack none with --tee.',
    );
  }
  if (flags.input !== 'lines' && (flags.delimiter !== undefined || flags.null)) {
    throw usageError(`-i ${flags.input} has no delimiter: --delimiter and --null go with -i lines.`);
  }
}

/** What to do with each acknowledgement. */
export function acknowledger(mode: AckMode, output: Output): (ack: Ack) => Promise<void> {
  switch (mode) {
    case 'offset':
      return (ack) => output.write(`${ackAsOffsets(ack)}\n`);
    case 'json':
      return (ack) => output.write(`${JSON.stringify(ackAsJson(ack))}\n`);
    case 'summary':
    case 'none':
      return () => Promise.resolve();
  }
}

/** Says how it went and sets the exit status. */
export function reportProduce(
  report: ProduceReport,
  options: { messages: Messages; ack: AckMode; stopStatus: number | undefined },
): void {
  const { messages, ack, stopStatus } = options;
  if (report.gapCount > 0) {
    messages.info(
      `${report.gapCount} ${report.gapCount === 1 ? 'gap line was' : 'gap lines were'} skipped: those records were lost before.`,
    );
  }
  if (report.failure !== undefined || stopStatus !== undefined) {
    process.exitCode =
      report.failure === undefined
        ? stopStatus
        : reportError(report.failure.error, { isJson: messages.isJson });
    writeStderr(messages.isJson ? JSON.stringify(produceAsJson('receipt', report)) : produceReceipt(report));
    return;
  }
  if (ack === 'none' || messages.isQuiet) return;
  if (messages.isJson) writeStderr(JSON.stringify(produceAsJson('report', report)));
  else if (ack === 'summary') messages.info(produceSummary(report));
}
