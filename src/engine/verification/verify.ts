/**
 * `verify`: reads all of a topic and changes nothing. Takes no lock, and goes on after what it finds. Beside writers,
 * retention and a recovery at work it starts over rather than report what it saw halfway: what it names was so under one
 * generation of the mark.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { commandLine } from '../command-line.ts';
import { FastQueueError } from '../errors.ts';
import { FindingList } from './finding-list.ts';
import type { Finding, OffsetRange } from './findings.ts';
import { isDiskError, isGone } from '../io/open-if-there.ts';
import type { FileHandle } from '../io/file-system.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { markOfLastSegment, storesBehind } from '../later-stores.ts';
import { isDeleted, readMark } from '../mark-file.ts';
import { isAsSeen } from '../recovery/apply.ts';
import { listDamage } from '../recovery/damage-list.ts';
import type { RegionDamage } from '../recovery/damaged-region.ts';
import { findMisnamed } from '../recovery/misnamed-stores.ts';
import { joinRanges, planRecovery, type DamageList } from '../recovery/plan.ts';
import { seenWithReadableIndexes } from '../recovery/readable-indexes.ts';
import { actualPath, seenRenamed } from '../recovery/renamed-view.ts';
import { listRuns, type RenamedStore } from '../recovery/runs.ts';
import { previewTail } from '../recovery/tail.ts';
import { halfExchanged } from '../recovery/interrupted-runs.ts';
import { markFromStores } from '../mark-from-stores.ts';
import { joined, some, type Sequence } from '../sequence.ts';
import { firstTimestampOf, listSegments, segmentTail, type LogSegment } from '../segment-list.ts';
import { openSegmentReaders, type SegmentReaders } from '../recovery/segment-readers.ts';
import { seenMark } from '../recovery/until-still.ts';
import type { SegmentReading } from '../recovery/segment-reading.ts';
import { markPath, storePath, topicNotFound, type TopicContext } from '../topic-directory.ts';
import { readTopicSettings } from '../topic-settings.ts';

export interface VerifyOptions {
  /** Look at bounds and ends only. */
  readonly quick: boolean;
  /** Told how many bytes of stores were read since it was told last. */
  readonly onBytes: (byteCount: number) => void;
  /** How many threads read; default: this one. */
  readonly jobs?: number | undefined;
}

export interface SegmentReport {
  readonly baseOffset: number;
  /** Exclusive end. */
  readonly nextOffset: number;
  readonly bytes: number;
  /** Frames by kind; undefined where they were not read. */
  readonly records: number | undefined;
  readonly gaps: number | undefined;
  /** Milliseconds since 1970. */
  readonly firstTimestamp: number | undefined;
  readonly lastTimestamp: number | undefined;
  readonly isActive: boolean;
}

export interface VerifyReport {
  readonly topic: string;
  readonly startOffset: number;
  readonly nextOffset: number;
  readonly segments: readonly SegmentReport[];
  /** Those of damage are made when somebody goes through them. */
  readonly findings: Sequence<Finding>;
  /** Offsets that are lost to what was found. */
  readonly lost: Sequence<OffsetRange>;
}

/** How often it starts over because the log changed under it; then it says so. */
const MAX_ATTEMPTS = 20;
const STILLNESS_MS = 100;
/** Nobody repairs without raising the generation: a region that takes long to read is not read again besides. */
const MAX_REREAD_BYTES = 256 * 1024 * 1024;
const DAY_MS = 86_400_000;

/**
 * Verifies one topic.
 *
 * @throws FastQueueError `topic_not_found`, `newer_format`, and `locked` when the log was replaced under it all the time
 */
export async function verifyTopic(context: TopicContext, options: VerifyOptions): Promise<VerifyReport> {
  const readers = openSegmentReaders(context, options.quick ? undefined : options.jobs);
  let misnamed: readonly RenamedStore[] = [];
  try {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      let readBytes = 0;
      const onBytes = (byteCount: number): void => {
        readBytes += byteCount;
        options.onBytes(byteCount);
      };
      const verification = new Verification(context, { ...options, onBytes }, { readers, misnamed });
      const report = await verification.run();
      if (report !== undefined) return report;
      // All of it is read again.
      options.onBytes(-readBytes);
      ({ misnamed } = verification);
      await delay(attempt * 5);
    }
  } finally {
    await readers.close();
  }
  throw new FastQueueError(
    'locked',
    `The topic "${context.topic}" was changed again and again while it was read. Try again when recover or compact is done.`,
    { topic: context.topic },
  );
}

class Verification {
  readonly #context: TopicContext;
  readonly #options: VerifyOptions;
  readonly #findings: FindingList;
  readonly #segments: SegmentReport[] = [];
  /** Those that go on into the one behind them. */
  readonly #overlapping: LogSegment[] = [];
  readonly #readers: SegmentReaders;
  /** Base offsets that stores have which are seen under their own names. */
  readonly #renamedBases: ReadonlySet<number>;

  /** Stores that were found to bear another's name: then all is to be looked at again, as if they had their own. */
  misnamed: readonly RenamedStore[] = [];

  constructor(
    context: TopicContext,
    options: VerifyOptions,
    { readers, misnamed }: { readers: SegmentReaders; misnamed: readonly RenamedStore[] },
  ) {
    this.#renamedBases = new Set(misnamed.map(({ to }) => to));
    const renamed = seenRenamed(context, misnamed);
    this.#context = seenWithReadableIndexes(renamed, (index) => {
      this.#findings.noteUnreadable(index.path, index);
    });
    this.#options = options;
    // Other threads see the disk as it is.
    this.#readers = misnamed.length > 0 ? openSegmentReaders(renamed, undefined) : readers;
    this.#findings = new FindingList(this.#context, (path) => actualPath(context, misnamed, path));
    for (const { from, to } of misnamed) this.#findings.noteMisnamed(storePath(context, from), to);
  }

  /** Undefined when the log changed meanwhile, or stores are misnamed: then nothing of it counts. */
  async run(): Promise<VerifyReport | undefined> {
    try {
      return await this.#run();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      // What was found until then stays found.
      this.#findings.noteUnreadable(error.details.path ?? this.#context.directory, error);
      return this.#report({ startOffset: 0, nextOffset: 0 }, []);
    }
  }

  async #run(): Promise<VerifyReport | undefined> {
    const mark = await this.#readMark();
    const damage = this.#options.quick ? this.#listEnds(mark.value) : await this.#listWhole(mark);
    if (damage === undefined) return undefined;
    const plan = planRecovery(damage);
    if (mark.isSound && !(await this.#isStill(mark.value, damage))) return undefined;
    this.#findings.noteDamage(plan, mark.value.baseOffset);
    // Where its frames were moved, the active store was read to its last byte.
    const lostBehind = plan.pastMark === undefined ? await this.#lookPastMark(mark) : [];
    this.#findings.noteFiles(mark.value, { ...plan, isRolling: await this.#isRolling(mark.read) });
    return this.#report(mark.value, joinRanges(joined([plan.lost, lostBehind])));
  }

  #report(
    mark: Pick<HighWatermark, 'startOffset' | 'nextOffset'>,
    lost: Sequence<OffsetRange>,
  ): VerifyReport {
    return {
      topic: this.#context.topic,
      startOffset: mark.startOffset,
      nextOffset: mark.nextOffset,
      segments: this.#segments,
      findings: this.#findings.all,
      lost,
    };
  }

  /** `value` differs from what was read where that is an old one, put back from a copy, say. */
  async #readMark(): Promise<SeenMark> {
    const { fileSystem } = this.#context;
    try {
      const file = fileSystem.open(markPath(this.#context), 'read');
      try {
        const read = await readMark(this.#context, file);
        if (isDeleted(read)) throw topicNotFound(this.#context);
        const value = markOfLastSegment(this.#context, read);
        // A writer that has rolled meanwhile has moved it before.
        const again = value === read ? read : await readMark(this.#context, file);
        const isOld = again.baseOffset === read.baseOffset && again.generation === read.generation;
        return { value: isOld ? value : again, read: again, isSound: true };
      } finally {
        file.close();
      }
    } catch (error) {
      if (isDiskError(error)) {
        this.#findings.noteUnreadable(error.details.path ?? markPath(this.#context), error);
        return markedAnew(markFromStores(this.#context));
      }
      if (!isGone(error) && !(error instanceof FastQueueError && error.code === 'damaged')) throw error;
      this.#findings.add('mark_unsound', {
        path: markPath(this.#context),
        message:
          'The high-water mark is missing or damaged: it cannot be known whether acknowledged records are missing at the end.',
        command: this.#findings.recoverCommand,
      });
      return markedAnew(markFromStores(this.#context));
    }
  }

  async #listWhole(mark: SeenMark): Promise<DamageList | undefined> {
    const damage = await this.#list(mark.value);
    if (damage === undefined) return undefined;
    const isOld = mark.value !== mark.read;
    if (!isOld && damage.regions.length + damage.missingSegments.length === 0) return damage;
    const interrupted = this.#look(() => halfExchanged(this.#context, listRuns(this.#context)), []);
    for (const { path } of interrupted) this.#findings.noteInterrupted(path);
    // What else is damaged can only be seen once that is repaired.
    if (interrupted.length > 0) return nothingDamaged(this.#context, mark.value);
    if (this.#renamedBases.size > 0) return damage;
    this.misnamed = this.#look(() => findMisnamed(this.#context), []);
    return this.misnamed.length > 0 ? undefined : damage;
  }

  /** Another look at what was listed already: where the disk says no, that is noted, and what was listed stays. */
  #look<T>(look: () => T, otherwise: T): T {
    try {
      return look();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.#findings.noteUnreadable(error.details.path ?? this.#context.directory, error);
      return otherwise;
    }
  }

  async #list(mark: HighWatermark): Promise<DamageList | undefined> {
    try {
      return await listDamage(this.#context, mark, {
        readers: this.#readers,
        tryBitFlip: false,
        onBytes: this.#options.onBytes,
        observer: {
          done: (segment, reading) => {
            this.#segmentDone(segment, reading);
          },
          unreadable: (path, error) => {
            this.#findings.noteUnreadable(path, error);
          },
        },
      });
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
      // A store that is gone was removed or replaced since it was listed.
      if (isGone(error)) return undefined;
      if (error.code !== 'recovery_incomplete') throw error;
      this.#findings.add('mark_unsound', {
        path: markPath(this.#context),
        message: error.message,
        command: this.#findings.recoverCommand,
      });
      return nothingDamaged(this.#context, mark);
    }
  }

  /** `--quick`: where each segment ends, and nothing between. */
  #listEnds(mark: HighWatermark): DamageList | undefined {
    const missingSegments: { baseOffset: number; nextOffset: number; timestamp: number }[] = [];
    let expectedOffset = mark.startOffset;
    for (const segment of listSegments(this.#context, mark).live) {
      const tail = segment.isActive
        ? {
            isSound: segment.sizeBytes >= mark.position,
            endOffset: mark.nextOffset,
            // An empty log's mark has the time 0, which is none.
            lastTimestamp: mark.nextOffset > segment.baseOffset ? mark.timestamp : undefined,
          }
        : segmentTail(this.#context, segment.baseOffset);
      if (tail === undefined) return undefined;
      if (segment.baseOffset > expectedOffset)
        missingSegments.push({ baseOffset: expectedOffset, nextOffset: segment.baseOffset, timestamp: 0 });
      if (!tail.isSound || tail.endOffset !== segment.endOffset) {
        this.#findings.add(segment.isActive ? 'missing_tail' : 'bad_length', {
          path: storePath(this.#context, segment.baseOffset),
          message: `The segment does not end soundly at offset ${segment.endOffset}; without --quick more can be said.`,
          command: commandLine(this.#context, `verify ${this.#context.topic}`),
        });
      }
      expectedOffset = segment.endOffset;
      this.#segments.push({
        ...reportOf(segment),
        records: undefined,
        gaps: undefined,
        firstTimestamp: firstTimestampOf(this.#context, segment.baseOffset),
        lastTimestamp: Number.isFinite(tail.lastTimestamp) ? tail.lastTimestamp : undefined,
      });
    }
    return { ...nothingDamaged(this.#context, mark), missingSegments };
  }

  #segmentDone(segment: LogSegment, reading: SegmentReading): void {
    const { records, gaps } = reading.contents;
    this.#segments.push({
      ...reportOf(segment),
      nextOffset: reading.goodEndOffset,
      records,
      gaps,
      firstTimestamp: this.#look(() => firstTimestampOf(this.#context, segment.baseOffset), undefined),
      lastTimestamp: reading.lastTimestamp,
    });
    // The index of a store that bears another's name goes with the renaming.
    if (!this.#renamedBases.has(segment.baseOffset)) this.#findings.noteIndex(segment, reading);
    if (!segment.isActive && reading.goodEndOffset > segment.endOffset) {
      this.#overlapping.push(segment);
      this.#findings.add('overlapping_segments', {
        path: storePath(this.#context, segment.endOffset),
        message: `This segment begins at offset ${segment.endOffset}, and the one before it ends at ${reading.goodEndOffset}.`,
        command: this.#findings.recoverCommand,
      });
    }
    if ((reading.lastTimestamp ?? 0) > Date.now() + DAY_MS) {
      this.#findings.add('timestamp_ahead', {
        path: storePath(this.#context, segment.baseOffset),
        message: 'Records here carry a time more than a day ahead; retention counts them as of now.',
      });
    }
  }

  /** True when what was found is still so: the same generation and start, and the same bytes in each damaged region. */
  async #isStill(before: HighWatermark, damage: DamageList): Promise<boolean> {
    const { fileSystem } = this.#context;
    if (this.#overlapping.length > 0 && !this.#isStillListed(before)) return false;
    try {
      const file = fileSystem.open(markPath(this.#context), 'read');
      try {
        const mark = await readMark(this.#context, file);
        if (mark.generation !== before.generation) return false;
        if (damage.missingSegments.length > 0 && mark.startOffset !== before.startOffset) return false;
      } finally {
        file.close();
      }
      return this.#areSame(damage);
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  }

  /** Each store is opened once: regions come in the order of the log. */
  #areSame({ regions }: DamageList): boolean {
    let opened: { baseOffset: number; store: FileHandle } | undefined;
    const isSame = (region: RegionDamage): boolean => {
      const { baseOffset } = region;
      if (opened?.baseOffset !== baseOffset) {
        opened?.store.close();
        opened = undefined;
        const store = this.#context.fileSystem.open(storePath(this.#context, baseOffset), 'read');
        opened = { baseOffset, store };
      }
      return isAsSeen(opened.store, region);
    };
    try {
      return !some(regions, (region) => {
        const isReread = region.endPosition - region.position <= MAX_REREAD_BYTES;
        return isReread && !this.#look(() => isSame(region), true);
      });
    } finally {
      opened?.store.close();
    }
  }

  /**
   * Compact raises the generation before it begins to switch: who looks from then on sees a merged store and, for a
   * moment, those that it takes the place of.
   */
  #isStillListed(mark: HighWatermark): boolean {
    const { live } = listSegments(this.#context, mark);
    return this.#overlapping.every(({ baseOffset, endOffset }) =>
      live.some((segment) => segment.baseOffset === baseOffset && segment.endOffset === endOffset),
    );
  }

  /** An empty store ahead of the mark is what a killed roll leaves, if both stand still, or one that is under way. */
  async #isRolling(before: HighWatermark): Promise<boolean> {
    const { empty } = listSegments(this.#context, before);
    if (empty.every((baseOffset) => baseOffset < before.nextOffset)) return false;
    await delay(STILLNESS_MS);
    const now = seenMark(this.#context);
    return now !== undefined && (now.baseOffset !== before.baseOffset || now.position !== before.position);
  }

  /**
   * Bytes past the mark are the normal state beside a busy writer: only what stands still is looked at. Returns what is
   * lost there: a mark may be a second behind, and records behind it acknowledged.
   */
  async #lookPastMark(mark: SeenMark): Promise<Sequence<OffsetRange>> {
    const { value: before, read, isSound } = mark;
    const { fileSystem } = this.#context;
    const path = storePath(this.#context, before.baseOffset);
    const sizeBytes = fileSystem.status(path)?.sizeBytes ?? 0;
    const later = storesBehind(this.#context, before);
    const between = storesBehind(this.#context, read).filter((base) => base < before.baseOffset);
    if (sizeBytes <= before.position && later.length + between.length === 0) return [];
    await delay(STILLNESS_MS);
    const now = isSound ? seenMark(this.#context) : read;
    if (now?.position !== read.position || now.generation !== read.generation) return [];
    if (fileSystem.status(path)?.sizeBytes !== sizeBytes) return [];
    const { cut, damage } = previewTail(this.#context, before, { tryBitFlip: false });
    for (const base of between) {
      this.#findings.add('torn_tail', {
        path: storePath(this.#context, base),
        message:
          'This store lies wholly behind the high-water mark, which is an old one; the next writer or recover adopts it.',
      });
    }
    for (const base of later) {
      this.#findings.add('unknown_file', {
        path: storePath(this.#context, base),
        message:
          'This store is named beyond the end of the log, and holds no frame of its own there. Move it away before the log grows that far.',
      });
    }
    if (damage !== undefined) {
      const plan = planRecovery(damage);
      this.#findings.noteDamage(plan, before.baseOffset);
      return plan.lost;
    }
    if (cut !== undefined) this.#findings.noteCut(cut);
    else if (sizeBytes > before.position)
      this.#findings.noteUnsettled({ ...before, byteCount: sizeBytes - before.position });
    return [];
  }
}

interface SeenMark {
  /** As it is to be. */
  readonly value: HighWatermark;
  readonly read: HighWatermark;
  readonly isSound: boolean;
}

const markedAnew = (mark: HighWatermark): SeenMark => ({ value: mark, read: mark, isSound: false });

const reportOf = (
  segment: LogSegment,
): Pick<SegmentReport, 'baseOffset' | 'nextOffset' | 'bytes' | 'isActive'> => ({
  baseOffset: segment.baseOffset,
  nextOffset: segment.endOffset,
  bytes: segment.sizeBytes,
  isActive: segment.isActive,
});

function nothingDamaged(context: TopicContext, mark: HighWatermark): DamageList {
  return {
    topic: context.topic,
    generation: mark.generation,
    startOffset: mark.startOffset,
    regions: [],
    missingSegments: [],
    indexes: [],
    isSettingsUnsound: readTopicSettings(context) === undefined,
    tryBitFlip: false,
  };
}
