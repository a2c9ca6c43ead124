/**
 * What is damaged in a topic, as recovery sees it: every store of the log from its first byte to the mark, segment to
 * segment, and topic.json. Takes no lock and changes nothing; what it finds is looked at again before anything is done.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { FastQueueError } from './errors.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { payloadChecksum } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { findFlippedBit } from './recovery-bit-flip.ts';
import { isIndexSound } from './recovery-index-rebuild.ts';
import type { DamageList, MissingSegment, RegionDamage } from './recovery-plan.ts';
import {
  framesWithin,
  headerAt,
  scanStore,
  type FrameVisitor,
  type Hole,
  type StoreScan,
} from './recovery-scan.ts';
import { listSegments, type LogSegment } from './segment-list.ts';
import { storePath, type TopicContext } from './topic-directory.ts';
import { readTopicSettings } from './topic-settings.ts';

export interface ListOptions {
  /** Look for a single flipped bit in frames that do not check out. */
  readonly tryBitFlip: boolean;
  /** Told how many bytes were read since it was told last. */
  readonly onBytes: (byteCount: number) => void;
  /** For `verify`, which wants to know more than what is damaged. */
  readonly observer?: ListObserver;
}

/** Told of each segment in turn. */
export interface ListObserver {
  /** A segment is about to be read: who wants to see its good frames. */
  visit(segment: LogSegment): FrameVisitor;
  /** It was read. */
  done(segment: LogSegment, scan: StoreScan): void;
  /** It could not be read: the disk said no. Whatever it holds is taken to be there. */
  unreadable(segment: LogSegment, error: FastQueueError): void;
}

/** Everything that is to be repaired below the mark. */
export async function listDamage(
  context: TopicContext,
  mark: HighWatermark,
  options: ListOptions,
): Promise<DamageList> {
  const regions: RegionDamage[] = [];
  const missingSegments: MissingSegment[] = [];
  let expectedOffset = mark.startOffset;
  let lastTimestamp: number | undefined;
  let activeEndPosition: number | undefined;
  const indexes: number[] = [];
  const addMissing = (nextOffset: number, timestampAfter: number | undefined): void => {
    if (nextOffset <= expectedOffset) return;
    const timestamp = lastTimestamp ?? timestampAfter ?? 0;
    missingSegments.push({ baseOffset: expectedOffset, nextOffset, timestamp });
  };
  const { live } = listSegments(context, mark);
  for (const [number, segment] of live.entries()) {
    // Superseded: its whole range lies inside the one before it.
    if (number > 0 && segment.endOffset <= expectedOffset && !segment.isActive) continue;
    let store: FileHandle | undefined;
    try {
      store = context.fileSystem.open(storePath(context, segment.baseOffset), 'read');
      const found = listSegment(context, { store, segment, mark, lastTimestamp }, options);
      if (segment.baseOffset > expectedOffset) addMissing(segment.baseOffset, found.firstTimestamp);
      regions.push(...found.regions);
      activeEndPosition = found.activeEndPosition;
      const { baseOffset, isActive, sizeBytes } = segment;
      // A writer may be adding to both.
      const storeBytes = isActive && sizeBytes > 0 ? Infinity : sizeBytes;
      if (!isIndexSound(context, { store, baseOffset, storeBytes, regions: found.regions }))
        indexes.push(baseOffset);
      expectedOffset = found.nextOffset;
      lastTimestamp = found.lastTimestamp ?? lastTimestamp;
      options.onBytes(segment.sizeBytes);
    } catch (error) {
      if (options.observer === undefined || !isDiskError(error)) throw error;
      options.observer.unreadable(segment, error);
      expectedOffset = segment.endOffset;
    } finally {
      store?.close();
    }
    await letOthersRun();
  }
  if (live.at(-1)?.isActive !== true) {
    addMissing(mark.baseOffset, undefined);
    expectedOffset = mark.baseOffset;
    missingSegments.push({
      baseOffset: mark.baseOffset,
      nextOffset: mark.nextOffset,
      timestamp: lastTimestamp ?? mark.timestamp,
    });
  }
  return {
    topic: context.topic,
    generation: mark.generation,
    regions,
    missingSegments,
    indexes,
    isSettingsUnsound: readTopicSettings(context) === undefined,
    activeEndPosition,
  };
}

interface SegmentRequest {
  readonly store: FileHandle;
  readonly segment: LogSegment;
  readonly mark: HighWatermark;
  /** Of the last frame before this segment. */
  readonly lastTimestamp: number | undefined;
}

interface SegmentDamage {
  readonly regions: readonly RegionDamage[];
  /** Where the segment ends once it is repaired. */
  readonly nextOffset: number;
  readonly firstTimestamp: number | undefined;
  readonly lastTimestamp: number | undefined;
  /** As in DamageList. */
  readonly activeEndPosition: number | undefined;
}

function listSegment(context: TopicContext, request: SegmentRequest, options: ListOptions): SegmentDamage {
  const { store, segment, mark } = request;
  const storeBytes = store.status().sizeBytes;
  const endPosition = segment.isActive ? Math.min(storeBytes, mark.position) : storeBytes;
  const scan = scanStore(context, {
    store,
    baseOffset: segment.baseOffset,
    position: 0,
    offset: segment.baseOffset,
    endPosition,
    endOffset: segment.endOffset,
    minTimestamp: -Infinity,
    visitor: options.observer?.visit(segment),
  });
  options.observer?.done(segment, scan);
  if (scan.nextOffset > segment.endOffset && segment.isActive) throw tooMany(context, store, scan);
  const holes = [...scan.holes];
  // A sealed store that ends at a frame, early: the segment behind it is missing.
  const endsEarly = segment.isActive && scan.nextOffset < segment.endOffset;
  const isCut = scan.goodEndPosition < endPosition || endsEarly || (storeBytes === 0 && !segment.isActive);
  if (isCut) {
    holes.push({
      position: scan.goodEndPosition,
      endPosition,
      offset: scan.nextOffset,
      nextOffset: Math.max(scan.nextOffset, segment.endOffset),
      timestampBefore: scan.lastTimestamp,
      timestampAfter: undefined,
    });
  }
  const regions = holes.map((hole) =>
    describe(hole, { ...request, storeBytes, isEnd: hole.endPosition === endPosition }, options),
  );
  return {
    regions,
    nextOffset: isCut ? Math.max(scan.nextOffset, segment.endOffset) : scan.nextOffset,
    firstTimestamp: headerAt(store, 0)?.timestamp,
    lastTimestamp: scan.lastTimestamp,
    activeEndPosition: segment.isActive && !isCut && storeBytes < mark.position ? storeBytes : undefined,
  };
}

/** A hole as a plan needs it. */
export function describe(
  hole: Hole,
  request: {
    store: FileHandle;
    segment: { baseOffset: number; isActive: boolean };
    lastTimestamp: number | undefined;
    storeBytes: number;
    isEnd: boolean;
  },
  options: { tryBitFlip: boolean },
): RegionDamage {
  const { store, segment, storeBytes } = request;
  const { position, endPosition, offset, nextOffset } = hole;
  const flip = options.tryBitFlip ? findFlippedBit(store, hole) : undefined;
  const moved = flip === undefined ? framesWithin(store, hole) : [];
  return {
    code: codeOf(hole, { store, isTail: segment.isActive && request.isEnd, isMoved: moved.length > 0 }),
    baseOffset: segment.baseOffset,
    position,
    endPosition,
    offset,
    nextOffset,
    timestamp: hole.timestampBefore ?? hole.timestampAfter ?? request.lastTimestamp ?? 0,
    moved,
    checksum: payloadChecksum(store, { position, byteCount: endPosition - position }),
    storeBytes,
    flip,
  };
}

function codeOf(hole: Hole, facts: { store: FileHandle; isTail: boolean; isMoved: boolean }): string {
  if (facts.isMoved) return 'misplaced_frames';
  if (hole.nextOffset === hole.offset) return 'foreign_bytes';
  const header = headerAt(facts.store, hole.position);
  const isOneFrame =
    header !== undefined &&
    hole.position + header.frameBytes === hole.endPosition &&
    hole.nextOffset === hole.offset + 1;
  if (isOneFrame) return 'bad_checksum';
  return facts.isTail ? 'missing_tail' : 'bad_length';
}

/** What the disk says of itself; a file that is gone is not that. */
function isDiskError(error: unknown): error is FastQueueError {
  return (
    error instanceof FastQueueError && error.details.errno !== undefined && error.details.errno !== 'ENOENT'
  );
}

function tooMany(context: TopicContext, store: FileHandle, scan: StoreScan): FastQueueError {
  return new FastQueueError(
    'recovery_incomplete',
    `${store.path} holds records up to offset ${scan.nextOffset - 1} before the byte that the high-water mark of ` +
      `"${context.topic}" names, which says fewer. Nothing was changed. Repair into a new directory with --out.`,
    { topic: context.topic, path: store.path, endOffset: scan.nextOffset },
  );
}
