/**
 * Standard output of a command: results only. Every byte goes through here, because three things must hold everywhere:
 * a reader that has seen enough (EPIPE) is no error, a full disk behind `>` is one and says so, and whoever writes
 * waits until the bytes are taken, so that memory stays bounded and nothing is cut off at the end.
 *
 * Files and devices are written synchronously, straight from the caller's buffer. Pipes, sockets and terminals go through
 * process.stdout, which keeps the buffer until the write has been taken.
 */
import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { errnoOf, fromSystemError, gathered } from '../engine/index.ts';
import { afterStop } from './stop-signal.ts';

const STDOUT = 1;

/** How long a reader of the output may still take to read what is under way. */
export const PATIENCE_AFTER_SIGNAL_MS = 2000;

/** Where results go: the process's standard output, or a stand-in. */
export interface Output {
  /** True once the reader has gone away: writing on is pointless, and not an error. */
  readonly isClosed: boolean;
  /** True when `write` has taken the bytes before it returns: then the buffer may be used again at once. */
  readonly isSynchronous: boolean;
  /**
   * Resolves when the bytes were taken (or the reader is gone); the buffer must not change until then.
   *
   * @throws FastQueueError `disk_full`, `io_error`
   */
  write(chunk: Uint8Array | string): Promise<void>;
}

class StandardOutput implements Output {
  readonly isSynchronous: boolean;
  #isClosed = false;

  constructor() {
    this.isSynchronous = takesBytesAtOnce();
    // Errors come through the callback of each write. oclif has put a listener there that throws what is not EPIPE.
    process.stdout.removeAllListeners('error');
    process.stdout.on('error', () => {
      this.#isClosed = true;
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  write(chunk: Uint8Array | string): Promise<void> {
    if (this.#isClosed || chunk.length === 0) return Promise.resolve();
    return this.isSynchronous ? this.#writeFile(chunk) : this.#writeStream(chunk);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws must be a rejection
  async #writeFile(chunk: Uint8Array | string): Promise<void> {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    try {
      for (let taken = 0; taken < bytes.length;) {
        taken += writeSync(STDOUT, bytes, taken, bytes.length - taken);
      }
    } catch (error) {
      const failure = this.#failure(error);
      if (failure !== undefined) throw failure;
    }
  }

  async #writeStream(chunk: Uint8Array | string): Promise<void> {
    const failure = await new Promise<Error | undefined>((resolve) => {
      // A reader that takes nothing would keep a command that was asked to stop for ever.
      const taken = afterStop(PATIENCE_AFTER_SIGNAL_MS, () => {
        this.#isClosed = true;
        resolve(undefined);
      });
      process.stdout.write(chunk, (error) => {
        taken();
        resolve(error ? this.#failure(error) : undefined);
      });
    });
    if (failure !== undefined) throw failure;
  }

  /** Undefined when the reader has merely seen enough. */
  #failure(error: unknown): Error | undefined {
    this.#isClosed = true;
    const errno = errnoOf(error) ?? (error as NodeJS.ErrnoException).code;
    if (errno === 'EPIPE' || errno === 'ECONNRESET' || errno === 'ERR_STREAM_DESTROYED') return undefined;
    return fromSystemError(error, 'write to standard output') as Error;
  }
}

/**
 * True for what is neither pipe, socket nor terminal: files and devices. To a block device process.stdout would write
 * nothing at all and say nothing, and of a short write to another device it would forget the rest.
 */
function takesBytesAtOnce(): boolean {
  try {
    const status = fstatSync(STDOUT);
    return !(status.isFIFO() || status.isSocket() || isatty(STDOUT));
  } catch {
    return false;
  }
}

/** Writes text that is made piece by piece, and never holds all of it. */
export async function writePieces(output: Output, pieces: Iterable<string>): Promise<void> {
  for (const bytes of gathered(pieces)) {
    if (output.isClosed) return;
    await output.write(bytes);
  }
}

let standardOutput: Output | undefined;

/** The process's standard output. */
export function stdout(): Output {
  standardOutput ??= new StandardOutput();
  return standardOutput;
}

/** Resolves when both outputs have passed on everything they were given, or cannot any more. */
export async function drainOutputs(): Promise<void> {
  await Promise.all([drain(process.stdout), drain(process.stderr)]);
}

function drain(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.destroyed || stream.writableLength === 0) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      resolve();
    };
    stream.once('error', done);
    stream.once('close', done);
    stream.write('', done);
  });
}
