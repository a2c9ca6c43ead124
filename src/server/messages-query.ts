/**
 * What `GET /topics/{topic}/messages` is asked for: where to begin and end, how much, and whether to wait.
 */
import {
  parseOffsetSpec,
  parseSize,
  resolveRange,
  type ConsumeRange,
  type LogReader,
  type OffsetRange,
  type Topic,
} from '../engine/index.ts';
import { DEFAULT_LIMIT, DEFAULT_MAX_BYTES, MAX_LIMIT, MAX_WAIT_SECONDS } from './limits.ts';
import { invalid, parseCount, parseFlag, parseQuery, parseSeconds } from './query.ts';

const PARAMETERS = ['offset', 'limit', 'max_bytes', 'wait', 'clamp'] as const;

export interface MessagesQuery {
  readonly spec: OffsetRange;
  /** Records at the most; undefined: as many as the form of the answer takes by itself. */
  readonly givenLimit: number | undefined;
  readonly limit: number;
  /** Bytes in the store, headers of records included; one record always comes. */
  readonly maxBytes: number;
  readonly waitMs: number;
  readonly clamp: boolean;
  /** What the query says beside the offset, to follow it in a link. */
  readonly otherParameters: string;
}

/** @throws FastQueueError `invalid_argument` */
export function parseMessagesQuery(search: string | undefined): MessagesQuery {
  const query = parseQuery(search, PARAMETERS);
  const givenLimit =
    query.limit === undefined ? undefined : parseCount('limit', query.limit, { min: 1, max: MAX_LIMIT });
  const maxBytes =
    query.max_bytes === undefined ? DEFAULT_MAX_BYTES : parseSize(query.max_bytes, 'max_bytes');
  if (maxBytes < 1) throw invalid('max_bytes must be at least 1.');
  return {
    spec: query.offset === undefined ? {} : parseOffsetSpec(query.offset, Date.now()),
    givenLimit,
    limit: givenLimit ?? DEFAULT_LIMIT,
    maxBytes,
    waitMs: query.wait === undefined ? 0 : parseSeconds('wait', query.wait, MAX_WAIT_SECONDS),
    clamp: parseFlag('clamp', query.clamp),
    otherParameters: (['limit', 'max_bytes', 'wait'] as const)
      .map((name) => (query[name] === undefined ? '' : `&${name}=${query[name]}`))
      .join(''),
  };
}

/** A reader that stands where the answer begins, and where it ends. */
export interface OpenRange {
  readonly reader: LogReader;
  readonly range: ConsumeRange;
}

/**
 * Opens a reader at the place that the query means now. Close the reader.
 *
 * @param options.isFollowing the end may lie beyond what there is now
 * @throws FastQueueError `offset_removed`, `offset_out_of_range`, `damaged` (the mark is unsound), …
 */
export async function openRange(
  topic: Topic,
  query: MessagesQuery,
  options: { isFollowing: boolean },
): Promise<OpenRange> {
  // From 0 every log can be opened; where it begins and ends is known once what a dead writer left was settled.
  const reader = await topic.openReader({ from: 0 });
  try {
    const range = await resolveRange(topic, reader.mark, {
      spec: query.spec,
      group: undefined,
      isFollowing: options.isFollowing,
      clamp: query.clamp,
      clampWord: 'clamp=true',
    });
    reader.seek(range.fromOffset);
    return { reader, range };
  } catch (error) {
    reader.close();
    throw error;
  }
}

/** The path that goes on at an offset with what was asked for, its end included. */
export function pathOfNext(
  nextOffset: number,
  asked: { topic: Topic; query: MessagesQuery; range: ConsumeRange },
): string {
  const { topic, query } = asked;
  return `/topics/${topic.name}/messages?offset=${nextOffset}${endOf(nextOffset, asked)}${query.otherParameters}`;
}

/** As `:B`. A time is still one: which record is the first behind it may be known later only. */
function endOf(nextOffset: number, asked: { query: MessagesQuery; range: ConsumeRange }): string {
  const { until } = asked.query.spec;
  if (until === undefined) return '';
  // No record is older than 1970, and `-104000000d` is no date.
  if (until.type === 'time') return `:@${new Date(Math.max(0, until.timestamp)).toISOString()}`;
  return `:${Math.max(nextOffset, asked.range.untilOffset)}`;
}
