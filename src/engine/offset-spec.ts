/**
 * Where in a topic somebody wants to begin or end, as people write it: `N`, `-N`, `beginning`, `end`, `@TIME`, and pairs
 * of these with a colon. One grammar for the command line and for HTTP.
 */
import { FastQueueError } from './errors.ts';
import { MAX_OFFSET } from './limits.ts';
import { parseTime } from './quantities.ts';

export type OffsetPoint =
  | { readonly type: 'offset'; readonly offset: number }
  /** So many offsets before the end. */
  | { readonly type: 'before-end'; readonly count: number }
  | { readonly type: 'beginning' }
  | { readonly type: 'end' }
  /** The first record at or after a time, in milliseconds since 1970. */
  | { readonly type: 'time'; readonly timestamp: number };

export interface OffsetRange {
  readonly from?: OffsetPoint;
  /** Excluded. */
  readonly until?: OffsetPoint;
}

/** Far more than two times take. Where one ends and the other begins is tried at every colon. */
const MAX_SPEC_CHARACTERS = 200;

const NAMES: ReadonlyMap<string, OffsetPoint> = new Map<string, OffsetPoint>([
  ['beginning', { type: 'beginning' }],
  ['earliest', { type: 'beginning' }],
  ['end', { type: 'end' }],
  ['latest', { type: 'end' }],
]);

/**
 * A point or a range: `42`, `-10`, `beginning`, `end`, `A:B`, `A:`, `:B`, `A:@TIME`, `@TIME`, `@T1:T2`, `s@TIME`,
 * `e@TIME`.
 *
 * @param nowMs the clock that times like `-2h` count from
 * @throws FastQueueError `invalid_argument`, naming the forms there are
 */
export function parseOffsetSpec(text: string, nowMs: number): OffsetRange {
  if (text.length > MAX_SPEC_CHARACTERS) throw notASpec(text);
  if (text.startsWith('s@')) return { from: timePoint(text.slice(2), nowMs) };
  if (text.startsWith('e@')) return { until: timePoint(text.slice(2), nowMs) };
  if (text.startsWith('@')) return parseTimeRange(text.slice(1), nowMs);
  const colon = text.indexOf(':');
  if (colon === -1) return { from: parsePoint(text, text) };
  const [from, until] = [text.slice(0, colon), text.slice(colon + 1)];
  if (from === '' && until === '') throw notASpec(text);
  return {
    ...(from === '' ? {} : { from: parsePoint(from, text) }),
    ...(until === '' ? {} : { until: parseEnd(until, { spec: text, nowMs }) }),
  };
}

/** Text of which both sides of one colon are times; a time may hold colons itself. */
function parseTimeRange(text: string, nowMs: number): OffsetRange {
  const whole = tryTime(text, nowMs);
  if (whole !== undefined) return { from: whole };
  for (let colon = text.indexOf(':'); colon !== -1; colon = text.indexOf(':', colon + 1)) {
    const left = text.slice(0, colon);
    const right = text.slice(colon + 1).replace(/^@/, '');
    const from = left === '' ? undefined : tryTime(left, nowMs);
    const until = right === '' ? undefined : tryTime(right, nowMs);
    if ((left === '' || from !== undefined) && (right === '' || until !== undefined) && left + right !== '') {
      return { ...(from === undefined ? {} : { from }), ...(until === undefined ? {} : { until }) };
    }
  }
  return { from: timePoint(text, nowMs) };
}

function tryTime(text: string, nowMs: number): OffsetPoint | undefined {
  try {
    return timePoint(text, nowMs);
  } catch (error) {
    if (error instanceof FastQueueError) return undefined;
    throw error;
  }
}

const timePoint = (text: string, nowMs: number): OffsetPoint => ({
  type: 'time',
  timestamp: parseTime(text, nowMs),
});

/** The side behind the colon may be a time whatever stands before it. */
const parseEnd = (text: string, { spec, nowMs }: { spec: string; nowMs: number }): OffsetPoint =>
  text.startsWith('@') ? timePoint(text.slice(1), nowMs) : parsePoint(text, spec);

function parsePoint(text: string, spec: string): OffsetPoint {
  const named = NAMES.get(text);
  if (named !== undefined) return named;
  const match = /^(-?)(\d+)$/.exec(text);
  const value = match === null ? NaN : Number(match[2]);
  if (!Number.isSafeInteger(value) || value > MAX_OFFSET) throw notASpec(spec);
  return match?.[1] === '-' ? { type: 'before-end', count: value } : { type: 'offset', offset: value };
}

function notASpec(text: string): FastQueueError {
  return new FastQueueError(
    'invalid_argument',
    `${JSON.stringify(text)} is not an offset: write N, -N (the last N), beginning, end, A:B, A:, :B (B excluded), A:@TIME, @TIME or @TIME:TIME.`,
  );
}

/** What a point is resolved against. */
export interface OffsetBounds {
  readonly startOffset: number;
  readonly nextOffset: number;
  /** First record at or after a time. */
  readonly offsetAtTime: (timestampMs: number) => Promise<number>;
}

/** The offset that a point means now. An explicit offset is taken as it is, inside the log or not. */
export async function resolveOffset(point: OffsetPoint, bounds: OffsetBounds): Promise<number> {
  switch (point.type) {
    case 'offset':
      return point.offset;
    case 'before-end':
      return Math.max(bounds.startOffset, bounds.nextOffset - point.count);
    case 'beginning':
      return bounds.startOffset;
    case 'end':
      return bounds.nextOffset;
    case 'time':
      return bounds.offsetAtTime(point.timestamp);
  }
}
