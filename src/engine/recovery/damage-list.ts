/**
 * What is damaged in a topic, as recovery sees it: every store of the log from its first byte to the mark (the active one
 * to its last, where its frames were moved), segment to segment, and topic.json. Takes no lock and changes nothing; what
 * it finds is looked at again before anything is done.
 */
import type { FastQueueError } from '../errors.ts';
import { FRAME_HEADER_BYTES } from '../format/frame.ts';
import { isDiskError } from '../io/open-if-there.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { PastMark } from './past-mark.ts';
import type { DamageList, MissingSegment } from './plan.ts';
import { listSegments, type LogSegment } from '../segment-list.ts';
import type { SegmentReaders } from './segment-readers.ts';
import { regionsOf, type RegionTable } from './region-table.ts';
import type { SegmentReading, SegmentRequest } from './segment-reading.ts';
import { joined, sequence } from '../sequence.ts';
import { DEFAULT_TOPIC_SETTINGS, type TopicSettings } from '../settings.ts';
import { areFramesMoved } from '../store-end.ts';
import { settingsPath, storeBytes, storePath, type TopicContext } from '../topic-directory.ts';
import { readTopicSettings } from '../topic-settings.ts';

export interface ListOptions {
  /** Who reads the segments. */
  readonly readers: SegmentReaders;
  /** Look for a single flipped bit in frames that do not check out. */
  readonly tryBitFlip: boolean;
  /** Told how many bytes were read since it was told last. */
  readonly onBytes: (byteCount: number) => void;
  /** For `verify`, which wants to know more than what is damaged. */
  readonly observer?: ListObserver;
}

/** Told of each segment in turn, in the order of the log. */
export interface ListObserver {
  /** It was read. */
  done(segment: LogSegment, reading: SegmentReading): void;
  /** A file could not be read: the disk said no. Whatever it holds is taken to be there. */
  unreadable(path: string, error: FastQueueError): void;
}

/** Everything that is to be repaired, but for what lies behind the mark as a tail. */
export async function listDamage(
  context: TopicContext,
  mark: HighWatermark,
  options: ListOptions,
): Promise<DamageList> {
  const regions: { readonly table: RegionTable; readonly timestamp: number | undefined }[] = [];
  const missingSegments: (Omit<MissingSegment, 'timestamp'> & { timestamp: number | undefined })[] = [];
  let expectedOffset = mark.startOffset;
  /** Of the first good frame of the log, and of the last so far. */
  let firstTimestamp: number | undefined;
  let lastTimestamp: number | undefined;
  let activeEndPosition: number | undefined;
  let pastMark: PastMark | undefined;
  const indexes: number[] = [];
  const addMissing = (nextOffset: number): void => {
    if (nextOffset <= expectedOffset) return;
    missingSegments.push({ baseOffset: expectedOffset, nextOffset, timestamp: lastTimestamp });
  };
  const settings = settingsOf(context, options.observer);
  const { indexIntervalBytes } = settings ?? DEFAULT_TOPIC_SETTINGS;
  const { live } = listSegments(context, mark);
  const isMoved = areActiveFramesMoved(context, mark, options.observer);
  const request = { mark, indexIntervalBytes, isMoved, log: offsetsOf(context, mark, isMoved) };
  for await (const { segment, reading, error } of readInOrder(live, request, options)) {
    // Superseded: its whole range lies inside the one before it.
    if (segment !== live[0] && segment.endOffset <= expectedOffset && !segment.isActive) continue;
    if (reading === undefined) {
      if (options.observer === undefined || !isDiskError(error)) throw error;
      options.observer.unreadable(error.details.path ?? storePath(context, segment.baseOffset), error);
      expectedOffset = segment.endOffset;
      continue;
    }
    options.observer?.done(segment, reading);
    if (segment.baseOffset > expectedOffset) addMissing(segment.baseOffset);
    regions.push({ table: reading.regions, timestamp: lastTimestamp });
    ({ activeEndPosition, pastMark } = reading);
    if (reading.contents.index?.isSound === false) indexes.push(segment.baseOffset);
    expectedOffset = reading.nextOffset;
    firstTimestamp ??= firstGoodTimestamp(reading);
    lastTimestamp = reading.lastTimestamp ?? lastTimestamp;
  }
  if (live.at(-1)?.isActive !== true) {
    addMissing(mark.baseOffset);
    expectedOffset = mark.baseOffset;
    missingSegments.push({
      baseOffset: mark.baseOffset,
      nextOffset: mark.nextOffset,
      timestamp: lastTimestamp ?? mark.timestamp,
    });
  }
  // What has no good frame before it in the log is stamped with the first after it (docs/FORMAT.md).
  const dated = <Found extends { timestamp: number | undefined }>(found: Found, before?: number) => ({
    ...found,
    timestamp: found.timestamp ?? before ?? firstTimestamp ?? 0,
  });
  return {
    topic: context.topic,
    generation: mark.generation,
    startOffset: mark.startOffset,
    regions: joined(
      regions.map(({ table, timestamp }) =>
        sequence(table.rows.length, function* () {
          for (const region of regionsOf(table)) yield dated(region, timestamp);
        }),
      ),
    ),
    missingSegments: missingSegments.map((segment) => dated(segment)),
    indexes,
    isSettingsUnsound: settings === undefined,
    activeEndPosition,
    pastMark,
    tryBitFlip: options.tryBitFlip,
  };
}

/** Of the first frame that checks out. */
function firstGoodTimestamp({ regions, firstTimestamp }: SegmentReading): number | undefined {
  const [first] = regionsOf(regions);
  return first?.position === 0 ? first.timestamp : firstTimestamp;
}

/** False where the disk does not let it be seen: what cannot be read is told when it is to be. */
function areActiveFramesMoved(
  context: TopicContext,
  mark: HighWatermark,
  observer: ListObserver | undefined,
): boolean {
  try {
    return areFramesMoved(context, mark);
  } catch (error) {
    if (observer === undefined || !isDiskError(error)) throw error;
    return false;
  }
}

/** Offsets that the log has, or may have where the active store goes on behind the mark. */
function offsetsOf(context: TopicContext, mark: HighWatermark, isMoved: boolean): SegmentRequest['log'] {
  const behindBytes = isMoved ? (storeBytes(context, mark.baseOffset) ?? 0) - mark.position : 0;
  const nextOffset = mark.nextOffset + Math.floor(Math.max(0, behindBytes) / FRAME_HEADER_BYTES);
  return { offset: mark.startOffset, nextOffset };
}

/** Undefined where topic.json is missing or damaged; the defaults where the disk does not give it up. */
function settingsOf(context: TopicContext, observer: ListObserver | undefined): TopicSettings | undefined {
  try {
    return readTopicSettings(context)?.settings;
  } catch (error) {
    if (observer === undefined || !isDiskError(error)) throw error;
    observer.unreadable(error.details.path ?? settingsPath(context), error);
    return DEFAULT_TOPIC_SETTINGS;
  }
}

type Outcome =
  | { readonly segment: LogSegment; readonly reading: SegmentReading; readonly error?: undefined }
  | { readonly segment: LogSegment; readonly reading?: undefined; readonly error: unknown };

/** Readings in the order of the log, as many segments being read at a time as there are readers. */
async function* readInOrder(
  segments: readonly LogSegment[],
  common: Omit<SegmentRequest, 'segment' | 'tryBitFlip' | 'purpose'>,
  options: ListOptions,
): AsyncGenerator<Outcome> {
  const { readers, tryBitFlip, onBytes, observer } = options;
  const purpose = observer === undefined ? 'recover' : 'verify';
  const read = async (segment: LogSegment): Promise<Outcome> => {
    try {
      return {
        segment,
        reading: await readers.read({ ...common, segment, tryBitFlip, purpose }, onBytes),
      };
    } catch (error) {
      return { segment, error };
    }
  };
  const underWay: Promise<Outcome>[] = [];
  for (const segment of segments) {
    underWay.push(read(segment));
    if (underWay.length >= readers.width) yield await (underWay.shift() as Promise<Outcome>);
  }
  for (const outcome of underWay) yield await outcome;
}
