/**
 * A body of lines that came in pieces, framed ahead of the lock into a kernel of the caller's: one pass of the kernel
 * over bytes, no work per record. For bodies of many records; small ones share a batch as LinesSource.
 */
import { batchFull } from './append-errors.ts';
import { FastQueueError } from './errors.ts';
import { MAX_RECORD_BYTES } from './format/frame.ts';
import { KERNEL_INPUT, KERNEL_OUTPUT } from './kernel/index.ts';
import type { Kernel } from './kernel/kernel.ts';
import { MAX_BATCH_BYTES } from './limits.ts';
import type { FramedBatch } from './append-queue.ts';

const NEWLINE = 0x0a;
const LINE_DELIMITER = Uint8Array.of(NEWLINE);

/** Framed at once: it is still in the processor's cache when it is written. */
const WINDOW_BYTES = 256 * 1024;

/**
 * Frames every line of the body: `\n` ends a record, and what follows the last one, if anything, is a record too. The
 * frames stand in the kernel's output region until the caller uses the kernel again.
 *
 * @param chunks the body in order, together at most MAX_BATCH_BYTES
 * @param stamp what the frames are made for; the append stamps them anew where it turns out otherwise
 * @throws FastQueueError `record_too_large`, `batch_too_large`: nothing was written
 */
export function frameLinesAhead(
  kernel: Kernel,
  chunks: readonly Buffer[],
  stamp: { readonly firstOffset: number; readonly timestamp: number },
): FramedBatch {
  const { memory } = kernel;
  const outputEnd = KERNEL_OUTPUT.start + MAX_BATCH_BYTES;
  let waitingEnd = KERNEL_INPUT.start;
  let framedEnd = KERNEL_OUTPUT.start;
  let recordCount = 0;
  const frame = (isFinal: boolean): void => {
    const result = kernel.frameLines({
      input: { start: KERNEL_INPUT.start, end: waitingEnd },
      output: { start: framedEnd, end: outputEnd },
      framing: { delimiter: LINE_DELIMITER },
      isFinal,
      firstOffset: stamp.firstOffset + recordCount,
      timestamp: stamp.timestamp,
      maxRecordBytes: MAX_RECORD_BYTES,
    });
    framedEnd = result.outputEnd;
    recordCount += result.recordCount;
    if (result.stop === 'output-full') throw batchFull(recordCount);
    if (result.stop === 'record-too-large') throw recordTooLarge(recordCount);
    memory.copyWithin(KERNEL_INPUT.start, result.inputEnd, waitingEnd);
    waitingEnd -= result.inputEnd - KERNEL_INPUT.start;
  };
  for (const chunk of chunks) {
    for (let taken = 0; taken < chunk.length;) {
      const piece = chunk.subarray(taken, taken + WINDOW_BYTES);
      taken += piece.length;
      waitingEnd += piece.copy(memory, waitingEnd);
      // A line of megabytes that comes in pieces is not searched from its beginning for each of them.
      if (piece.includes(NEWLINE)) frame(false);
    }
  }
  frame(true);
  return { kernel, frames: { start: KERNEL_OUTPUT.start, end: framedEnd }, recordCount, ...stamp };
}

function recordTooLarge(recordsBefore: number): FastQueueError {
  return new FastQueueError(
    'record_too_large',
    `Record ${recordsBefore + 1} has more than the ${MAX_RECORD_BYTES} bytes that a record may have. Nothing was written.`,
    { sideEffects: 'none' },
  );
}
