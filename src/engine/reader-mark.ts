/**
 * The high-water mark as one reader of a topic goes by it: read again when the reader asks, followed to a file that took
 * its place, and made up from the stores where it is no help and damage is stepped over. Takes no lock.
 */
import { FastQueueError } from './errors.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { isSameFile, type FileHandle, type FileStatus } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { hasNextSegment } from './later-stores.ts';
import { MARK_REREAD_COUNT } from './limits.ts';
import { isDeleted, isFailed, openMark, peekMark, readMark } from './mark-file.ts';
import { markFromStores } from './mark-from-stores.ts';
import { markPath, storeBytes, topicNotFound, type TopicContext } from './topic-directory.ts';

export class ReaderMark {
  readonly #context: TopicContext;
  /** Undefined where there is none. */
  #file: FileHandle | undefined;
  /** That the topic's name led to when the reader was opened. */
  readonly #directory: FileStatus | undefined;
  #value: HighWatermark;
  #isAssumed: boolean;

  /**
   * @param settle settles what a dead writer left behind the mark, if there is anything
   * @throws FastQueueError `topic_not_found`, `newer_format`; `damaged` where the mark is unsound, unless damage is skipped
   */
  static async open(
    context: TopicContext,
    options: { onDamage: 'stop' | 'skip'; settle: () => Promise<void> },
  ): Promise<ReaderMark> {
    const { file, directory } = openInDirectory(context, options.onDamage);
    try {
      const read = async (): Promise<ReaderMark> =>
        new ReaderMark(context, { file, directory }, await markOrStores(context, file, options.onDamage));
      let mark = await read();
      if (mark.hasUnsettledTail()) {
        await options.settle();
        mark = await read();
      }
      if (isDeleted(mark.value)) throw topicNotFound(context);
      return mark;
    } catch (error) {
      file?.close();
      throw error;
    }
  }

  private constructor(
    context: TopicContext,
    opened: OpenedMark,
    state: { mark: HighWatermark; isAssumed: boolean },
  ) {
    this.#context = context;
    this.#file = opened.file;
    this.#directory = opened.directory;
    this.#value = state.mark;
    this.#isAssumed = state.isAssumed;
  }

  /** As last read. */
  get value(): HighWatermark {
    return this.#value;
  }

  /** The mark is missing or unsound: `value` is what the stores said when the reader was opened. */
  get isAssumed(): boolean {
    return this.#isAssumed;
  }

  /** As the file has it now, where it is sound: a copy that is not may have met a rewrite, and is taken again. */
  peek(): HighWatermark | undefined {
    if (this.#file === undefined) return undefined;
    for (let attempt = 0; attempt < MARK_REREAD_COUNT; attempt++) {
      const mark = peekMark(this.#file);
      if (mark !== undefined) return mark;
    }
    return undefined;
  }

  /**
   * Whether a file that was opened by name just now is one of this log: nothing was replaced since the mark was read, and
   * the topic was neither deleted nor moved away. Another of the same name may have stores of the same names, whose frames
   * check out.
   */
  isUnchanged(): boolean {
    if (this.#isElsewhere()) return false;
    const now = this.peek();
    return now === undefined || (now.generation === this.#value.generation && !isDeleted(now));
  }

  /** Takes what the file has now, where that is sound. True when files may have been replaced: the generation moved. */
  lookAgain(): boolean {
    const now = this.peek();
    if (now === undefined || isDeleted(now)) return false;
    const { generation } = this.#value;
    this.#value = now;
    return now.generation !== generation;
  }

  /**
   * Reads the mark again, in the file that has its name by now. True when files may have been replaced.
   *
   * @param nextOffset where the reader stands: a log that ends before it is another one
   * @throws FastQueueError `topic_not_found` when the topic was deleted or moved away, even if there is another of that
   *   name now
   */
  async refresh(nextOffset: number): Promise<boolean> {
    // Until recover has made a new mark there is nothing to follow.
    if (this.#isAssumed && !this.#isThereNow()) return false;
    const isReopened = this.#file === undefined || !this.#isStillNamed();
    if (isReopened) this.#reopen();
    const now = await readMark(this.#context, this.#file as FileHandle);
    if (isDeleted(now) || now.nextOffset < nextOffset) throw topicNotFound(this.#context);
    const { generation } = this.#value;
    this.#value = now;
    this.#isAssumed = false;
    return isReopened || now.generation !== generation;
  }

  /** Whether `refresh` may find another one. */
  mayHaveMoved(): boolean {
    if (this.#isAssumed) return this.#isThereNow();
    const now = this.peek();
    return (
      now === undefined ||
      now.nextOffset !== this.#value.nextOffset ||
      now.generation !== this.#value.generation ||
      !this.#isStillNamed()
    );
  }

  /** The topic was deleted or moved away under the reader: what it misses then is no damage. */
  isTopicGone(): boolean {
    const now = this.peek();
    return (now !== undefined && isDeleted(now)) || this.#isElsewhere();
  }

  /** Whether there is something behind it that whoever has the lock may settle. */
  hasUnsettledTail(): boolean {
    if (this.#isAssumed) return false;
    return isFailed(this.#value) || this.unsettledBytes() > 0 || hasNextSegment(this.#context, this.#value);
  }

  /** Bytes of the active store that lie behind it. */
  unsettledBytes(): number {
    const size = storeBytes(this.#context, this.#value.baseOffset) ?? 0;
    return Math.max(0, size - this.#value.position);
  }

  close(): void {
    this.#file?.close();
  }

  /** Whether there is a sound mark where there was none. */
  #isThereNow(): boolean {
    const file = openIfThere(this.#context.fileSystem, markPath(this.#context));
    try {
      return file !== undefined && peekMark(file) !== undefined;
    } finally {
      file?.close();
    }
  }

  #isStillNamed(): boolean {
    return this.#file?.sizeIfNamed() !== undefined;
  }

  /** The name leads to another directory now, or to none; not where only the mark was made anew in this one. */
  #isElsewhere(): boolean {
    if (this.#isStillNamed()) return false;
    return !isSameFile(this.#context.fileSystem.status(this.#context.directory), this.#directory);
  }

  /** The old file has the last word: whoever deletes a topic says so there before another can have its name. */
  #reopen(): void {
    const last = this.peek();
    if (last !== undefined && isDeleted(last)) throw topicNotFound(this.#context);
    if (this.#isElsewhere()) throw topicNotFound(this.#context);
    const reopened = openMark(this.#context, 'read');
    this.#file?.close();
    this.#file = reopened;
  }
}

interface OpenedMark {
  /** Undefined where there is none and damage is skipped. */
  readonly file: FileHandle | undefined;
  readonly directory: FileStatus | undefined;
}

/** The mark and the directory that it is in. */
function openInDirectory(context: TopicContext, onDamage: 'stop' | 'skip'): OpenedMark {
  for (;;) {
    const file = openMarkIfAny(context, onDamage);
    try {
      const directory = context.fileSystem.status(context.directory);
      if (file === undefined || file.sizeIfNamed() !== undefined) return { file, directory };
    } catch (error) {
      file?.close();
      throw error;
    }
    // Another has the name since.
    file.close();
  }
}

/** Undefined where there is none and damage is skipped. */
function openMarkIfAny(context: TopicContext, onDamage: 'stop' | 'skip'): FileHandle | undefined {
  try {
    return openMark(context, 'read');
  } catch (error) {
    if (onDamage === 'skip' && error instanceof FastQueueError && error.code === 'damaged') return undefined;
    throw error;
  }
}

/** The mark or, where damage is skipped and the mark is no help, what the stores say. */
async function markOrStores(
  context: TopicContext,
  file: FileHandle | undefined,
  onDamage: 'stop' | 'skip',
): Promise<{ mark: HighWatermark; isAssumed: boolean }> {
  if (file === undefined) return { mark: markFromStores(context), isAssumed: true };
  try {
    return { mark: await readMark(context, file), isAssumed: false };
  } catch (error) {
    if (onDamage === 'stop' || !(error instanceof FastQueueError) || error.code !== 'damaged') throw error;
    return { mark: markFromStores(context), isAssumed: true };
  }
}
