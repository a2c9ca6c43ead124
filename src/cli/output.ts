/**
 * Standard output of a command: results only. Every byte goes through here, because three things must hold everywhere:
 * a reader that has seen enough (EPIPE) is no error, a full disk behind `>` is one and says so, and whoever writes
 * waits until the bytes are taken, so that memory stays bounded and nothing is cut off at the end.
 *
 * Files and devices are written synchronously, straight from the caller's buffer, and so is what a pipe or a socket has
 * room for. The rest, and all for terminals, goes through process.stdout, which keeps the buffer until it has been taken.
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
  /** True where there is room for any number of bytes at any time, as in files. */
  readonly isSynchronous: boolean;
  /**
   * Takes what there is room for, without waiting; the buffer may be used again at once.
   *
   * @returns how many bytes that is: none while others wait, all of them when the reader is gone
   * @throws FastQueueError `disk_full`, `io_error`
   */
  takeAtOnce(bytes: Uint8Array): number;
  /**
   * Resolves when the bytes were taken (or the reader is gone); the buffer must not change until then.
   *
   * @throws FastQueueError `disk_full`, `io_error`
   */
  write(chunk: Uint8Array | string): Promise<void>;
}

class StandardOutput implements Output {
  readonly #room: 'any' | 'limited' | 'unknown';
  #isClosed = false;

  constructor() {
    this.#room = roomOfOutput();
    // Errors come through the callback of each write. oclif has put a listener there that throws what is not EPIPE.
    process.stdout.removeAllListeners('error');
    process.stdout.on('error', () => {
      this.#isClosed = true;
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isSynchronous(): boolean {
    return this.#room === 'any';
  }

  takeAtOnce(bytes: Uint8Array): number {
    if (this.#isClosed || bytes.length === 0) return bytes.length;
    if (this.#room === 'unknown' || process.stdout.writableLength > 0) return 0;
    try {
      let taken = 0;
      do taken += writeSync(STDOUT, bytes, taken, bytes.length - taken);
      while (this.#room === 'any' && taken < bytes.length);
      return taken;
    } catch (error) {
      if (this.#room === 'limited' && errnoOf(error) === 'EAGAIN') return 0;
      const failure = this.#failure(error);
      if (failure !== undefined) throw failure;
      return bytes.length;
    }
  }

  async write(chunk: Uint8Array | string): Promise<void> {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    const taken = this.takeAtOnce(bytes);
    if (taken < bytes.length) await this.#writeStream(bytes.subarray(taken));
  }

  async #writeStream(bytes: Uint8Array): Promise<void> {
    const failure = await new Promise<Error | undefined>((resolve) => {
      // A reader that takes nothing would keep a command that was asked to stop for ever.
      const taken = afterStop(PATIENCE_AFTER_SIGNAL_MS, () => {
        this.#isClosed = true;
        resolve(undefined);
      });
      process.stdout.write(bytes, (error) => {
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
 * Files and devices have room for anything. To a block device process.stdout would write nothing at all and say nothing,
 * of a short write to another device it would forget the rest, and what goes to a socket of messages it drops. Where it is
 * a stream it has made the pipe or the socket one that does not wait (not on Windows); a terminal waits.
 */
function roomOfOutput(): 'any' | 'limited' | 'unknown' {
  try {
    const status = fstatSync(STDOUT);
    const isStream = 'setNoDelay' in process.stdout;
    if (isStream && (status.isFIFO() || status.isSocket()))
      return process.platform === 'win32' ? 'unknown' : 'limited';
    return isatty(STDOUT) ? 'unknown' : 'any';
  } catch {
    return 'unknown';
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
