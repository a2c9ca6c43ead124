/**
 * From what somebody asked for (`-o`, `--since`, `offset=`, a group's position) to offsets: where to begin and where to
 * end. One decision for the command line and for HTTP.
 */
import { commandLine } from './command-line.ts';
import { FastQueueError } from './errors.ts';
import { MAX_OFFSET } from './limits.ts';
import { resolveOffset, type OffsetRange } from './offset-spec.ts';
import type { Topic } from './topic.ts';

export interface RangeRequest {
  readonly spec: OffsetRange;
  /** The group, if there is one and it has begun, and where it stands. */
  readonly group: { readonly name: string; readonly nextOffset: number } | undefined;
  readonly isFollowing: boolean;
  /** Move an offset outside the log to its nearest end. */
  readonly clamp: boolean;
  /** How to ask for that, where the answer is a refusal: `--clamp`. */
  readonly clampWord: string;
}

export interface ConsumeRange {
  readonly fromOffset: number;
  /** Excluded. */
  readonly untilOffset: number;
  /** End before the first record with this timestamp or a later one, which the offsets alone do not tell. */
  readonly untilTimestamp: number | undefined;
  /** Records between where the group stood and where the topic begins now. */
  readonly removedCount: number;
}

/** The log as it stands. */
export interface LogBounds {
  readonly startOffset: number;
  readonly nextOffset: number;
}

/** @throws FastQueueError `offset_removed`, `offset_out_of_range` naming the range; `invalid_argument` for one that goes backwards */
export async function resolveRange(
  topic: Topic,
  bounds: LogBounds,
  request: RangeRequest,
): Promise<ConsumeRange> {
  const points = { ...bounds, offsetAtTime: (timestampMs: number) => topic.offsetAtTime(timestampMs) };
  const { spec, group } = request;
  if (group !== undefined) refuseGroupPastEnd(topic, bounds, group);
  const groupOffset = group?.nextOffset;
  const from =
    groupOffset ?? (spec.from === undefined ? bounds.startOffset : await resolveOffset(spec.from, points));
  const isGroupBehind = groupOffset !== undefined && groupOffset < bounds.startOffset;
  const fromOffset = isGroupBehind
    ? bounds.startOffset
    : place(topic, from, { ...request, bounds, mayWait: false });
  const removedCount = isGroupBehind ? bounds.startOffset - groupOffset : 0;
  const openEnd = request.isFollowing ? MAX_OFFSET : bounds.nextOffset;
  if (spec.until === undefined)
    return { fromOffset, untilOffset: openEnd, untilTimestamp: undefined, removedCount };
  const until = await resolveOffset(spec.until, points);
  if (spec.until.type === 'time') {
    // From `fromOffset` on the lookup may answer an earlier record, where a clock was set back; or a later one will come.
    const isKnown = until >= fromOffset && (until < bounds.nextOffset || !request.isFollowing);
    return isKnown
      ? { fromOffset, untilOffset: until, untilTimestamp: undefined, removedCount }
      : { fromOffset, untilOffset: openEnd, untilTimestamp: spec.until.timestamp, removedCount };
  }
  if (until < from && groupOffset === undefined) {
    throw new FastQueueError(
      'invalid_argument',
      `The range ends at offset ${until}, before it begins at ${from}.`,
    );
  }
  const untilOffset = place(topic, until, { ...request, bounds, mayWait: request.isFollowing });
  return { fromOffset, untilOffset, untilTimestamp: undefined, removedCount };
}

function place(
  topic: Topic,
  offset: number,
  options: { bounds: LogBounds; clamp: boolean; clampWord: string; mayWait: boolean },
): number {
  const { startOffset, nextOffset } = options.bounds;
  const endOffset = options.mayWait ? MAX_OFFSET : nextOffset;
  if (offset >= startOffset && offset <= endOffset) return offset;
  if (options.clamp) return Math.min(Math.max(offset, startOffset), endOffset);
  const isRemoved = offset < startOffset;
  throw new FastQueueError(
    isRemoved ? 'offset_removed' : 'offset_out_of_range',
    `Offset ${offset} ${isRemoved ? 'was removed by retention' : 'is beyond the end'}: "${topic.name}" has offsets ` +
      `${startOffset} to before ${nextOffset}. ${options.clampWord} takes the nearest.`,
    { topic: topic.name, offset, startOffset, endOffset: nextOffset },
  );
}

function refuseGroupPastEnd(
  topic: Topic,
  { nextOffset: endOffset }: LogBounds,
  group: { name: string; nextOffset: number },
): void {
  const { name } = topic;
  const offset = group.nextOffset;
  if (offset <= endOffset) return;
  throw new FastQueueError(
    'damaged',
    `The group "${group.name}" stands at offset ${offset}, but "${name}" ends before ${endOffset}: acknowledged records are missing. ` +
      `Look with "${commandLine(topic, `verify ${name}`)}"; then set the group with ` +
      `"${commandLine(topic, `topics reset ${name} --group ${group.name} --to OFFSET`)}".`,
    { topic: name, offset, endOffset },
  );
}
