/**
 * Retention: whole oldest segments are deleted once their last record is too old or the topic too large. Called by
 * compact, by the server each minute, and by whichever append rolls a segment.
 *
 * The new StartOffset is durable in the mark before the first file goes, so whoever dies in between leaves files that
 * are no part of the log. Needs no free space and settles nothing. Never touches the active segment, and deletes nothing
 * from a topic whose topic.json is missing or unsound.
 */
import type { HighWatermark } from './format/high-watermark.ts';
import { currentMark, isDeleted, markUnsound, peekMark, refuseNewer, renewMark } from './mark-file.ts';
import { removeIndex } from './offset-index.ts';
import { firstTimestampOf, listSegments, segmentTail, type LogSegment } from './segment-list.ts';
import { storePath, topicNotFound, type TopicContext } from './topic-directory.ts';
import { refuseMoved, withTopicLock, type LockHold } from './topic-lock.ts';
import { readTopicSettings } from './topic-settings.ts';

/** A timestamp further ahead of the clock than this was written by a wrong clock, and counts as now. */
const AHEAD_OF_CLOCK_MS = 86_400_000;

/** What is to be deleted. A segment goes when any of these says so. */
export interface RetentionPolicy {
  /** Segments whose last record is older than this; 0: age does not matter. */
  readonly ageMs: number;
  /** Oldest segments while the topic has more bytes than this; 0: size does not matter. */
  readonly bytes: number;
  /** Segments that end at or before this offset; 0: none. */
  readonly beforeOffset: number;
}

/** What was deleted, or would be. */
export interface RetentionReport {
  /** Where the topic began, and where it begins now. */
  readonly startOffset: { readonly before: number; readonly after: number };
  /** Segments deleted. */
  readonly segments: number;
  /** Bytes of their stores. */
  readonly bytes: number;
}

export interface RetentionOptions {
  /** What holds instead of the topic's own settings. */
  readonly policy?: Partial<RetentionPolicy>;
  /** The clock: milliseconds since 1970. */
  readonly nowMs?: number;
}

/** A segment as a plan looks at it. The timestamp is asked for only where age decides. */
export interface RetainableSegment extends LogSegment {
  /** Of the last record; undefined where nobody can tell, which keeps the segment as far as age goes. */
  readonly lastTimestamp: () => number | undefined;
}

/**
 * The oldest segments that the policy gives up, oldest first. Pure. Stops at the first that is to stay: a log has no
 * holes.
 *
 * @param segments the live ones, oldest first, the active one last
 */
export function planRetention<Segment extends RetainableSegment>(
  segments: readonly Segment[],
  policy: RetentionPolicy,
  nowMs: number,
): Segment[] {
  let remainingBytes = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const given: Segment[] = [];
  for (const segment of segments) {
    const isTooMuch = policy.bytes > 0 && remainingBytes > policy.bytes;
    const isBefore = segment.endOffset <= policy.beforeOffset;
    if (segment.isActive || !(isTooMuch || isBefore || isExpired(segment, policy, nowMs))) break;
    given.push(segment);
    remainingBytes -= segment.sizeBytes;
  }
  return given;
}

function isExpired(segment: RetainableSegment, policy: RetentionPolicy, nowMs: number): boolean {
  if (policy.ageMs === 0) return false;
  const timestamp = segment.lastTimestamp();
  if (timestamp === undefined || timestamp > nowMs + AHEAD_OF_CLOCK_MS) return false;
  return nowMs - timestamp > policy.ageMs;
}

/**
 * What retention would delete now, without the lock and changing nothing. Undefined where topic.json is missing or
 * unsound.
 *
 * @throws FastQueueError `newer_format`; disk errors as themselves
 */
export function previewRetention(
  context: TopicContext,
  mark: HighWatermark,
  options: RetentionOptions = {},
): RetentionReport | undefined {
  const given = planFor(context, mark, options);
  return given === undefined ? undefined : reportOf(given, mark);
}

/**
 * Deletes what the policy gives up. The caller holds the lock; `mark` is what the mark says now, settled or not.
 *
 * @returns the mark as it stands afterwards, and what was deleted: undefined where topic.json is missing or unsound
 * @throws FastQueueError disk errors as themselves: then what is left of it the next call does
 */
export async function applyRetention(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile' | 'isInPlace'>,
  mark: HighWatermark,
  options: RetentionOptions = {},
): Promise<{ mark: HighWatermark; report: RetentionReport | undefined }> {
  const given = planFor(context, mark, options);
  if (given === undefined) return { mark, report: undefined };
  const report = reportOf(given, mark);
  const { below, superseded } = listSegments(context, mark);
  const doomed = [...below, ...superseded, ...given.map((segment) => segment.baseOffset)];
  if (doomed.length === 0) return { mark, report };
  refuseMoved(context, hold);
  const moved = { ...mark, startOffset: report.startOffset.after };
  // Files that an interrupted run left: neither the mark nor the store that makes them superfluous may be durable yet.
  await renewMark(hold.markFile, moved);
  if (superseded.length > 0) await context.fileSystem.syncDirectory(context.directory);
  refuseMoved(context, hold);
  for (const baseOffset of doomed) {
    removeIndex(context, baseOffset);
    context.fileSystem.unlink(storePath(context, baseOffset));
  }
  await context.fileSystem.syncDirectory(context.directory);
  return { mark: moved, report };
}

/**
 * Looks without the lock, and takes it only where there is something to delete: for whoever asks again and again.
 *
 * @throws FastQueueError as retainTopic does
 */
export async function retainIfDue(
  context: TopicContext,
  options: RetentionOptions & { lockTimeoutMs: number },
): Promise<RetentionReport | undefined> {
  const mark = await currentMark(context);
  const preview = previewRetention(context, mark, options);
  const { below, superseded } = listSegments(context, mark);
  const isDue = preview !== undefined && preview.segments + below.length + superseded.length > 0;
  return isDue ? retainTopic(context, options) : preview;
}

/**
 * Takes the lock and applies retention. Settles nothing, so it works on a full disk.
 *
 * @throws FastQueueError `locked`, `topic_not_found`, `damaged` (the mark is unsound), `newer_format`; disk errors
 */
export async function retainTopic(
  context: TopicContext,
  options: RetentionOptions & { lockTimeoutMs: number },
): Promise<RetentionReport | undefined> {
  return withMaintenanceLock(context, options.lockTimeoutMs, async (hold, mark) => {
    const { report } = await applyRetention(context, hold, mark, options);
    return report;
  });
}

/**
 * Runs `use` under the lock with the mark as it is, settled or not: for those who touch sealed segments only.
 *
 * @throws FastQueueError `locked`, `topic_not_found`, `damaged` (the mark is unsound), `newer_format`, `locking_unavailable`
 */
export async function withMaintenanceLock<T>(
  context: TopicContext,
  lockTimeoutMs: number,
  use: (hold: LockHold, mark: HighWatermark) => Promise<T>,
): Promise<T> {
  return withTopicLock(context, lockTimeoutMs, async (hold) => {
    const mark = peekMark(hold.markFile);
    if (mark === undefined) throw markUnsound(context);
    if (isDeleted(refuseNewer(context, mark))) throw topicNotFound(context);
    return use(hold, mark);
  });
}

function planFor(
  context: TopicContext,
  mark: HighWatermark,
  options: RetentionOptions,
): RetainableSegment[] | undefined {
  const document = readTopicSettings(context);
  if (document === undefined) return undefined;
  const policy: RetentionPolicy = {
    ageMs: options.policy?.ageMs ?? document.settings.retentionAgeMs,
    bytes: options.policy?.bytes ?? document.settings.retentionBytes,
    beforeOffset: options.policy?.beforeOffset ?? 0,
  };
  const { live } = listSegments(context, mark);
  const segments = live.map((segment) => ({
    ...segment,
    lastTimestamp: () => lastTimestampOf(context, mark, segment),
  }));
  return planRetention(segments, policy, options.nowMs ?? Date.now());
}

/** Where the end of a segment does not check out, the beginning of the next one speaks for it. */
function lastTimestampOf(
  context: TopicContext,
  mark: HighWatermark,
  segment: LogSegment,
): number | undefined {
  const tail = segmentTail(context, segment.baseOffset);
  if (tail === undefined) return undefined;
  if (tail.isSound) return tail.lastTimestamp;
  return Math.max(tail.lastTimestamp, firstTimestampOf(context, segment.endOffset) ?? mark.timestamp);
}

function reportOf(given: readonly LogSegment[], mark: HighWatermark): RetentionReport {
  return {
    startOffset: { before: mark.startOffset, after: given.at(-1)?.endOffset ?? mark.startOffset },
    segments: given.length,
    bytes: given.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}
