/**
 * Who reads the segments of a log: this thread, or a few others (one segment each at a time, in the order of the log),
 * so that checksums use several cores and this thread stays free to show progress. Each reader keeps one chunk in memory.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { FastQueueError, type ErrorCode, type ErrorDetails } from '../errors.ts';
import { PARALLEL_MIN_BYTES } from '../limits.ts';
import { storeBytesOf } from '../segment-list.ts';
import { readSegment, type SegmentReading, type SegmentRequest } from './segment-reading.ts';
import { listStoreBases, type TopicContext } from '../topic-directory.ts';

export interface SegmentReaders {
  /** How many segments are read at a time. */
  readonly width: number;
  /** Reads one segment, as readSegment does. */
  read(request: SegmentRequest, onBytes: (byteCount: number) => void): Promise<SegmentReading>;
  close(): Promise<void>;
}

/** What a reader on another thread is sent … */
export interface ReaderTask {
  readonly directory: string;
  readonly topic: string;
  readonly request: SegmentRequest;
}

/** … and what it answers. */
export type ReaderAnswer =
  | { readonly type: 'bytes'; readonly byteCount: number }
  | { readonly type: 'reading'; readonly reading: SegmentReading }
  | {
      readonly type: 'error';
      readonly code: ErrorCode | undefined;
      readonly message: string;
      readonly details: ErrorDetails;
    };

/**
 * Readers for a topic.
 *
 * @param jobs how many threads may read; undefined: this one. For little it is this one always: a thread takes longer to
 *   start than 64 MiB to read. Other threads read the real disk, whatever file system the context has.
 */
export function openSegmentReaders(context: TopicContext, jobs: number | undefined): SegmentReaders {
  if (jobs === undefined) return new OwnThread(context);
  if (storeBytesOf(context) < PARALLEL_MIN_BYTES) return new OwnThread(context);
  return new OtherThreads(context, Math.max(1, Math.min(jobs, listStoreBases(context).length)));
}

class OwnThread implements SegmentReaders {
  readonly width = 1;
  readonly #context: TopicContext;

  constructor(context: TopicContext) {
    this.#context = context;
  }

  async read(request: SegmentRequest, onBytes: (byteCount: number) => void): Promise<SegmentReading> {
    await letOthersRun();
    return readSegment(this.#context, request, onBytes);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The same module under both names: as it was written, and as it was built. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './segment-reader-worker.ts' : './segment-reader-worker.js',
  import.meta.url,
);

class OtherThreads implements SegmentReaders {
  readonly width: number;
  readonly #context: TopicContext;
  readonly #idle: Worker[] = [];
  readonly #all: Worker[] = [];

  constructor(context: TopicContext, width: number) {
    this.#context = context;
    this.width = width;
  }

  /** Never asked for more than `width` segments at a time. */
  async read(request: SegmentRequest, onBytes: (byteCount: number) => void): Promise<SegmentReading> {
    const worker = this.#idle.pop() ?? this.#start();
    const { directory, topic } = this.#context;
    const reading = await answerOf(worker, { directory, topic, request }, onBytes);
    this.#idle.push(worker);
    return reading;
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.terminate()));
  }

  #start(): Worker {
    const worker = new Worker(WORKER);
    this.#all.push(worker);
    return worker;
  }
}

function answerOf(
  worker: Worker,
  task: ReaderTask,
  onBytes: (byteCount: number) => void,
): Promise<SegmentReading> {
  return new Promise((resolve, reject) => {
    const onMessage = (answer: ReaderAnswer): void => {
      if (answer.type === 'bytes') {
        onBytes(answer.byteCount);
        return;
      }
      settle();
      if (answer.type === 'reading') resolve(answer.reading);
      else if (answer.code === undefined) reject(new Error(answer.message));
      else reject(new FastQueueError(answer.code, answer.message, answer.details));
    };
    const onError = (error: Error): void => {
      settle();
      reject(error);
    };
    const onExit = (status: number): void => {
      settle();
      reject(new Error(`a thread that reads segments ended with status ${status}`));
    };
    // Its own listeners only: the worker has some that it needs itself.
    const settle = (): void => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
    };
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    worker.postMessage(task);
  });
}
