/**
 * Stores and indexes made beside the log, without its lock, to be put in place later (switch.ts). Durable when
 * they are handed out, and locked by whoever made them: a file of that kind which nobody holds is a leftover.
 *
 * Source files are read in large chunks and checked frame by frame once more; memory and open files do not grow with
 * their number.
 */
import { randomUUID } from 'node:crypto';
import { FrameCompactor, type FrameOutput, type FrameSource } from './frames.ts';
import { EntryWriter } from '../entry-writer.ts';
import type { SealedSegment } from './list.ts';
import { scanWhole } from './scan.ts';
import { FastQueueError } from '../errors.ts';
import { decodeFrameHeader } from '../format/frame.ts';
import { temporaryFileName } from '../format/file-names.ts';
import { isSameFile, type FileHandle } from '../io/file-system.ts';
import type { Region } from '../kernel/kernel.ts';
import { copyBytes, writeWhole } from '../io/write-whole.ts';
import { openStoreIfThere } from '../segment-list.ts';
import { indexPath, storePath, type TopicContext } from '../topic-directory.ts';

/** A file beside the log that waits to be renamed. */
export class PreparedFile {
  readonly #context: TopicContext;
  readonly #file: FileHandle;
  readonly #finalPath: string;
  #isPlaced = false;

  static create(context: TopicContext, finalPath: string): PreparedFile {
    const path = temporaryFileName(finalPath, `compact-${randomUUID()}`);
    const file = context.fileSystem.open(path, 'create-new');
    file.tryLock();
    return new PreparedFile(context, file, finalPath);
  }

  private constructor(context: TopicContext, file: FileHandle, finalPath: string) {
    this.#context = context;
    this.#file = file;
    this.#finalPath = finalPath;
  }

  get file(): FileHandle {
    return this.#file;
  }

  /** True where the file of its name is still this one. */
  isThere(): boolean {
    return this.#file.sizeIfNamed() !== undefined;
  }

  /** Gives it its name. Durable when the directory is synced. */
  place(): void {
    this.#context.fileSystem.rename(this.#file.path, this.#finalPath);
    this.#isPlaced = true;
  }

  /** Closes it, and removes it if it was not placed. Never throws for that: what stays is a leftover. */
  close(): void {
    try {
      if (!this.#isPlaced && this.isThere()) this.#context.fileSystem.unlink(this.#file.path);
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
    } finally {
      this.#file.close();
    }
  }
}

/** A store and its index, or an index alone. */
export interface PreparedSegment {
  readonly store: PreparedFile | undefined;
  readonly index: PreparedFile;
  readonly storeBytes: number;
  close(): void;
}

export interface PrepareOptions {
  readonly indexIntervalBytes: number;
  /** Told how many bytes of sources were read since it was told last. */
  readonly onBytes: (byteCount: number) => void;
}

/**
 * Writes the frames of neighbouring segments into one store, and its index.
 *
 * @returns undefined where a source is not what was listed any more
 * @throws FastQueueError disk errors as themselves: nothing is left then, or a leftover
 */
export async function prepareStore(
  context: TopicContext,
  segments: readonly SealedSegment[],
  options: PrepareOptions,
): Promise<PreparedSegment | undefined> {
  const { baseOffset } = segments[0] as SealedSegment;
  const store = PreparedFile.create(context, storePath(context, baseOffset));
  return prepare(context, { segments, store, baseOffset }, options);
}

/** Makes the index of a segment from its frames; everything else as `prepareStore`. */
export async function prepareIndex(
  context: TopicContext,
  segment: SealedSegment,
  options: PrepareOptions,
): Promise<PreparedSegment | undefined> {
  const { baseOffset } = segment;
  return prepare(context, { segments: [segment], store: undefined, baseOffset }, options);
}

async function prepare(
  context: TopicContext,
  work: { segments: readonly SealedSegment[]; store: PreparedFile | undefined; baseOffset: number },
  options: PrepareOptions,
): Promise<PreparedSegment | undefined> {
  const { store } = work;
  let index: PreparedFile | undefined;
  try {
    index = PreparedFile.create(context, indexPath(context, work.baseOffset));
    const entries = new EntryWriter(context, { file: index.file, intervalBytes: options.indexIntervalBytes });
    const output = new SegmentOutput(context, { store: store?.file, entries });
    const isWhole = await writeFrames(
      context,
      { ...work, output, keepsFiller: store === undefined },
      options,
    );
    await output.end();
    await index.file.sync();
    const made = index;
    const prepared = {
      store,
      index,
      storeBytes: output.storeBytes,
      close: () => {
        store?.close();
        made.close();
      },
    };
    if (isWhole) return prepared;
    prepared.close();
    return undefined;
  } catch (error) {
    store?.close();
    index?.close();
    throw error;
  }
}

/** False where a source is gone, or its frames do not lead from its base to its end. */
async function writeFrames(
  context: TopicContext,
  work: { segments: readonly SealedSegment[]; output: SegmentOutput; keepsFiller: boolean },
  options: PrepareOptions,
): Promise<boolean> {
  const { output } = work;
  const compactor = new FrameCompactor(output);
  const verbatim = new VerbatimFrames(output);
  const frames = work.keepsFiller ? verbatim : compactor;
  let minTimestamp = -Infinity;
  for (const segment of work.segments) {
    const store = openListed(context, segment);
    if (store === undefined) return false;
    try {
      const { baseOffset, file } = segment;
      const range = { store, baseOffset, sizeBytes: file.sizeBytes, minTimestamp };
      const scan = await scanWhole(context, range, {
        records: (...run) => {
          frames.records(...run);
        },
        special: (...frame) => {
          frames.special(...frame);
        },
        step: async (byteCount) => {
          options.onBytes(byteCount);
          await output.flush();
        },
      });
      if (scan.stop !== 'end' || scan.nextOffset !== segment.endOffset) return false;
      minTimestamp = scan.lastTimestamp;
    } finally {
      store.close();
    }
  }
  compactor.end();
  return true;
}

/** Undefined where the file of its name is not the one that was listed. */
function openListed(context: TopicContext, segment: SealedSegment): FileHandle | undefined {
  const store = openStoreIfThere(context, segment.baseOffset);
  if (store === undefined) return undefined;
  const status = store.status();
  if (isSameFile(status, segment.file) && status.sizeBytes === segment.file.sizeBytes) return store;
  store.close();
  return undefined;
}

/** Every frame as it stands, for an index alone. */
class VerbatimFrames {
  readonly #output: FrameOutput;

  constructor(output: FrameOutput) {
    this.#output = output;
  }

  records(frames: Region, source: FrameSource, recordCount: number): void {
    this.#output.records(frames, source.offset, recordCount);
  }

  special(
    frame: { header: { frameBytes: number; lengthField: number }; offsetCount: number },
    source: FrameSource,
  ): void {
    const { frameBytes, lengthField } = frame.header;
    this.#output.copy({ source, byteCount: frameBytes, lengthField, offsetCount: frame.offsetCount });
  }
}

/** How many bytes are written before the disk is asked to take them, while more are read. */
const SYNC_BYTES = 16 * 1024 * 1024;

/** The new store, frame by frame, and the entries of its index. */
class SegmentOutput implements FrameOutput {
  readonly #context: TopicContext;
  /** Undefined where only the index is made. */
  readonly #store: FileHandle | undefined;
  readonly #entries: EntryWriter;
  #position = 0;
  #syncedPosition = 0;
  #syncing: Promise<void> = Promise.resolve();

  constructor(context: TopicContext, target: { store: FileHandle | undefined; entries: EntryWriter }) {
    this.#context = context;
    this.#store = target.store;
    this.#entries = target.entries;
  }

  get storeBytes(): number {
    return this.#position;
  }

  records(frames: Region, firstOffset: number): void {
    const bytes = this.#context.kernel.memory.subarray(frames.start, frames.end);
    if (this.#store !== undefined) writeWhole(this.#store, bytes, this.#position);
    this.#entries.records(frames, { position: this.#position, offset: firstOffset });
    this.#position += bytes.length;
  }

  gap(frame: Buffer, { offset }: { offset: number }): void {
    if (this.#store !== undefined) writeWhole(this.#store, frame, this.#position);
    const { lengthField } = decodeFrameHeader(frame, 0);
    this.#entries.special({ position: this.#position, offset, lengthField, offsetCount: 1 });
    this.#position += frame.length;
  }

  copy(frame: { source: FrameSource; byteCount: number; lengthField: number; offsetCount: number }): void {
    const { source, byteCount, lengthField, offsetCount } = frame;
    if (this.#store !== undefined)
      copyBytes(source.store, this.#store, { from: source.position, to: this.#position, byteCount });
    this.#entries.special({ position: this.#position, offset: source.offset, lengthField, offsetCount });
    this.#position += byteCount;
  }

  /** Sends what was written to the disk, without waiting for more than what was sent before. */
  async flush(): Promise<void> {
    if (this.#store === undefined || this.#position - this.#syncedPosition < SYNC_BYTES) return;
    await this.#syncing;
    this.#syncedPosition = this.#position;
    this.#syncing = this.#store.datasync();
    // Whoever flushes or ends next is told.
    this.#syncing.catch(() => undefined);
  }

  /** Everything is durable when it resolves. */
  async end(): Promise<void> {
    this.#entries.end();
    await this.#syncing;
    await this.#store?.sync();
  }
}
