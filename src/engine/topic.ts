/**
 * One topic, as commands, the server and the library see it: append, read, look. Joins the writer (log.ts), the readers
 * (log-reader.ts), lookups and consumer groups; holds no protocol of its own.
 */
import { randomUUID } from 'node:crypto';
import type { Ack, FramedBatch } from './append-queue.ts';
import { commandLine } from './command-line.ts';
import { openGroup, listGroups, type ConsumerGroup, type GroupStatus } from './consumer-group.ts';
import { FastQueueError } from './errors.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { Log, type AppendOptions, type BatchReport } from './log.ts';
import { LogReader } from './log-reader.ts';
import { currentMark, peekMark, writeMark } from './mark-file.ts';
import { MAX_OFFSET, RECORDS_CHUNK_BYTES } from './limits.ts';
import { refuseNoOffset } from './offset-argument.ts';
import { PassedPlaces } from './passed-places.ts';
import { PayloadsSource, type RecordSource } from './record-sources.ts';
import { applyRetention, retainTopic, type RetentionReport } from './retention.ts';
import type { RecordEntry } from './segment-cursor.ts';
import { firstTimestampOf, listSegments } from './segment-list.ts';
import { settleIfFree } from './settle.ts';
import { DEFAULT_TOPIC_SETTINGS, type TopicSettings } from './settings.ts';
import { offsetAtTime } from './time-lookup.ts';
import type { TopicContext } from './topic-directory.ts';
import { refuseMoved, type LockHold } from './topic-lock.ts';
import { checkTopicSettings, readTopicSettings, writeTopicSettings } from './topic-settings.ts';

export interface TopicStatus {
  readonly topic: string;
  /** Undefined where topic.json is missing or unsound. */
  readonly id: string | undefined;
  readonly startOffset: number;
  /** Exclusive end: the next offset that will be assigned. */
  readonly nextOffset: number;
  /** Offsets from start to end; gaps count too. */
  readonly count: number;
  /** Bytes of all stores. */
  readonly bytes: number;
  readonly segments: number;
  /** Milliseconds since 1970; undefined while there is no record. */
  readonly firstTimestamp: number | undefined;
  readonly lastTimestamp: number | undefined;
  readonly generation: number;
  readonly settings: TopicSettings;
  readonly groups: readonly GroupStatus[];
}

/** Offsets that have no record any more. */
export interface GapEntry {
  readonly type: 'gap';
  readonly offset: number;
  readonly count: number;
  /** GAP_REASON, or `retention` where the log begins later now. */
  readonly reason: number | 'retention';
}

export interface RecordsOptions {
  /** First offset wanted; default: where the topic begins. */
  readonly from?: number;
  /** First offset not wanted; default: where the topic ends when iteration begins, or never with `follow`. */
  readonly until?: number;
  /** Wait for more at the end instead of stopping. */
  readonly follow?: boolean;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

export interface TopicOptions {
  readonly mode: 'append' | 'read';
  readonly lockTimeoutMs: number;
  readonly onWarning: (sentence: string) => void;
  /** Told what retention deleted. */
  readonly onRetention: (topic: string, report: RetentionReport) => void;
  /** Told of every batch that was written and synced. */
  readonly onBatch: (topic: string, batch: BatchReport) => void;
  readonly blockingSync: boolean;
}

export class Topic {
  readonly #context: TopicContext;
  readonly #options: TopicOptions;
  readonly #places = new PassedPlaces();
  #log: Log | undefined;

  /** Called by DataDirectory only, which has looked whether there is such a topic. */
  static async open(context: TopicContext, options: TopicOptions): Promise<Topic> {
    const topic = new Topic(context, options);
    if (options.mode === 'append') topic.#log = await topic.#openLog();
    return topic;
  }

  private constructor(context: TopicContext, options: TopicOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** As `DataDirectoryOptions` has it. */
  get commandSuffix(): string | undefined {
    return this.#context.commandSuffix;
  }

  get name(): string {
    return this.#context.topic;
  }

  /** Path of the topic's directory. */
  get path(): string {
    return this.#context.directory;
  }

  /** What the next append will probably get: exact unless another writer comes in between. Append mode only. */
  get expectedNextOffset(): number {
    return this.#writer.expectedNextOffset;
  }

  /** Bytes past which no batch takes a store, unless it is alone there. Append mode only. */
  get segmentBytes(): number {
    return this.#writer.segmentBytes;
  }

  /**
   * Appends payloads as one batch and resolves when they are durable. All or nothing, unless the process dies.
   *
   * @param payloads their bytes must not change until this resolves
   * @throws FastQueueError as Log.append does, and `record_too_large`, `invalid_argument`
   */
  async append(payloads: readonly Uint8Array[], options: AppendOptions = {}): Promise<Ack> {
    return this.appendSource(new PayloadsSource(payloads), options);
  }

  /** The same for records that are not separate buffers. */
  appendSource(source: RecordSource, options: AppendOptions = {}): Promise<Ack> {
    return this.#writer.append(source, options);
  }

  /** The same for frames made ahead in the caller's kernel, whose memory must not change until this resolves. */
  appendFramed(batch: FramedBatch, options: AppendOptions = {}): Promise<Ack> {
    return this.#writer.append(batch, options);
  }

  /** A reader that begins at offset `from`, by default where the topic begins. Close it. */
  openReader(options: { from?: number | undefined; onDamage?: 'stop' | 'skip' } = {}): Promise<LogReader> {
    return LogReader.open(this.#context, {
      from: options.from,
      onDamage: options.onDamage ?? 'stop',
      settle: () => this.#settleIfFree(),
      places: this.#places,
    });
  }

  /**
   * Takes up what a writer that died has left behind the mark, as every reader does when it is opened: then `status` tells
   * of all that readers see. What cannot be settled stays as it is.
   */
  async settle(): Promise<void> {
    const reader = await this.openReader({ from: 0, onDamage: 'skip' });
    reader.close();
  }

  /** What keeps a tail from being settled is no reader's business, but for the one report that a sync of it has failed. */
  async #settleIfFree(): Promise<boolean> {
    try {
      return await settleIfFree(this.#context);
    } catch (error) {
      if (error instanceof FastQueueError && error.details.errno === 'EIO')
        this.#options.onWarning(
          `What a writer left in "${this.name}" could not be settled. ${error.message}`,
        );
      throw error;
    }
  }

  /**
   * Records and gaps in offset order; each payload is the caller's own copy.
   *
   * @throws FastQueueError as `batches` does
   */
  async *records(options: RecordsOptions = {}): AsyncGenerator<RecordEntry | GapEntry, void, undefined> {
    for await (const entries of this.batches(options)) {
      for (const entry of entries) {
        yield entry.type === 'record' ? { ...entry, payload: Buffer.from(entry.payload) } : entry;
      }
    }
  }

  /**
   * The same, as many at a time as one look at the disk gives, which takes a third of the time. Payloads of a batch are
   * parts of one buffer, the caller's own, of at most 128 KiB or one record: it is kept as long as one of them is.
   *
   * @throws FastQueueError `damaged` (naming the next readable offset), `offset_out_of_range`, `offset_removed`,
   *   `invalid_argument`
   */
  async *batches(
    options: RecordsOptions = {},
  ): AsyncGenerator<readonly (RecordEntry | GapEntry)[], void, undefined> {
    if (options.from !== undefined) refuseNoOffset('The offset to begin at', options.from);
    if (options.until !== undefined && options.until !== Infinity)
      refuseNoOffset('The offset to end before', options.until);
    const reader = await this.openReader({ from: options.from });
    try {
      // As the reader has it: behind what a dead writer left, and of the same topic, should another be made meanwhile.
      const end = options.follow === true ? MAX_OFFSET : reader.mark.nextOffset;
      const untilOffset = options.until ?? end;
      while (options.signal?.aborted !== true) {
        const step = reader.readCopied({ maxBytes: RECORDS_CHUNK_BYTES, maxRecords: Infinity, untilOffset });
        if (step.type === 'records') {
          yield step.records;
        } else if (step.type === 'gap') {
          yield [step];
        } else if (step.type === 'end') {
          if (options.follow !== true || reader.nextOffset >= untilOffset) return;
          await reader.waitForMore(options.signal === undefined ? {} : { signal: options.signal });
          await reader.refresh();
        }
      }
    } finally {
      reader.close();
    }
  }

  /** The high-water mark now. */
  mark(): Promise<HighWatermark> {
    return currentMark(this.#context);
  }

  /** UUID of the topic, another for every topic ever made; undefined where topic.json is missing or unsound. */
  get id(): string | undefined {
    return readTopicSettings(this.#context)?.id;
  }

  /** Where the topic begins and ends and what it holds. Costs one look at each segment's size. */
  async status(): Promise<TopicStatus> {
    const mark = await this.mark();
    const document = readTopicSettings(this.#context);
    const segments = listSegments(this.#context, mark).live;
    return {
      topic: this.name,
      id: document?.id,
      startOffset: mark.startOffset,
      nextOffset: mark.nextOffset,
      count: mark.nextOffset - mark.startOffset,
      bytes: segments.reduce((sum, segment) => sum + segment.sizeBytes, 0),
      segments: segments.length,
      firstTimestamp:
        mark.nextOffset > mark.startOffset && segments[0] !== undefined
          ? firstTimestampOf(this.#context, segments[0].baseOffset)
          : undefined,
      lastTimestamp: mark.nextOffset > mark.startOffset ? mark.timestamp : undefined,
      generation: mark.generation,
      settings: document?.settings ?? DEFAULT_TOPIC_SETTINGS,
      groups: listGroups(this.#context, mark),
    };
  }

  /** Offset of the first record at or after a time; the end of the topic when there is none. */
  async offsetAtTime(timestampMs: number): Promise<number> {
    return offsetAtTime(this.#context, { mark: await this.mark(), timestampMs, places: this.#places });
  }

  /**
   * Takes the group's exclusive lock; close it.
   *
   * @param options.repair for a group that is given a new position: an unsound one is no obstacle
   * @throws FastQueueError `locked`, `damaged`
   */
  openGroup(name: string, options: { repair?: boolean } = {}): Promise<ConsumerGroup> {
    return openGroup(this.#context, name, { ...options, lockTimeoutMs: this.#options.lockTimeoutMs });
  }

  /**
   * Changes settings that are stored in the topic, and writes a new topic.json where there was no sound one. Every
   * writer reads them again, since the generation is raised. Append mode only; durable when it resolves.
   *
   * @throws FastQueueError `invalid_argument` for a name or value that is wrong; `locked`, `damaged`; disk errors
   */
  async changeSettings(changes: Partial<TopicSettings>): Promise<TopicSettings> {
    const given = Object.entries(changes).filter(([, value]) => (value as number | undefined) !== undefined);
    const checked = checkTopicSettings(Object.fromEntries(given));
    return this.#writer.withLock(async (hold, mark) => {
      const document = readTopicSettings(this.#context);
      const settings = { ...(document?.settings ?? DEFAULT_TOPIC_SETTINGS), ...checked };
      // First the generation: who dies in between has made writers look again for nothing, never missed a change.
      writeMark(hold.markFile, { ...mark, generation: mark.generation + 1 });
      await hold.markFile.datasync();
      refuseMoved(this.#context, hold);
      await writeTopicSettings(this.#context, {
        format: 1,
        id: document?.id ?? randomUUID(),
        created: document?.created ?? new Date().toISOString(),
        settings,
      });
      return settings;
    });
  }

  /**
   * Deletes whole oldest segments as the topic's settings ask. Works in either mode, and on a full disk.
   *
   * @returns undefined where topic.json is missing or unsound: then nothing is deleted
   * @throws FastQueueError `locked`, `damaged`, `newer_format`; disk errors as themselves
   */
  async retain(): Promise<RetentionReport | undefined> {
    const report = await retainTopic(this.#context, { lockTimeoutMs: this.#options.lockTimeoutMs });
    if (report !== undefined) this.#tellRetention(report);
    return report;
  }

  /** Lets appends finish, syncs the mark and closes every file. */
  async close(): Promise<void> {
    await this.#log?.close();
    this.#log = undefined;
  }

  #openLog(): Promise<Log> {
    return Log.open(this.#context, {
      lockTimeoutMs: this.#options.lockTimeoutMs,
      onWarning: this.#options.onWarning,
      readSettings: () => readTopicSettings(this.#context)?.settings ?? this.#warnOfSettings(),
      afterRoll: (hold, mark) => this.#retainAfterRoll(hold, mark),
      onBatch: (batch) => {
        this.#options.onBatch(this.name, batch);
      },
      blockingSync: this.#options.blockingSync,
    });
  }

  /** What retention cannot do now it does at the next roll: no append fails for it. */
  async #retainAfterRoll(hold: LockHold, mark: HighWatermark): Promise<HighWatermark> {
    try {
      const retained = await applyRetention(this.#context, hold, mark);
      if (retained.report !== undefined) this.#tellRetention(retained.report);
      return retained.mark;
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
      this.#options.onWarning(`Old segments of "${this.name}" could not be deleted: ${error.message}`);
      return peekMark(hold.markFile) ?? mark;
    }
  }

  #tellRetention(report: RetentionReport): void {
    if (report.segments > 0) this.#options.onRetention(this.name, report);
  }

  #warnOfSettings(): TopicSettings {
    this.#options.onWarning(
      `${this.#context.directory} has no sound topic.json: defaults are used and nothing is deleted from "${this.name}" ` +
        `until "${commandLine(this, `recover ${this.name}`)}" or "${commandLine(this, `topics set ${this.name}`)}" has written one.`,
    );
    return DEFAULT_TOPIC_SETTINGS;
  }

  get #writer(): Log {
    if (this.#log === undefined) {
      throw new FastQueueError('closed', `The topic "${this.name}" is closed or was not opened for append.`, {
        topic: this.name,
      });
    }
    return this.#log;
  }
}
