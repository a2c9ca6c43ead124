/**
 * Which stores make up a log, and how each ends. Reads only, and takes no lock: between two calls a segment may roll, or
 * be removed or replaced, so whoever changes anything looks again under the lock.
 */
import { FastQueueError } from './errors.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { isSound, readFrameAt, scanFrames } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { lastIndexedPlace } from './offset-index.ts';
import { listStoreBases, storePath, type TopicContext } from './topic-directory.ts';

/** A store of the log. */
export interface LogSegment {
  readonly baseOffset: number;
  /** Base of the next store, or the mark's NextOffset for the active one. */
  readonly endOffset: number;
  readonly sizeBytes: number;
  readonly isActive: boolean;
}

export interface SegmentList {
  /** From the store that holds StartOffset to the active one, ascending. A superseded store is among them. */
  readonly live: readonly LogSegment[];
  /** Base offsets of stores wholly below StartOffset: leftovers of retention. */
  readonly below: readonly number[];
  /** Base offsets of empty stores that the mark does not name. */
  readonly empty: readonly number[];
}

/** What the directory holds, seen with this mark. */
export function listSegments(context: TopicContext, mark: HighWatermark): SegmentList {
  const sizes = new Map<number, number>();
  for (const baseOffset of listStoreBases(context)) {
    const status = context.fileSystem.status(storePath(context, baseOffset));
    if (status !== undefined) sizes.set(baseOffset, status.sizeBytes);
  }
  const isEmpty = (baseOffset: number): boolean =>
    sizes.get(baseOffset) === 0 && baseOffset !== mark.baseOffset;
  const all = [...sizes.keys()];
  const bases = all.filter((baseOffset) => baseOffset <= mark.baseOffset && !isEmpty(baseOffset));
  const first = Math.max(
    0,
    bases.findLastIndex((baseOffset) => baseOffset <= mark.startOffset),
  );
  const live = bases.slice(first).map((baseOffset, number, rest) => ({
    baseOffset,
    endOffset: rest[number + 1] ?? mark.nextOffset,
    sizeBytes: sizes.get(baseOffset) as number,
    isActive: baseOffset === mark.baseOffset,
  }));
  return { live, below: bases.slice(0, first), empty: all.filter(isEmpty) };
}

/** How a sealed store ends. */
export interface SegmentTail {
  /** False where its last frames do not check out: then `endOffset` and `lastTimestamp` are those of the last good one. */
  readonly isSound: boolean;
  readonly endOffset: number;
  /** Milliseconds since 1970; -Infinity where no frame was read. */
  readonly lastTimestamp: number;
}

/**
 * Looks at the end of a sealed store, from its last index entry on. Undefined when the store is gone.
 *
 * @throws FastQueueError disk errors as themselves
 */
export function segmentTail(context: TopicContext, baseOffset: number): SegmentTail | undefined {
  return withStore(context, baseOffset, (store) => {
    const endPosition = store.status().sizeBytes;
    const place = lastIndexedPlace(context, { store, baseOffset, endPosition, useMap: false });
    const scan = scanFrames({
      file: store,
      kernel: context.kernel,
      ...place,
      endPosition,
      minTimestamp: -Infinity,
    });
    return {
      isSound: scan.stop === 'end',
      endOffset: scan.nextOffset,
      lastTimestamp: scan.lastTimestamp,
    };
  });
}

/** Timestamp of the first frame of a store. Undefined when the store is gone or empty, or that frame does not check out. */
export function firstTimestampOf(context: TopicContext, baseOffset: number): number | undefined {
  return withStore(context, baseOffset, (store) => {
    const frame = readFrameAt(store, {
      position: 0,
      offset: baseOffset,
      endPosition: store.status().sizeBytes,
      minTimestamp: -Infinity,
    });
    return isSound(frame) ? frame.header.timestamp : undefined;
  });
}

/** Runs `use` on an open store. Undefined when there is no such store: retention may have removed it meanwhile. */
export function withStore<T>(
  context: TopicContext,
  baseOffset: number,
  use: (store: FileHandle) => T,
): T | undefined {
  let store: FileHandle;
  try {
    store = context.fileSystem.open(storePath(context, baseOffset), 'read');
  } catch (error) {
    if (error instanceof FastQueueError && error.details.errno === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return use(store);
  } finally {
    store.close();
  }
}
