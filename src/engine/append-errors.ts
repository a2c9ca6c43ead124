/**
 * Why an append is refused or fails, in sentences that say what is stored. `sideEffects` says whether anything may be.
 */
import { ERROR_TABLE, FastQueueError } from './errors.ts';
import { MAX_BATCH_BYTES, MAX_OFFSET } from './limits.ts';
import type { TopicContext } from './topic-directory.ts';

/**
 * Refuses what no log could take, whatever else there is.
 *
 * @throws FastQueueError `batch_too_large`, `no_records`
 */
export function refuseUnfit(topic: string, batch: { recordCount: number; frameBytes: number }): void {
  const { recordCount, frameBytes } = batch;
  if (frameBytes > MAX_BATCH_BYTES) {
    throw new FastQueueError(
      'batch_too_large',
      `A batch may take ${MAX_BATCH_BYTES} bytes in the store, 16 for each record's header included; this one would take ${frameBytes}. Send it in parts.`,
      { topic, sideEffects: 'none' },
    );
  }
  if (recordCount === 0)
    throw new FastQueueError('no_records', 'There are no records to append.', { sideEffects: 'none' });
}

/** The refusal of what is still being taken apart when it is too much already. */
export function batchFull(recordsBefore: number): FastQueueError {
  return new FastQueueError(
    'batch_too_large',
    `A batch may take ${MAX_BATCH_BYTES} bytes in the store, 16 for each record's header included; ` +
      `the first ${recordsBefore} records of this one fill it. Send it in parts. Nothing was written.`,
    { sideEffects: 'none' },
  );
}

export function unexpectedOffset(
  context: TopicContext,
  expectedOffset: number,
  actualOffset: number,
): FastQueueError {
  return new FastQueueError(
    'condition_failed',
    `The next offset of "${context.topic}" is ${actualOffset}, not ${expectedOffset} as expected. Nothing was written.`,
    { topic: context.topic, expectedOffset, actualOffset, sideEffects: 'none' },
  );
}

export function offsetsExhausted(context: TopicContext, nextOffset: number): FastQueueError {
  return new FastQueueError(
    'offsets_exhausted',
    `The topic "${context.topic}" stands at offset ${nextOffset} and offsets end at ${MAX_OFFSET}. Go on in a new topic.`,
    { topic: context.topic, endOffset: nextOffset, sideEffects: 'none' },
  );
}

export function shortWrite(
  context: TopicContext,
  path: string,
  counts: { written: number; expected: number },
): FastQueueError {
  return new FastQueueError(
    'disk_full',
    `Only ${counts.written} of ${counts.expected} bytes could be written to ${path}: ${ERROR_TABLE.disk_full.title.toLowerCase()}.`,
    { topic: context.topic, path, errno: 'ENOSPC' },
  );
}

export function markNotWritten(context: TopicContext, error: unknown): FastQueueError {
  return new FastQueueError(
    'outcome_unknown',
    `The records were synced to "${context.topic}", but its high-water mark could not be written, so no reader sees them yet: ` +
      `${(error as Error).message} The next writer that succeeds adopts them.`,
    { topic: context.topic, sideEffects: 'unknown', cause: error },
  );
}
