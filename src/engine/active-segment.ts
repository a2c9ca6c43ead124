/**
 * The segment that a writer appends to: its store, its index, and what the writer must know of it. Used only under the
 * topic's lock.
 */
import { commandLine } from './command-line.ts';
import { FastQueueError } from './errors.ts';
import { headerAt } from './frame-header.ts';
import type { FileHandle } from './io/file-system.ts';
import { IndexWriter } from './offset-index.ts';
import { storePath, type TopicContext } from './topic-directory.ts';

export class ActiveSegment {
  readonly baseOffset: number;
  readonly store: FileHandle;
  readonly index: IndexWriter;
  /** Timestamp of the first frame; undefined while there is none. */
  #firstTimestamp: number | undefined;

  private constructor(parts: {
    baseOffset: number;
    store: FileHandle;
    index: IndexWriter;
    firstTimestamp: number | undefined;
  }) {
    this.baseOffset = parts.baseOffset;
    this.store = parts.store;
    this.index = parts.index;
    this.#firstTimestamp = parts.firstTimestamp;
  }

  /**
   * Opens the store that the mark names.
   *
   * @param prove syncs the store before anything else: what an earlier process wrote may be in the page cache only
   * @throws FastQueueError `damaged` when there is no such store; disk errors as themselves
   */
  static async open(
    context: TopicContext,
    segment: { baseOffset: number; indexIntervalBytes: number },
    prove: (store: FileHandle) => Promise<void>,
  ): Promise<ActiveSegment> {
    const path = storePath(context, segment.baseOffset);
    if (context.fileSystem.status(path) === undefined) {
      throw new FastQueueError(
        'damaged',
        `The active segment of "${context.topic}" is missing: there is no ${path}. ` +
          `Run "${commandLine(context, `recover ${context.topic} --dry-run`)}" to see what would be done.`,
        { topic: context.topic, path, offset: segment.baseOffset },
      );
    }
    const store = context.fileSystem.open(path, 'update');
    try {
      await prove(store);
      return new ActiveSegment({
        baseOffset: segment.baseOffset,
        store,
        index: IndexWriter.open(context, { ...segment, storeBytes: store.status().sizeBytes }),
        firstTimestamp: headerAt(store, { position: 0 })?.timestamp,
      });
    } catch (error) {
      store.close();
      throw error;
    }
  }

  /**
   * Makes the store of a new segment, its directory entry durable. An empty file of that name is what a killed roll
   * left and is taken; anything else there is damage.
   */
  static async create(
    context: TopicContext,
    segment: { baseOffset: number; indexIntervalBytes: number },
  ): Promise<ActiveSegment> {
    const path = storePath(context, segment.baseOffset);
    const store = createOrTakeEmpty(context, path);
    try {
      await context.fileSystem.syncDirectory(context.directory);
      const index = IndexWriter.open(context, { ...segment, storeBytes: 0 });
      return new ActiveSegment({ ...segment, store, index, firstTimestamp: undefined });
    } catch (error) {
      store.close();
      throw error;
    }
  }

  get firstTimestamp(): number | undefined {
    return this.#firstTimestamp;
  }

  /** Tells the segment what the first batch was stamped with. Later calls change nothing. */
  noteTimestamp(timestamp: number): void {
    this.#firstTimestamp ??= timestamp;
  }

  close(): void {
    this.index.close();
    this.store.close();
  }
}

function createOrTakeEmpty(context: TopicContext, path: string): FileHandle {
  const { fileSystem } = context;
  const status = fileSystem.status(path);
  if (status === undefined) return fileSystem.open(path, 'create-new');
  if (status.sizeBytes === 0) return fileSystem.open(path, 'update');
  throw new FastQueueError(
    'damaged',
    `The log of "${context.topic}" cannot roll: ${path} exists already and is not empty. ` +
      `Run "${commandLine(context, `verify ${context.topic}`)}" to see what it is.`,
    { topic: context.topic, path },
  );
}
