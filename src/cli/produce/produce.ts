/**
 * The use-case behind `fastqueue produce`: inputs → records → durable batches, and an exact account of how far it came.
 * Parses no flags and prints nothing but acknowledgements and `--tee`.
 */
import { accessSync, constants, statSync } from 'node:fs';
import {
  createKernel,
  ERROR_TABLE,
  FastQueueError,
  fromSystemError,
  type Ack,
  type DataDirectory,
  type Topic,
  type TopicSettings,
} from '../../engine/index.ts';
import type { Output } from '../output.ts';
import { BatchWriter, type InputPosition, type Stored } from './batch-writer.ts';
import { countInput, directoryRefusal, openInput, type ByteInput } from './byte-input.ts';
import { Pump } from './pump.ts';
import { openFeed, type FeedOptions } from './record-feed.ts';

export interface ProduceRequest {
  readonly dataDirectory: DataDirectory;
  readonly topic: string;
  /** None: standard input. */
  readonly files: readonly string[];
  readonly format: FeedOptions['format'];
  readonly delimiter: Uint8Array;
  readonly batchBytes: number;
  readonly lingerMs: number;
  readonly maxRecordBytes: number;
  readonly expectedOffset: number | undefined;
  /** Settings for the topic if it has to be made, or false: it must exist. */
  readonly create: false | Partial<TopicSettings>;
  /** Where a copy of the input goes. */
  readonly teeTo: Output | undefined;
  /** Called for each durable batch, in order. */
  readonly onAck: (ack: Ack) => Promise<void>;
  /** Told how much of the input was read, and how much there is where that is known. */
  readonly progress: ProgressCount;
  /** Called once something can be stored: what it returns asks to store what was read completely, and stop. */
  readonly listenForStop: () => AbortSignal;
}

/** Where the work counts, for whoever wants to show it. */
export interface ProgressCount {
  doneBytes: number;
  totalBytes: number | undefined;
}

export interface ProduceReport extends Stored {
  readonly topic: string;
  /** False when other writers' records stand between these. */
  readonly isDense: boolean;
  /** Lines of a JSON input that said that records were lost. */
  readonly gapCount: number;
  /** True when the failed append may have been stored all the same. */
  readonly isUncertain: boolean;
  /** Why not all of the input was stored. */
  readonly failure: { readonly error: unknown } | undefined;
}

/**
 * Stores the inputs. What the world does to it is in the report, beside what was stored before.
 *
 * @throws FastQueueError for what was asked wrongly: a name, a file, a topic that does not exist
 */
export async function produce(request: ProduceRequest): Promise<ProduceReport> {
  const sizes = request.files.map(sizeOfReadable);
  if (sizes.length > 0 && !sizes.includes(undefined)) {
    request.progress.totalBytes = sizes.reduce<number>((sum, sizeBytes) => sum + (sizeBytes ?? 0), 0);
  }
  let topic: Topic;
  try {
    const { dataDirectory, create, expectedOffset } = request;
    if (create !== false) dataDirectory.refuseUnmet(request.topic, { expectedOffset });
    topic = await dataDirectory.openTopic(request.topic, { mode: 'append', create });
  } catch (error) {
    if (!isOfTheWorld(error)) throw error;
    return { ...NOTHING_STORED, ...beginning(request), topic: request.topic, failure: { error } };
  }
  try {
    return await produceTo(topic, request);
  } finally {
    await topic.close();
  }
}

/**
 * No batch is larger than a segment of its topic, which it would be alone in, and retention could give up only whole. With
 * segments smaller than this it may be: else each would cost a sync.
 */
const SMALL_SEGMENT_BYTES = 1024 * 1024;

const NOTHING_STORED = {
  recordCount: 0,
  firstOffset: undefined,
  lastOffset: undefined,
  isDense: true,
  gapCount: 0,
  isUncertain: false,
};

/** The first byte of the first input. */
function beginning(request: ProduceRequest): { inputPosition: InputPosition } {
  const [path] = request.files;
  return { inputPosition: { path: path === '-' ? undefined : path, byte: 0 } };
}

/** Disk, damage, an offset, another holder: not what was asked for, but what was met. */
function isOfTheWorld(error: unknown): boolean {
  return error instanceof FastQueueError && [1, 3, 6, 11].includes(ERROR_TABLE[error.code].exitCode);
}

async function produceTo(topic: Topic, request: ProduceRequest): Promise<ProduceReport> {
  const signal = request.listenForStop();
  const kernel = createKernel();
  const paths = request.files.length === 0 ? [undefined] : request.files;
  let input: ByteInput | undefined;
  let gapCount = 0;
  const stopReading = (): void => {
    input?.stop();
  };
  signal.addEventListener('abort', stopReading);
  const writer = new BatchWriter(kernel, {
    topic,
    batchBytes: Math.min(request.batchBytes, Math.max(topic.segmentBytes, SMALL_SEGMENT_BYTES)),
    lingerMs: request.lingerMs,
    expectedOffset: request.expectedOffset,
    onAck: request.onAck,
    onFailure: stopReading,
    start: beginning(request).inputPosition,
  });
  const pump = new Pump({ ...request, kernel, writer });
  const onGap = (): void => {
    gapCount += 1;
  };
  let failure: { error: unknown } | undefined;
  try {
    for (const path of paths) {
      if (signal.aborted || writer.hasFailed) break;
      input = countInput(openInput(path), request);
      await pump.run(openFeed(input, { ...request, onGap }));
      input.close();
    }
  } catch (error) {
    failure = { error };
  }
  await writer.finish();
  input?.close();
  signal.removeEventListener('abort', stopReading);
  return {
    ...writer.stored,
    topic: topic.name,
    isDense: isDense(writer.stored),
    gapCount,
    isUncertain: isUncertain(writer.failure),
    failure: writer.hasFailed ? { error: writer.failure } : failure,
  };
}

function isUncertain(failure: unknown): boolean {
  return failure instanceof FastQueueError && failure.details.sideEffects === 'unknown';
}

function isDense(stored: Stored): boolean {
  if (stored.firstOffset === undefined || stored.lastOffset === undefined) return true;
  return stored.lastOffset - stored.firstOffset + 1 === stored.recordCount;
}

/**
 * Size of a regular file; undefined for standard input and pipes. A name that is wrong is found before anything is stored.
 */
function sizeOfReadable(file: string): number | undefined {
  if (file === '-') return undefined;
  try {
    accessSync(file, constants.R_OK);
    const status = statSync(file);
    if (status.isDirectory()) throw directoryRefusal(file);
    return status.isFile() ? status.size : undefined;
  } catch (error) {
    throw fromSystemError(error, 'read', { path: file });
  }
}
