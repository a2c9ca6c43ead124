/**
 * What produce says: acknowledgements, the summary, and the receipt after a failure.
 */
import type { Ack } from '../../engine/index.ts';

/** What the sentences are made of. */
export interface ProduceOutcome {
  readonly topic: string;
  readonly recordCount: number;
  readonly firstOffset: number | undefined;
  readonly lastOffset: number | undefined;
  readonly isDense: boolean;
  readonly inputPosition: { readonly path: string | undefined; readonly byte: number };
  /** True when nobody can say whether what follows was stored. */
  readonly isUncertain: boolean;
}

/** One acknowledged batch, for `--ack offset`: `42..44`. */
export const ackAsOffsets = (ack: Ack): string => `${ack.offset}..${ack.lastOffset}`;

/** The same for `--ack json`. */
export const ackAsJson = (ack: Ack): object => ({
  type: 'ack',
  topic: ack.topic,
  offset: ack.offset,
  lastOffset: ack.lastOffset,
  count: ack.count,
  timestamp: ack.timestamp,
});

/** `produced 3 records to events: offsets 42..44, synced` */
export function produceSummary(outcome: ProduceOutcome): string {
  const records = countOf(outcome.recordCount);
  return outcome.recordCount === 0
    ? `produced ${records} to ${outcome.topic}`
    : `produced ${records} to ${outcome.topic}: ${rangeOf(outcome)}, synced`;
}

/** `stored 1234 records, offsets 42..1275, synced; next input byte 99120` */
export function produceReceipt(outcome: ProduceOutcome): string {
  const { path, byte } = outcome.inputPosition;
  const doubt = outcome.isUncertain
    ? ' (what follows it may have been stored: look before you repeat it)'
    : '';
  const where = `next input byte ${byte}${path === undefined ? '' : ` of ${path}`}${doubt}`;
  return outcome.recordCount === 0
    ? `stored 0 records; ${where}`
    : `stored ${countOf(outcome.recordCount)}, ${rangeOf(outcome)}, synced; ${where}`;
}

/** The same as an object: type `report` when all was stored, `receipt` after a failure. */
export const produceAsJson = (type: 'report' | 'receipt', outcome: ProduceOutcome): object => ({
  type,
  topic: outcome.topic,
  count: outcome.recordCount,
  offset: outcome.firstOffset ?? null,
  lastOffset: outcome.lastOffset ?? null,
  dense: outcome.isDense,
  synced: true,
  uncertain: outcome.isUncertain,
  nextInputByte: outcome.inputPosition.byte,
  ...(outcome.inputPosition.path === undefined ? {} : { inputFile: outcome.inputPosition.path }),
});

const countOf = (count: number): string => (count === 1 ? '1 record' : `${count} records`);

function rangeOf({ firstOffset, lastOffset, isDense }: ProduceOutcome): string {
  return isDense
    ? `offsets ${firstOffset ?? ''}..${lastOffset ?? ''}`
    : `between ${firstOffset ?? ''} and ${lastOffset ?? ''}`;
}
