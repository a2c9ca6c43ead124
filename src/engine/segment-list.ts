/**
 * Which stores make up a log, and how each ends. Reads only, and takes no lock: between two calls a segment may roll, or
 * be removed or replaced, so whoever changes anything looks again under the lock.
 */
import { FastQueueError } from './errors.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { classifyTopicFile } from './format/file-names.ts';
import { isSound, readFrameAt, scanFrames } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { lastIndexedPlace } from './offset-index.ts';
import { isLedTo } from './store-end.ts';
import {
  indexPath,
  listStoreBases,
  listTopicFiles,
  storePath,
  type TopicContext,
  storeBytes,
} from './topic-directory.ts';

/** A store of the log. */
export interface LogSegment {
  readonly baseOffset: number;
  /** Base of the next store, whether that is there or only the mark names it; the mark's NextOffset for the active one. */
  readonly endOffset: number;
  readonly sizeBytes: number;
  readonly isActive: boolean;
}

export interface SegmentList {
  /** From the store that holds StartOffset to the active one, ascending. */
  readonly live: readonly LogSegment[];
  /** Base offsets of stores whose whole range lies inside the one before: a killed compact has merged them already. */
  readonly superseded: readonly number[];
  /** Base offsets of stores wholly below StartOffset: leftovers of retention. */
  readonly below: readonly number[];
  /** Base offsets of empty stores that the mark does not name. */
  readonly empty: readonly number[];
}

/** What the directory holds, seen with this mark. */
export function listSegments(context: TopicContext, mark: HighWatermark): SegmentList {
  const sizes = new Map<number, number>();
  for (const baseOffset of listStoreBases(context)) {
    const bytes = storeBytes(context, baseOffset);
    if (bytes !== undefined) sizes.set(baseOffset, bytes);
  }
  const isEmpty = (baseOffset: number): boolean =>
    sizes.get(baseOffset) === 0 && baseOffset !== mark.baseOffset;
  const all = [...sizes.keys()];
  const named = all.filter((baseOffset) => baseOffset <= mark.baseOffset && !isEmpty(baseOffset));
  const superseded = supersededBases(context, named, mark);
  const bases = named.filter((baseOffset) => !superseded.has(baseOffset));
  const first = Math.max(
    0,
    bases.findLastIndex((baseOffset) => baseOffset <= mark.startOffset),
  );
  const live = bases.slice(first).map((baseOffset, number, rest) => ({
    baseOffset,
    endOffset: rest[number + 1] ?? (baseOffset === mark.baseOffset ? mark.nextOffset : mark.baseOffset),
    sizeBytes: sizes.get(baseOffset) as number,
    isActive: baseOffset === mark.baseOffset,
  }));
  return { live, superseded: [...superseded], below: bases.slice(0, first), empty: all.filter(isEmpty) };
}

/**
 * Which stores are superseded. Compact unlinks every index concerned before it puts the merged store in place, and writes
 * the new one last: a store that has an index is not superseded, and only where one has none the end of the store before
 * it is looked for.
 *
 * @param bases of the stores of the log, ascending, empty ones left out
 */
function supersededBases(
  context: TopicContext,
  bases: readonly number[],
  mark: Pick<HighWatermark, 'baseOffset' | 'nextOffset'>,
): ReadonlySet<number> {
  const superseded = new Set<number>();
  let indexed: ReadonlySet<number> | undefined;
  let before: { baseOffset: number; endOffset: number | undefined } | undefined;
  for (const [number, baseOffset] of bases.entries()) {
    if (before !== undefined && baseOffset !== mark.baseOffset) {
      indexed ??= indexedBases(context);
      if (!indexed.has(baseOffset)) {
        before.endOffset ??= endOfStore(context, before.baseOffset, baseOffset);
        if (before.endOffset >= (bases[number + 1] ?? mark.nextOffset)) {
          superseded.add(baseOffset);
          continue;
        }
      }
    }
    before = { baseOffset, endOffset: undefined };
  }
  return superseded;
}

/**
 * Base offset of the store that holds an offset of the log; undefined where there is none. Costs a listing of the
 * directory, and more only beside what a killed roll or compact left.
 */
export function storeHolding(context: TopicContext, mark: HighWatermark, offset: number): number | undefined {
  const isPart = (base: number): boolean =>
    base <= mark.baseOffset && (base === mark.baseOffset || storeBytes(context, base) !== 0);
  const named = listStoreBases(context);
  const found = named.findLast((base) => base <= offset && isPart(base));
  if (found === undefined || found === mark.baseOffset) return found;
  if (context.fileSystem.status(indexPath(context, found)) !== undefined) return found;
  const bases = named.filter(isPart);
  const superseded = supersededBases(context, bases, mark);
  return bases.findLast((base) => base <= found && !superseded.has(base));
}

function indexedBases(context: TopicContext): ReadonlySet<number> {
  const bases = new Set<number>();
  for (const name of listTopicFiles(context)) {
    const file = classifyTopicFile(name);
    if (file.type === 'index') bases.add(file.baseOffset);
  }
  return bases;
}

/**
 * Offset that the good frames of a store end at. Where they end at `likelyOffset` the last few bytes tell, index or not;
 * otherwise it is read from its last index entry, or whole.
 */
function endOfStore(context: TopicContext, baseOffset: number, likelyOffset: number): number {
  const isLikely = withStore(context, baseOffset, (store) => {
    const position = store.status().sizeBytes;
    return isLedTo(context, { store, baseOffset, position, offset: likelyOffset });
  });
  if (isLikely === true) return likelyOffset;
  return segmentTail(context, baseOffset)?.endOffset ?? baseOffset;
}

/** Bytes of all stores in the directory, for progress: what the disk does not let be looked at counts as nothing. */
export function storeBytesOf(context: TopicContext): number {
  try {
    const sizes = listStoreBases(context).map((baseOffset) => storeBytes(context, baseOffset) ?? 0);
    return sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  } catch (error) {
    if (error instanceof FastQueueError) return 0;
    throw error;
  }
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

/** Opens a store for reading. Undefined when there is no such store: retention or compact may have removed it meanwhile. */
export function openStoreIfThere(context: TopicContext, baseOffset: number): FileHandle | undefined {
  return openIfThere(context.fileSystem, storePath(context, baseOffset));
}

/** Runs `use` on an open store. Undefined when there is no such store. */
export function withStore<T>(
  context: TopicContext,
  baseOffset: number,
  use: (store: FileHandle) => T,
): T | undefined {
  const store = openStoreIfThere(context, baseOffset);
  if (store === undefined) return undefined;
  try {
    return use(store);
  } finally {
    store.close();
  }
}
