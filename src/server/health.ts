/**
 * Whether the server can do its work: GET /health. A disk that was full or failed is asked again by itself, so that a
 * server comes back without anybody's help.
 */
import {
  ERROR_TABLE,
  FastQueueError,
  monotonicMs,
  type DataDirectory,
  type ErrorCode,
} from '../engine/index.ts';
import type { Exchange } from './exchange.ts';
import { problemOf } from './problem.ts';

/** Less room than this is a full disk, whether an append has met it or not: not even a mark and an index could grow. */
const MIN_FREE_BYTES = 64 * 1024;

/** What was found is believed for so long: whoever asks often must not make the disk work. */
const BELIEVED_MS = 500;

/** What the disk may answer to an append that says something of the disk and nothing of the request. */
const DISK_CODES: ReadonlySet<ErrorCode> = new Set([
  'disk_full',
  'io_error',
  'permission_denied',
  'outcome_unknown',
]);

interface Failure {
  readonly error: FastQueueError;
  /** Framed bytes that could not be stored. */
  readonly neededBytes: number;
}

export interface HealthOptions {
  readonly dataDirectory: DataDirectory;
  readonly version: string;
  readonly isReadOnly: boolean;
  readonly stopping: AbortSignal;
}

export class HealthCheck {
  readonly #options: HealthOptions;
  readonly #beganMs = monotonicMs();
  #failure: Failure | undefined;
  #checkedAtMs = -Infinity;
  #found: Promise<FastQueueError | undefined> = Promise.resolve(undefined);
  #topics = 0;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** Told of every append that failed, and of how many framed bytes, which is asked for only where it matters. */
  noteFailure(error: unknown, neededBytes: () => number): void {
    if (!(error instanceof FastQueueError) || !DISK_CODES.has(error.code)) return;
    this.#failure = { error, neededBytes: neededBytes() };
    this.#checkedAtMs = -Infinity;
  }

  /** Told of every batch that was stored. */
  noteSuccess(): void {
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.#checkedAtMs = -Infinity;
  }

  async answer(exchange: Exchange): Promise<void> {
    const failure = this.#options.stopping.aborted ? stopping() : await this.#check();
    const { version } = this.#options;
    const facts = {
      version,
      uptimeSeconds: Math.floor((monotonicMs() - this.#beganMs) / 1000),
      topics: this.#topics,
    };
    if (failure === undefined) {
      const dataDir = this.#options.isReadOnly ? 'read-only' : 'writable';
      exchange.sendJson(200, { status: 'ok', ...facts, dataDir });
      return;
    }
    const problem = problemOf(failure, {
      instance: exchange.path,
      dataDirectory: this.#options.dataDirectory.path,
      members: { ...facts, status: 503, dataDir: DATA_DIR_WORDS[failure.code] ?? 'failing' },
    });
    exchange.send(503, problem.headers, problem.body);
  }

  #check(): Promise<FastQueueError | undefined> {
    if (monotonicMs() - this.#checkedAtMs < BELIEVED_MS) return this.#found;
    this.#checkedAtMs = monotonicMs();
    this.#found = this.#look();
    return this.#found;
  }

  async #look(): Promise<FastQueueError | undefined> {
    const { dataDirectory, isReadOnly } = this.#options;
    try {
      this.#topics = dataDirectory.listTopics().length;
      if (isReadOnly) return undefined;
      const { isWritable, freeBytes } = dataDirectory.room();
      if (!isWritable) return notWritable();
      const neededBytes = Math.max(MIN_FREE_BYTES, this.#failure?.neededBytes ?? 0);
      if (freeBytes < neededBytes) return diskFull();
      if (this.#failure !== undefined) await dataDirectory.proveRoom(neededBytes);
      this.#failure = undefined;
      return undefined;
    } catch (error) {
      return error instanceof FastQueueError ? error : new FastQueueError('io_error', String(error));
    }
  }
}

const DATA_DIR_WORDS: Partial<Record<ErrorCode, string>> = {
  disk_full: 'full',
  permission_denied: 'not writable',
  data_directory_not_found: 'missing',
  stopping: 'writable',
};

const diskFull = (): FastQueueError =>
  new FastQueueError(
    'disk_full',
    'The disk of the data directory is full. Appending goes on by itself once there is room.',
  );

const notWritable = (): FastQueueError =>
  new FastQueueError('permission_denied', 'The data directory may not be written.');

export const stopping = (): FastQueueError =>
  new FastQueueError('stopping', `${ERROR_TABLE.stopping.title}; start it again, or ask another.`, {
    sideEffects: 'none',
  });
