/**
 * Where produce reads from. Files are read synchronously (they never keep the process waiting). Pipes and sockets too as
 * long as something is there, straight to where it is wanted, and by notification where nothing is; terminals by
 * notification only. A blocking read in a thread could not be interrupted by a signal.
 *
 * An input is read once, from front to back, by one reader at a time.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { isatty, ReadStream } from 'node:tty';
import { errnoOf, FastQueueError, fromSystemError } from '../../engine/index.ts';
import type { Output } from '../output.ts';

export interface ByteInput {
  /** For messages: the file's path; undefined for standard input. */
  readonly path: string | undefined;
  /** True when `read` answers at once: then there is no point in storing less than a full batch. */
  readonly isImmediate: boolean;
  /**
   * Fills the beginning of `target` with what there is, at least one byte, and returns how many; 0 at the end, or once
   * `stop` was called. A promise means that nothing was there.
   *
   * @throws FastQueueError `io_error`, `permission_denied`
   */
  read(target: Buffer): number | Promise<number>;
  /** Ends a read that is waiting, and all that follow, with 0. */
  stop(): void;
  /** True once `stop` was called: a 0 is not the end of the input then, and may stand in the middle of a record. */
  readonly isStopped: boolean;
  /** Closing twice is allowed and does nothing. */
  close(): void;
}

const STDIN = 0;

/** More than a pipe holds at once by default. */
const STREAM_BUFFER_BYTES = 256 * 1024;

/**
 * A named pipe whose writer has not come yet must not block the open, or no signal would be heard. Only Linux tells such
 * a pipe (silent) from one whose writer has gone (at its end).
 */
const OPEN_FLAGS = constants.O_RDONLY | (process.platform === 'linux' ? constants.O_NONBLOCK : 0);

/** Opens standard input (`-` or undefined) or a file. @throws FastQueueError `io_error`, `permission_denied` */
export function openInput(path: string | undefined): ByteInput {
  const name = path === '-' ? undefined : path;
  try {
    const descriptor = name === undefined ? STDIN : openSync(name, OPEN_FLAGS);
    const status = fstatSync(descriptor);
    if (status.isDirectory()) throw directoryRefusal(name ?? 'Standard input');
    if (status.isFIFO() || status.isSocket() || isatty(descriptor)) return new StreamInput(name, descriptor);
    return new FileInput(name, descriptor);
  } catch (error) {
    throw fromSystemError(error, 'open', name === undefined ? {} : { path: name });
  }
}

/** The refusal of a directory where a file is wanted. */
export function directoryRefusal(name: string): FastQueueError {
  return new FastQueueError('io_error', `${name} is a directory; name the files in it.`);
}

class FileInput implements ByteInput {
  readonly path: string | undefined;
  readonly isImmediate = true;
  isStopped = false;
  readonly #descriptor: number;
  #isClosed = false;

  constructor(path: string | undefined, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  read(target: Buffer): number {
    if (this.isStopped) return 0;
    try {
      return readSync(this.#descriptor, target);
    } catch (error) {
      throw fromSystemError(error, 'read', { path: this.path ?? 'standard input' });
    }
  }

  stop(): void {
    this.isStopped = true;
  }

  close(): void {
    if (!this.#isClosed && this.#descriptor !== STDIN) closeSync(this.#descriptor);
    this.#isClosed = true;
  }
}

class StreamInput implements ByteInput {
  readonly path: string | undefined;
  readonly isImmediate = false;
  isStopped = false;
  readonly #stream: Socket;
  /** Undefined for a terminal, which is not ours to read from directly. */
  readonly #descriptor: number | undefined;
  /** What has come and was not asked for yet. */
  #pending: Buffer = Buffer.alloc(0);
  #hasEnded = false;
  /** False for a named pipe until bytes have come: before its first writer a direct read would say that it has ended. */
  #hasHadWriter: boolean;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(path: string | undefined, descriptor: number) {
    this.path = path;
    this.#hasHadWriter = path === undefined;
    const isTerminal = isatty(descriptor);
    this.#stream = isTerminal
      ? // By a name it may be another one than standard input, or there where that is none.
        this.#readTerminal(path === undefined ? process.stdin : new ReadStream(descriptor))
      : this.#openSocket(descriptor);
    this.#descriptor = isTerminal ? undefined : descriptor;
    this.#stream.on('end', () => {
      this.#end();
    });
    this.#stream.on('close', () => {
      this.#end();
    });
    this.#stream.on('error', (error) => {
      this.#failure = fromSystemError(error, 'read', { path: path ?? 'standard input' });
      this.#end();
    });
  }

  read(target: Buffer): number | Promise<number> {
    if (this.#pending.length === 0 && !this.#hasEnded) {
      const byteCount = this.#readAtHand(target);
      if (byteCount !== undefined) return byteCount;
    }
    return this.#readPending(target);
  }

  /** Reads without waiting, past the stream, which has made the descriptor non-blocking. Undefined: nothing is there. */
  #readAtHand(target: Buffer): number | undefined {
    if (this.#descriptor === undefined || !this.#hasHadWriter) return undefined;
    try {
      const byteCount = readSync(this.#descriptor, target);
      if (byteCount === 0) this.#end();
      return byteCount;
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') return undefined;
      throw fromSystemError(error, 'read', { path: this.path ?? 'standard input' });
    }
  }

  async #readPending(target: Buffer): Promise<number> {
    if (this.#pending.length === 0 && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#stream.resume();
      });
    }
    if (this.#failure !== undefined) throw this.#failure as Error;
    const byteCount = this.#pending.copy(target);
    this.#pending = this.#pending.subarray(byteCount);
    return byteCount;
  }

  stop(): void {
    this.isStopped = true;
    this.#pending = this.#pending.subarray(0, 0);
    this.#end();
  }

  close(): void {
    this.#stream.destroy();
  }

  /** Reads into one buffer, which is free again once `#pending` is empty: reading pauses until then. */
  #openSocket(descriptor: number): Socket {
    return new Socket({
      fd: descriptor,
      readable: true,
      writable: false,
      manualStart: true,
      onread: {
        buffer: Buffer.alloc(STREAM_BUFFER_BYTES),
        callback: (byteCount: number, buffer: Uint8Array) => {
          this.#take(Buffer.from(buffer.buffer, buffer.byteOffset, byteCount));
          return false;
        },
      },
    } as ConstructorParameters<typeof Socket>[0]);
  }

  #readTerminal(terminal: Socket): Socket {
    terminal.on('data', (chunk: Buffer) => {
      terminal.pause();
      this.#take(chunk);
    });
    return terminal;
  }

  #take(bytes: Buffer): void {
    this.#hasHadWriter = true;
    if (!this.#hasEnded) this.#pending = bytes;
    this.#wake?.();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#wake?.();
  }
}

/**
 * The same input, with everything that is read from it counted and, where asked for, copied to an output. A reader of
 * that output that goes away is no error.
 */
export function countInput(
  input: ByteInput,
  options: { progress: { doneBytes: number }; teeTo: Output | undefined },
): ByteInput {
  const { progress, teeTo } = options;
  const count = (byteCount: number): number => {
    progress.doneBytes += byteCount;
    return byteCount;
  };
  const copy = async (target: Buffer, reading: number | Promise<number>): Promise<number> => {
    const byteCount = count(await reading);
    if (teeTo !== undefined) await teeTo.write(Buffer.from(target.subarray(0, byteCount)));
    return byteCount;
  };
  return {
    path: input.path,
    isImmediate: input.isImmediate,
    get isStopped() {
      return input.isStopped;
    },
    read: (target) => {
      const reading = input.read(target);
      return teeTo === undefined && typeof reading === 'number' ? count(reading) : copy(target, reading);
    },
    stop: () => {
      input.stop();
    },
    close: () => {
      input.close();
    },
  };
}
