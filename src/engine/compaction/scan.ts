/**
 * Reads a whole sealed store in steps, so that others in the process run in between and memory is bounded. Every frame is
 * checked.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import type { FrameSource } from './frames.ts';
import { newerFrame, scanFrames, type FrameScan, type SoundFrame } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import type { Region } from '../kernel/kernel.ts';
import type { TopicContext } from '../topic-directory.ts';

/** Who is told of the frames. */
export interface WholeScanVisitor {
  records(frames: Region, source: FrameSource, recordCount: number): void;
  special(frame: SoundFrame, source: FrameSource): void;
  /** After every few MiB: how many bytes since the last time. */
  step(byteCount: number): Promise<void> | void;
}

const STEP_BYTES = 4 * 1024 * 1024;

/**
 * From the first frame to the first that is not good, or to the end.
 *
 * @param range.minTimestamp of the frame before, which a store that is joined to another must not go behind
 * @throws FastQueueError `newer_format`; disk errors as themselves
 */
export async function scanWhole(
  context: TopicContext,
  range: { store: FileHandle; baseOffset: number; sizeBytes: number; minTimestamp: number },
  visitor: WholeScanVisitor,
): Promise<FrameScan> {
  const { store, sizeBytes } = range;
  let stepBytes = STEP_BYTES;
  let [position, offset, minTimestamp] = [0, range.baseOffset, range.minTimestamp];
  for (;;) {
    const endPosition = Math.min(sizeBytes, position + stepBytes);
    const scan = scanFrames({
      file: store,
      kernel: context.kernel,
      position,
      offset,
      endPosition,
      minTimestamp,
      onRecords: (frames, place, recordCount) => {
        visitor.records(frames, { store, ...place }, recordCount);
      },
      onSpecial: (frame, place) => {
        visitor.special(frame, { store, ...place });
      },
    });
    if (scan.stop === 'newer') throw newerFrame(store.path, scan.endPosition);
    await visitor.step(scan.endPosition - position);
    if (scan.endPosition >= sizeBytes || scan.stop === 'bad') return scan;
    if (scan.stop === 'incomplete' && endPosition === sizeBytes) return scan;
    // A frame that is larger than a step.
    stepBytes = scan.endPosition > position ? STEP_BYTES : stepBytes * 2;
    ({ endPosition: position, nextOffset: offset, lastTimestamp: minTimestamp } = scan);
    await letOthersRun();
  }
}
