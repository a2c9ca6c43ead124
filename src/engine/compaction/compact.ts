/**
 * `compact`: list → plan → prepare → switch, for one topic. Frees space and keeps every offset and every gap.
 *
 *     lock: drop old segments, remove leftovers   → list and plan (no lock)
 *     for each rewrite: prepare beside the log (no lock) → lock: switch, if the log is still what was planned
 *
 * Dropping needs no free space and comes first. At most one merged segment stands beside the log at a time. Never touches
 * the active segment, and rewrites no damaged one.
 */
import { listSealed, notStill, type DamagedPlace, type SealedSegment } from './list.ts';
import { mostIndexBytes } from '../entry-writer.ts';
import { planCompaction, type CompactPlan, type CompactPolicy, type Rewrite } from './plan.ts';
import { prepareIndex, prepareStore, type PreparedSegment, type PrepareOptions } from './prepare.ts';
import { switchIndexes, switchStore } from './switch.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { listLeftovers, removeLeftovers, type Leftover } from '../leftovers.ts';
import { DEFAULT_MERGE_BELOW_BYTES } from '../limits.ts';
import { currentMark } from '../mark-file.ts';
import {
  applyRetention,
  previewRetention,
  withMaintenanceLock,
  type RetentionOptions,
  type RetentionReport,
} from '../retention.ts';
import { refuseHalfRecovered } from '../recovery/interrupted-runs.ts';
import { listSegments } from '../segment-list.ts';
import type { TopicSettings } from '../settings.ts';
import type { LockHold } from '../topic-lock.ts';
import { PassedPlaces } from '../passed-places.ts';
import { offsetAtTime } from '../time-lookup.ts';
import type { TopicContext } from '../topic-directory.ts';
import { readTopicSettings } from '../topic-settings.ts';

export interface CompactOptions {
  readonly dryRun: boolean;
  /** Instead of the topic's own retention: milliseconds and bytes, 0 keeps for ever. */
  readonly retainAgeMs?: number | undefined;
  readonly retainBytes?: number | undefined;
  /** Drop segments that end at or before this offset, or before the first record of this time, whatever their age. */
  readonly before?: { readonly offset: number } | { readonly timestamp: number } | undefined;
  /**
   * Merge neighbouring segments smaller than this; 0: merge nothing. Merged stores stay within the topic's segmentBytes,
   * or within this where it is given and larger.
   */
  readonly mergeBelowBytes?: number | undefined;
  readonly lockTimeoutMs: number;
  /** The clock: milliseconds since 1970. */
  readonly nowMs?: number;
  /** Told how many bytes there are to read, and how many were read since it was told last. */
  readonly onTotal?: (byteCount: number) => void;
  readonly onBytes?: (byteCount: number) => void;
}

/** Segments that became one, or would. */
export interface RewriteReport {
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly segments: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** A rewrite that the disk has no room for. */
export interface NoRoom {
  readonly baseOffset: number;
  readonly neededBytes: number;
  readonly freeBytes: number;
}

export interface CompactReport {
  readonly topic: string;
  readonly dryRun: boolean;
  /** False where topic.json is missing or unsound: then nothing was dropped, removed or rewritten. */
  readonly isSettingsSound: boolean;
  readonly dropped: RetentionReport;
  readonly leftovers: readonly Leftover[];
  readonly rewrites: readonly RewriteReport[];
  /** Base offsets of segments that were given a new index, merged ones aside. */
  readonly reindexed: readonly number[];
  /** What was left alone because it is damaged. */
  readonly damaged: readonly DamagedPlace[];
  /** What was left alone because the disk is too full. */
  readonly noRoom: readonly NoRoom[];
  /** Bytes of stores and leftovers that are free now, or would be. */
  readonly freedBytes: number;
  /** Segments of the log afterwards. */
  readonly segments: number;
}

/** How often a plan is made anew because the log was changed meanwhile. */
const MAX_PLANS = 10;

/** Indexes that are put in place under one lock. */
const INDEXES_AT_ONCE = 16;

/**
 * Compacts one topic, or says what it would do.
 *
 * @throws FastQueueError `condition_failed` when the log was changed again and again meanwhile; `locked`;
 *   `recovery_incomplete` where a recovery was interrupted while it moved frames or stores;
 *   `topic_not_found`; `damaged` where the mark is unsound; `newer_format`; disk errors as themselves. What was done until
 *   then is sound, and the next call goes on
 */
export async function compactTopic(context: TopicContext, options: CompactOptions): Promise<CompactReport> {
  const document = readTopicSettings(context);
  if (document === undefined) return nothingDone(context, options);
  const run = new Compaction(context, document.settings, options);
  return options.dryRun ? run.preview() : run.apply();
}

async function nothingDone(context: TopicContext, options: CompactOptions): Promise<CompactReport> {
  const mark = await currentMark(context);
  const { startOffset } = mark;
  return {
    topic: context.topic,
    dryRun: options.dryRun,
    isSettingsSound: false,
    dropped: { startOffset: { before: startOffset, after: startOffset }, segments: 0, bytes: 0 },
    leftovers: [],
    rewrites: [],
    reindexed: [],
    damaged: [],
    noRoom: [],
    freedBytes: 0,
    segments: listSegments(context, mark).live.length,
  };
}

interface PlannedWork extends CompactPlan {
  /** Kept segments that get a new index. */
  readonly reindexes: readonly SealedSegment[];
}

class Compaction {
  readonly #context: TopicContext;
  readonly #settings: TopicSettings;
  readonly #options: CompactOptions;
  readonly #rewrites: RewriteReport[] = [];
  readonly #reindexed = new Set<number>();

  constructor(context: TopicContext, settings: TopicSettings, options: CompactOptions) {
    this.#context = context;
    this.#settings = settings;
    this.#options = options;
  }

  async preview(): Promise<CompactReport> {
    const mark = await currentMark(this.#context);
    const dropped = previewRetention(this.#context, mark, this.#retention(mark)) ?? nothingDropped(mark);
    const leftovers = listLeftovers(this.#context, mark);
    const plan = await this.#plan(dropped.startOffset.after);
    const noRoom: NoRoom[] = [];
    for (const rewrite of plan.rewrites) {
      // What was dropped or rewritten before makes room, and is not free yet.
      const missing = this.#roomFor(rewrite, dropped.bytes);
      if (missing === undefined) this.#rewrites.push(reportOf(rewrite, rewrite.bytesAfter));
      else noRoom.push(missing);
    }
    for (const { baseOffset } of plan.reindexes) this.#reindexed.add(baseOffset);
    return this.#report({ mark, dropped, leftovers, plan, noRoom });
  }

  async apply(): Promise<CompactReport> {
    const { dropped, leftovers } = await this.#drop();
    for (let attempt = 0; attempt < MAX_PLANS; attempt++) {
      const plan = await this.#plan();
      const noRoom = await this.#carryOut(plan);
      if (noRoom === 'changed') continue;
      const mark = await currentMark(this.#context);
      return this.#report({ mark, dropped, leftovers, plan, noRoom });
    }
    throw notStill(this.#context);
  }

  #drop(): Promise<{ dropped: RetentionReport; leftovers: Leftover[] }> {
    return this.#locked(async (hold, mark) => {
      const leftovers = listLeftovers(this.#context, mark);
      const { report } = await applyRetention(this.#context, hold, mark, this.#retention(mark));
      await removeLeftovers(this.#context, hold, leftovers);
      return { dropped: report ?? nothingDropped(mark), leftovers };
    });
  }

  #retention(mark: HighWatermark): RetentionOptions {
    const { retainAgeMs, retainBytes, before, nowMs } = this.#options;
    return {
      policy: {
        ...(retainAgeMs === undefined ? {} : { ageMs: retainAgeMs }),
        ...(retainBytes === undefined ? {} : { bytes: retainBytes }),
        ...(before === undefined ? {} : { beforeOffset: this.#beforeOffset(before, mark) }),
      },
      ...(nowMs === undefined ? {} : { nowMs }),
    };
  }

  #beforeOffset(before: NonNullable<CompactOptions['before']>, mark: HighWatermark): number {
    if ('offset' in before) return before.offset;
    return offsetAtTime(this.#context, { mark, timestampMs: before.timestamp, places: new PassedPlaces() });
  }

  /** @param startOffset where the log will begin once what is to be dropped is gone */
  async #plan(startOffset?: number): Promise<PlannedWork> {
    const list = await listSealed(this.#context, {
      startOffset,
      indexIntervalBytes: this.#settings.indexIntervalBytes,
      onTotal: this.#options.onTotal ?? (() => undefined),
      onBytes: this.#options.onBytes ?? (() => undefined),
    });
    const plan = planCompaction(list, policyOf(this.#settings, this.#options));
    this.#options.onTotal?.(plan.rewrites.reduce((sum, { bytesBefore }) => sum + bytesBefore, 0));
    return { ...plan, reindexes: plan.kept.filter(({ isIndexComplete }) => !isIndexComplete) };
  }

  /** `changed`: the log is no longer what was planned. What was done until then is done. */
  async #carryOut(plan: PlannedWork): Promise<NoRoom[] | 'changed'> {
    const noRoom: NoRoom[] = [];
    let { generation } = plan;
    for (const rewrite of plan.rewrites) {
      const missing = this.#roomFor(rewrite, 0);
      if (missing !== undefined) {
        noRoom.push(missing);
        continue;
      }
      const raised = await this.#rewrite(rewrite, generation);
      if (raised === undefined) return 'changed';
      generation = raised;
    }
    for (let at = 0; at < plan.reindexes.length; at += INDEXES_AT_ONCE) {
      const raised = await this.#reindex(plan.reindexes.slice(at, at + INDEXES_AT_ONCE), generation);
      if (raised === undefined) return 'changed';
      generation = raised;
    }
    return noRoom;
  }

  /** Undefined where there is room for the new store and its index beside the log. */
  #roomFor({ segments, bytesAfter }: Rewrite, freedBytes: number): NoRoom | undefined {
    const neededBytes = bytesAfter + mostIndexBytes(bytesAfter, this.#settings.indexIntervalBytes);
    const freeBytes = this.#context.fileSystem.freeBytes(this.#context.directory) + freedBytes;
    const baseOffset = segments[0]?.baseOffset ?? 0;
    return neededBytes <= freeBytes ? undefined : { baseOffset, neededBytes, freeBytes };
  }

  /** Returns the generation afterwards; undefined where the log was changed. */
  async #rewrite(rewrite: Rewrite, generation: number): Promise<number | undefined> {
    const { segments } = rewrite;
    const prepared = await prepareStore(this.#context, segments, this.#prepareOptions());
    if (prepared === undefined) return undefined;
    try {
      const mark = await this.#locked((hold, now) =>
        switchStore(this.#context, hold, { mark: now, generation, segments, prepared }),
      );
      if (mark !== undefined) this.#rewrites.push(reportOf(rewrite, prepared.storeBytes));
      return mark?.generation;
    } finally {
      prepared.close();
    }
  }

  async #reindex(segments: readonly SealedSegment[], generation: number): Promise<number | undefined> {
    const prepared: PreparedSegment[] = [];
    try {
      for (const segment of segments) {
        const index = await prepareIndex(this.#context, segment, this.#prepareOptions());
        if (index === undefined) return undefined;
        prepared.push(index);
      }
      const mark = await this.#locked((hold, now) =>
        switchIndexes(this.#context, hold, { mark: now, generation, segments, prepared }),
      );
      if (mark !== undefined) for (const { baseOffset } of segments) this.#reindexed.add(baseOffset);
      return mark?.generation;
    } finally {
      for (const each of prepared) each.close();
    }
  }

  /** Nothing is changed beside a recovery that was interrupted. */
  #locked<T>(use: (hold: LockHold, mark: HighWatermark) => Promise<T>): Promise<T> {
    return withMaintenanceLock(this.#context, this.#options.lockTimeoutMs, (hold, mark) => {
      refuseHalfRecovered(this.#context);
      return use(hold, mark);
    });
  }

  #prepareOptions(): PrepareOptions {
    return {
      indexIntervalBytes: this.#settings.indexIntervalBytes,
      onBytes: this.#options.onBytes ?? (() => undefined),
    };
  }

  #report(done: {
    mark: HighWatermark;
    dropped: RetentionReport;
    leftovers: readonly Leftover[];
    plan: CompactPlan;
    noRoom: readonly NoRoom[];
  }): CompactReport {
    const { dropped, leftovers, plan, noRoom } = done;
    const rewrites = this.#rewrites;
    const leftoverBytes = leftovers.reduce((sum, { bytes }) => sum + bytes, 0);
    const rewriteBytes = rewrites.reduce((sum, each) => sum + each.bytesBefore - each.bytesAfter, 0);
    const { live } = listSegments(this.#context, done.mark);
    const merged = rewrites.reduce((sum, { segments }) => sum + segments - 1, 0);
    return {
      topic: this.#context.topic,
      dryRun: this.#options.dryRun,
      isSettingsSound: true,
      dropped,
      leftovers,
      rewrites,
      reindexed: [...this.#reindexed].sort((left, right) => left - right),
      damaged: plan.damaged,
      noRoom,
      freedBytes: dropped.bytes + leftoverBytes + rewriteBytes,
      segments: this.#options.dryRun ? live.length - dropped.segments - merged : live.length,
    };
  }
}

/**
 * Retention deletes whole segments only, so a merged one must not keep what would have gone long ago, nor take with it
 * what would have stayed: it spans no more of the retention age, nor of the retention bytes, than a tenth.
 */
function policyOf(settings: TopicSettings, options: CompactOptions): CompactPolicy {
  const { segmentBytes, retentionAgeMs, retentionBytes } = settings;
  const mergeBelowBytes = options.mergeBelowBytes ?? DEFAULT_MERGE_BELOW_BYTES;
  const wantedBytes = Math.max(segmentBytes, options.mergeBelowBytes ?? 0);
  const boundBytes = retentionBytes === 0 ? Infinity : Math.max(segmentBytes, retentionBytes / 10);
  return {
    mergeBelowBytes,
    maxMergedBytes: Math.min(wantedBytes, boundBytes),
    maxSpanMs: retentionAgeMs === 0 ? Infinity : retentionAgeMs / 10,
  };
}

const nothingDropped = ({ startOffset }: HighWatermark): RetentionReport => ({
  startOffset: { before: startOffset, after: startOffset },
  segments: 0,
  bytes: 0,
});

function reportOf({ segments, bytesBefore }: Rewrite, bytesAfter: number): RewriteReport {
  return {
    baseOffset: segments[0]?.baseOffset ?? 0,
    endOffset: segments.at(-1)?.endOffset ?? 0,
    segments: segments.length,
    bytesBefore,
    bytesAfter,
  };
}
