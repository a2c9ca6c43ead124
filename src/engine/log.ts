/**
 * The writer of one topic: append, roll, catch up with other writers. The protocol is explained line by line in
 * docs/ARCHITECTURE.md:
 *
 *     lock → catch up (settle if need be) → roll if due → one write → fdatasync → index → mark → unlock → acknowledge
 *
 * Concurrent appends share batches and syncs. Records are acknowledged only when the store is durable and the mark says
 * so. Owns the active segment's descriptors; who waits stands in append-queue.ts, reading is log-reader.ts's.
 */
import { ActiveSegment } from './active-segment.ts';
import { markNotWritten, refuseUnfit, shortWrite } from './append-errors.ts';
import {
  acknowledgeGroup,
  AppendQueue,
  isFramed,
  type Ack,
  type FramedBatch,
  type PendingAppend,
} from './append-queue.ts';
import { DeferredMarkSync } from './deferred-mark-sync.ts';
import { syncDirectoriesAbove } from './directory-sync.ts';
import { FastQueueError } from './errors.ts';
import { encodeHighWatermark, type HighWatermark } from './format/high-watermark.ts';
import { GroupGather } from './group-gather.ts';
import { KERNEL_ENTRIES, KERNEL_OUTPUT } from './kernel/index.ts';
import type { Kernel, Region } from './kernel/kernel.ts';
import { storesBehind } from './later-stores.ts';
import { CLOCK_STEP_BACK_MS } from './limits.ts';
import {
  isDeleted,
  isFailed,
  markUnsound,
  peekMark,
  refuseNewer,
  writeMark,
  writeMarkBytes,
} from './mark-file.ts';
import { monotonicMs } from './monotonic.ts';
import type { RecordSource } from './record-sources.ts';
import { cutAfterFailure, settle, syncUnproven } from './settle.ts';
import type { TopicSettings } from './settings.ts';
import { SyncPlace } from './sync-place.ts';
import { topicNotFound, type TopicContext } from './topic-directory.ts';
import {
  refuseMoved,
  refuseWithoutLocks,
  TopicLock,
  TopicMoved,
  writeHolder,
  type LockHold,
} from './topic-lock.ts';

export interface AppendOptions {
  /** The first record must get this offset, else nothing is written (`condition_failed`). */
  readonly expectedOffset?: number | undefined;
}

/** What one write and one sync have made durable: the records of every append that shared them. */
export interface BatchReport {
  readonly appendCount: number;
  readonly recordCount: number;
  readonly frameBytes: number;
  /** From the beginning of the write to the end of the sync. */
  readonly durationMs: number;
}

export interface LogOptions {
  readonly lockTimeoutMs: number;
  /** Told what does not fail an append but should be known: an index dropped, a mark not synced. */
  readonly onWarning: (sentence: string) => void;
  /** The topic's settings as they are now; asked again whenever the generation has changed. */
  readonly readSettings: () => TopicSettings;
  /** Called under the lock after a roll, with the new mark: retention. Returns the mark it leaves. */
  readonly afterRoll: (hold: LockHold, mark: HighWatermark) => Promise<HighWatermark>;
  /** Told of every batch that was written and synced. */
  readonly onBatch: (batch: BatchReport) => void;
  /** Whether the calling thread may wait for short syncs itself. */
  readonly blockingSync: boolean;
}

interface Stamp {
  readonly firstOffset: number;
  readonly timestamp: number;
}

/** From so many bytes on, another thread takes less time to begin a write than the write takes. */
const LARGE_BYTES = 64 * 1024;

/** A batch framed ahead keeps its timestamp if it is no older than this against the clock. */
const FRAMED_AHEAD_MS = 1000;

const NO_ENTRIES = Buffer.alloc(0);

export class Log {
  /** Logs of this process that are appending now. */
  static #drainingCount = 0;

  readonly #context: TopicContext;
  readonly #options: LogOptions;
  readonly #queue: AppendQueue;
  readonly #gather = new GroupGather();
  readonly #syncPlace = new SyncPlace();
  #lock: TopicLock;
  #segment: ActiveSegment | undefined;
  #settings: TopicSettings;
  /** The mark as this log last saw or wrote it, under the lock; undefined where files may be others since. */
  #mark: HighWatermark | undefined;
  #expectedNextOffset = 0;
  #draining: Promise<void> | undefined;
  readonly #markSync: DeferredMarkSync;
  #closed = false;

  /**
   * Opens a topic for append: takes the lock once, settles what a dead writer left, and makes every directory entry on
   * the way to the store durable, whoever made it.
   *
   * @throws FastQueueError `topic_not_found`, `locked`, `damaged`, `newer_format`, `locking_unavailable`; disk errors
   */
  static async open(context: TopicContext, options: LogOptions): Promise<Log> {
    refuseWithoutLocks(context);
    const log = new Log(context, options);
    try {
      const { hold } = await log.#acquireCurrent();
      writeHolder(context);
      hold.release();
      return log;
    } catch (error) {
      log.#forgetSegment();
      log.#lock.close();
      throw error;
    }
  }

  private constructor(context: TopicContext, options: LogOptions) {
    this.#context = context;
    this.#options = options;
    this.#queue = new AppendQueue(context);
    this.#settings = options.readSettings();
    this.#lock = TopicLock.open(context);
    this.#markSync = new DeferredMarkSync({
      sync: () => this.#lock.syncMark(),
      onFailure: (error) => {
        this.#warn(
          'The high-water mark could not be synced; it is written and synced again at the next append.',
          error,
        );
      },
    });
  }

  /** Where the log ended when this one last looked: what the next append will probably get, nothing more. */
  get expectedNextOffset(): number {
    return this.#expectedNextOffset;
  }

  /** As the settings had it when this log last read them. */
  get segmentBytes(): number {
    return this.#settings.segmentBytes;
  }

  /**
   * Appends and resolves when the records are durable. Appends made while a sync is under way share the next one.
   *
   * @throws FastQueueError `batch_too_large`, `condition_failed`, `locked`, `damaged`, `closed`, `outcome_unknown`; disk
   *   errors with `sideEffects` saying whether anything may have been stored
   */
  append(source: RecordSource | FramedBatch, options: AppendOptions = {}): Promise<Ack> {
    const frameBytes = isFramed(source) ? source.frames.end - source.frames.start : source.frameBytes;
    const { topic } = this.#context;
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new FastQueueError('closed', `The topic "${topic}" was closed.`);
      refuseUnfit(topic, { recordCount: source.recordCount, frameBytes });
      this.#queue.push({ source, frameBytes, expectedOffset: options.expectedOffset, resolve, reject });
      this.#gather.noteArrival(this.#queue.length);
      this.#draining ??= this.#drain();
    });
  }

  /** Lets appends under way finish, syncs the mark, closes every descriptor. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    await this.#markSync.finish();
    this.#segment?.close();
    this.#lock.close();
  }

  /** Runs `use` under the lock with the log caught up, for what is neither append nor roll (retention). */
  async withLock<T>(use: (hold: LockHold, mark: HighWatermark) => Promise<T>): Promise<T> {
    const { hold, mark } = await this.#acquireCurrent();
    try {
      return await use(hold, mark);
    } finally {
      this.#mark = undefined;
      hold.release();
    }
  }

  async #drain(): Promise<void> {
    Log.#drainingCount += 1;
    while (this.#queue.length > 0) {
      try {
        const gathering = this.#gather.wait(this.#queue.length);
        if (gathering !== undefined) await gathering;
        await this.#appendNextGroup();
      } catch (error) {
        // Nobody's batch was begun: the lock or the log could not be had. It concerns everyone who waits.
        this.#queue.rejectAll(error);
      }
    }
    Log.#drainingCount -= 1;
    // In the same turn as the last look at the queue: who appends upon a refusal must start the next drain.
    this.#draining = undefined;
  }

  async #appendNextGroup(): Promise<void> {
    const { hold, mark } = await this.#acquireCurrent();
    let acknowledge: (() => void) | undefined;
    try {
      if (hold.waited) writeHolder(this.#context);
      const group = this.#queue.takeGroup(mark.nextOffset);
      if (group.length === 0) return;
      try {
        acknowledge = await this.#appendGroup(hold, group);
      } catch (error) {
        // Before anything of it was written: it goes to whichever topic has the name now.
        if (error instanceof TopicMoved) this.#queue.putBack(group);
        else for (const pending of group) pending.reject(error);
      }
    } finally {
      hold.release();
    }
    acknowledge?.();
  }

  /** Waits for the lock and brings the log up to what the disk says, of the directory that has the topic's name by then. */
  async #acquireCurrent(): Promise<{ hold: LockHold; mark: HighWatermark }> {
    for (;;) {
      const hold = await this.#acquire();
      try {
        return { hold, mark: await this.#catchUp(hold) };
      } catch (error) {
        hold.release();
        if (!(error instanceof TopicMoved)) throw error;
      }
    }
  }

  async #acquire(): Promise<LockHold> {
    for (;;) {
      const hold = await this.#lock.acquire(this.#options.lockTimeoutMs);
      if (hold !== 'moved') return hold;
      this.#forgetSegment();
      // Opened before the other is closed: where there is no topic of that name, the next append asks again.
      const reopened = TopicLock.open(this.#context);
      this.#lock.close();
      this.#lock = reopened;
    }
  }

  /** Brings the log up to what the disk says now. Everything after it may rely on `#mark` and `#segment`. */
  async #catchUp(hold: LockHold): Promise<HighWatermark> {
    const mark = peekMark(hold.markFile);
    if (mark === undefined) throw markUnsound(this.#context);
    refuseNewer(this.#context, mark);
    if (isDeleted(mark)) throw topicNotFound(this.#context);
    let storeBytes =
      mark.generation === this.#mark?.generation ? this.#segment?.store.sizeIfNamed() : undefined;
    let isOld = false;
    if (storeBytes === undefined || this.#segment?.baseOffset !== mark.baseOffset) {
      await this.#openSegment(hold, mark);
      isOld = storesBehind(this.#context, mark).length > 0;
      // They may be those of a directory that was exchanged for this one.
      if (isOld) refuseMoved(this.#context, hold);
      // What a process that died has written there (a roll, a cut) a power cut would take back from under what comes now.
      await this.#markSync.repeat(hold.markFile, mark);
      storeBytes = this.#activeSegment.store.status().sizeBytes;
    } else if (mark.position !== this.#mark?.position) {
      // Another writer has appended, and written its index entries behind those that this one knows.
      this.#activeSegment.index.catchUp(mark.position);
    }
    this.#note(mark);
    if (storeBytes !== mark.position || isFailed(mark) || isOld) await this.#settle(hold, mark);
    const settled = this.#mark as HighWatermark;
    if (this.#markSync.hasFailed) await this.#markSync.repeat(hold.markFile, settled);
    return settled;
  }

  async #settle(hold: LockHold, mark: HighWatermark): Promise<void> {
    const settled = await settle({
      context: this.#context,
      markFile: hold.markFile,
      store: this.#activeSegment.store,
      mark,
    });
    // Another segment, or this one without its tail: what it begins with and where its index ends may be others now.
    await this.#openSegment(hold, settled);
    this.#note(settled);
  }

  async #openSegment(hold: LockHold, mark: HighWatermark): Promise<void> {
    this.#forgetSegment();
    const context = this.#context;
    const { markFile } = hold;
    this.#settings = this.#options.readSettings();
    this.#segment = await this.#inPlace(hold, () =>
      ActiveSegment.open(
        context,
        { baseOffset: mark.baseOffset, indexIntervalBytes: this.#settings.indexIntervalBytes },
        (store) => syncUnproven({ context, markFile, store, mark }),
      ),
    );
    await context.fileSystem.syncDirectory(context.directory);
    await syncDirectoriesAbove(context);
  }

  /**
   * What is opened by name belongs to the mark that is locked only if that has its name still.
   *
   * @throws TopicMoved where it has not; an empty store that was made there is left, as by a roll that was killed
   */
  async #inPlace(hold: LockHold, open: () => Promise<ActiveSegment>): Promise<ActiveSegment> {
    try {
      const segment = await open();
      if (hold.isInPlace()) return segment;
      segment.close();
    } catch (error) {
      if (hold.isInPlace()) throw error;
    }
    throw new TopicMoved(this.#context);
  }

  #note(mark: HighWatermark): void {
    this.#mark = mark;
    this.#expectedNextOffset = mark.nextOffset;
  }

  #forgetSegment(): void {
    this.#segment?.close();
    this.#segment = undefined;
    this.#mark = undefined;
  }

  get #activeSegment(): ActiveSegment {
    return this.#segment as ActiveSegment;
  }

  /** Returns what tells the callers, to be run after the lock was released. */
  async #appendGroup(hold: LockHold, group: readonly PendingAppend[]): Promise<() => void> {
    const frameBytes = group.reduce((sum, pending) => sum + pending.frameBytes, 0);
    const clock = Date.now();
    if (this.#isRollDue(frameBytes, clock)) await this.#roll(hold);
    const mark = this.#mark as HighWatermark;
    const stamp = { firstOffset: mark.nextOffset, timestamp: timestampFor(mark, clock, group[0]?.source) };
    const recordCount = group.reduce((sum, pending) => sum + pending.source.recordCount, 0);
    const durationMs = await this.#store(hold, group, {
      ...mark,
      nextOffset: mark.nextOffset + recordCount,
      position: mark.position + frameBytes,
      timestamp: stamp.timestamp,
    });
    return () => {
      acknowledgeGroup(this.#context.topic, group, stamp);
      this.#gather.noteGroup({
        appendCount: group.length,
        waitingCount: this.#queue.length,
        syncMs: durationMs,
      });
      this.#tell({ appendCount: group.length, recordCount, frameBytes, durationMs });
    };
  }

  /**
   * One write, one sync, then the index and the mark. When this resolves the frames are durable and everybody can see
   * them. Returns the milliseconds that write and sync took.
   */
  async #store(hold: LockHold, group: readonly PendingAppend[], moved: HighWatermark): Promise<number> {
    const mark = this.#mark as HighWatermark;
    const stamp = { firstOffset: mark.nextOffset, timestamp: moved.timestamp };
    const segment = this.#activeSegment;
    const isSmall = moved.position - mark.position < LARGE_BYTES;
    const isHere = isSmall && this.#waitsHere;
    const beganMs = monotonicMs();
    let entries: Buffer;
    let markBytes: Buffer;
    try {
      // No await between framing and what needs the frames: the shared kernel's memory is ours for just this long.
      const { kernel, frames } = this.#frame(group, stamp);
      const bytes = kernel.memory.subarray(frames.start, frames.end);
      const isOwnMemory = isFramed((group[0] as PendingAppend).source);
      const stored = this.#write(bytes, { position: mark.position, isOwnMemory, isHere });
      // While the disk works.
      entries = this.#indexEntries(kernel, frames, stamp);
      markBytes = encodeHighWatermark(moved);
      await stored;
    } catch (error) {
      throw await this.#undo(hold, error);
    }
    const durationMs = monotonicMs() - beganMs;
    if (isSmall) this.#syncPlace.note({ isHere, durationMs });
    segment.noteTimestamp(stamp.timestamp);
    this.#appendIndex(segment, entries);
    this.#moveMark(hold, moved, markBytes);
    return durationMs;
  }

  /**
   * One write and one sync, begun when this returns. Frames made ahead stand in memory that is the batch's own: they may
   * be written on another thread while the next are made.
   */
  async #write(
    bytes: Buffer,
    { position, isOwnMemory, isHere }: { position: number; isOwnMemory: boolean; isHere: boolean },
  ): Promise<void> {
    const { store } = this.#activeSegment;
    const isAside = isOwnMemory && bytes.length >= LARGE_BYTES;
    const written = isAside ? await store.writeDurably(bytes, position) : store.write(bytes, position);
    if (written !== bytes.length)
      throw shortWrite(this.#context, store.path, { written, expected: bytes.length });
    if (isAside) return;
    if (isHere) store.datasyncHere();
    else await store.datasync();
  }

  /** Who awaits one append after another has nothing else to do meanwhile, unless others append elsewhere in the process. */
  get #waitsHere(): boolean {
    const isAlone = this.#gather.isForOne && Log.#drainingCount === 1;
    return this.#options.blockingSync && isAlone && this.#syncPlace.isHere;
  }

  #frame(group: readonly PendingAppend[], stamp: Stamp): { kernel: Kernel; frames: Region } {
    const first = (group[0] as PendingAppend).source;
    if (isFramed(first)) {
      if (first.firstOffset !== stamp.firstOffset || first.timestamp !== stamp.timestamp) {
        first.kernel.stampFrames({ frames: first.frames, ...stamp });
      }
      return first;
    }
    const { kernel } = this.#context;
    let at = KERNEL_OUTPUT.start;
    let { firstOffset } = stamp;
    for (const { source } of group) {
      (source as RecordSource).frameInto(kernel, at, { firstOffset, timestamp: stamp.timestamp });
      at += (source as RecordSource).frameBytes;
      firstOffset += source.recordCount;
    }
    return { kernel, frames: { start: KERNEL_OUTPUT.start, end: at } };
  }

  #indexEntries(kernel: Kernel, frames: Region, stamp: Stamp): Buffer {
    const { position } = this.#mark as HighWatermark;
    const { nextEntryPosition } = this.#activeSegment.index;
    if (position + (frames.end - frames.start) <= nextEntryPosition) return NO_ENTRIES;
    const { outputEnd } = kernel.indexFrames({
      frames,
      firstOffset: stamp.firstOffset,
      position,
      nextEntryPosition,
      intervalBytes: this.#settings.indexIntervalBytes,
      output: KERNEL_ENTRIES,
    });
    return Buffer.from(kernel.memory.subarray(KERNEL_ENTRIES.start, outputEnd));
  }

  /** The index is a cache: one that cannot be written is dropped, and no record is affected. */
  #appendIndex(segment: ActiveSegment, entries: Buffer): void {
    try {
      segment.index.append(entries);
    } catch (error) {
      this.#warn(
        'The index of the active segment could not be written and was dropped; reading goes on without it.',
        error,
      );
      segment.index.drop();
    }
  }

  async #undo(hold: LockHold, error: unknown): Promise<unknown> {
    const wasCut = await cutAfterFailure({
      context: this.#context,
      markFile: hold.markFile,
      store: this.#activeSegment.store,
      mark: this.#mark as HighWatermark,
    });
    if (!(error instanceof FastQueueError)) return error;
    const outcome = wasCut
      ? 'Nothing of this batch was stored.'
      : 'The store could not be cut back either, so parts of this batch may reappear; the next writer settles it.';
    return new FastQueueError(error.code, `${error.message} ${outcome}`, {
      ...error.details,
      topic: this.#context.topic,
      sideEffects: wasCut ? 'none' : 'unknown',
      cause: error,
    });
  }

  #moveMark(hold: LockHold, mark: HighWatermark, markBytes: Buffer): void {
    try {
      writeMarkBytes(hold.markFile, markBytes);
    } catch (error) {
      throw markNotWritten(this.#context, error);
    }
    this.#note(mark);
    this.#markSync.schedule();
  }

  #isRollDue(frameBytes: number, clock: number): boolean {
    const mark = this.#mark as HighWatermark;
    if (mark.position === 0) return false;
    if (mark.position + frameBytes > this.#settings.segmentBytes) return true;
    if (clock < mark.timestamp - CLOCK_STEP_BACK_MS) return true;
    const { retentionAgeMs } = this.#settings;
    const { firstTimestamp } = this.#activeSegment;
    return retentionAgeMs > 0 && firstTimestamp !== undefined && clock - firstTimestamp > retentionAgeMs / 10;
  }

  /** A step of its own, before the batch: a roll that fails leaves the log as it was, or with an empty segment. */
  async #roll(hold: LockHold): Promise<void> {
    const mark = this.#mark as HighWatermark;
    await this.#activeSegment.store.datasync();
    const created = await this.#inPlace(hold, () =>
      ActiveSegment.create(this.#context, {
        baseOffset: mark.nextOffset,
        indexIntervalBytes: this.#settings.indexIntervalBytes,
      }),
    );
    this.#forgetSegment();
    this.#segment = created;
    const rolled = { ...mark, baseOffset: mark.nextOffset, position: 0 };
    writeMark(hold.markFile, rolled);
    this.#note(rolled);
    await this.#markSync.now(hold.markFile);
    this.#settings = this.#options.readSettings();
    this.#note(await this.#options.afterRoll(hold, rolled));
  }

  /** No append fails for what is thrown there. */
  #tell(batch: BatchReport): void {
    try {
      this.#options.onBatch(batch);
    } catch (error) {
      this.#warn('A batch was stored, and who was told of it threw an error.', error);
    }
  }

  #warn(sentence: string, error: unknown): void {
    this.#options.onWarning(`${sentence} (${error instanceof Error ? error.message : String(error)})`);
  }
}

/**
 * The first batch of a segment carries the clock, every other never goes back. A batch framed ahead keeps its own stamp
 * where that is as good; behind a later record it is not, in a new segment either: no clock was set back.
 */
function timestampFor(
  mark: HighWatermark,
  clock: number,
  source: RecordSource | FramedBatch | undefined,
): number {
  const earliest = mark.position === 0 ? -Infinity : mark.timestamp;
  if (source !== undefined && isFramed(source)) {
    const { timestamp } = source;
    const isFresh = timestamp <= clock && clock - timestamp <= FRAMED_AHEAD_MS;
    if (isFresh && timestamp >= mark.timestamp) return timestamp;
  }
  return Math.max(clock, earliest);
}
