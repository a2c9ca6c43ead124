/**
 * Reads the bodies of requests. Nothing is kept beyond a limit for one body and a budget for all of them: a body has its
 * whole room reserved before more than a small part of it is read, so large ones wait their turn, unread, and no two can
 * starve each other.
 */
import type { IncomingMessage } from 'node:http';
import { FastQueueError } from '../engine/index.ts';
import { ClientGone, type Exchange } from './exchange.ts';
import { BODIES_BYTES, LINGER_MS, SMALL_BODY_BYTES } from './limits.ts';

export interface RequestBody {
  /** In order. */
  readonly chunks: Buffer[];
  readonly byteCount: number;
  /** To be called once the chunks are no longer needed. Calling it twice does nothing. */
  release(): void;
}

/** In one piece, which takes the place of the chunks: large bodies are not held twice. */
export function wholeOf({ chunks }: RequestBody): Buffer {
  if (chunks.length !== 1) chunks.splice(0, chunks.length, Buffer.concat(chunks));
  return chunks[0] as Buffer;
}

interface Waiter {
  readonly byteCount: number;
  readonly grant: () => void;
}

const HELD_NOTHING = (): void => undefined;

export class BodyReader {
  readonly #maxBodyBytes: number;
  readonly #waiters: Waiter[] = [];
  #freeBytes: number;

  constructor(options: { maxBodyBytes: number }) {
    this.#maxBodyBytes = options.maxBodyBytes;
    this.#freeBytes = Math.max(BODIES_BYTES, options.maxBodyBytes);
  }

  /**
   * The whole body, once its end has come.
   *
   * @throws FastQueueError `batch_too_large`, `unsupported_media_type`; ClientGone when it stops halfway
   */
  async read(exchange: Exchange): Promise<RequestBody> {
    const { request } = exchange;
    const declared = request.headers['content-length'];
    const coding = declared === undefined ? request.headers['transfer-encoding'] : undefined;
    if (coding !== undefined) {
      refuseTransferCoding(coding);
      return this.#readChunked(exchange);
    }
    const declaredBytes = Number(declared ?? 0);
    if (declaredBytes > this.#maxBodyBytes) throw this.#tooLarge(exchange);
    if (declaredBytes > SMALL_BODY_BYTES) return this.#readReserved(exchange, declaredBytes);
    // What came in one piece with the head is taken in while this waits: no events for a body that is here already.
    await Promise.resolve();
    if (request.readableLength === declaredBytes) {
      const whole = request.read() as Buffer | null;
      // Nothing is left but its end.
      request.resume();
      return { chunks: whole === null ? [] : [whole], byteCount: declaredBytes, release: HELD_NOTHING };
    }
    return this.#readReserved(exchange, 0);
  }

  async #readReserved(exchange: Exchange, byteCount: number): Promise<RequestBody> {
    const release = await this.#reserveRoom(exchange.request, byteCount);
    try {
      return { ...(await this.#collect(exchange)), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Nobody knows how long it will be: a small one waits for no other, and one that grows has its room reserved then. */
  async #readChunked(exchange: Exchange): Promise<RequestBody> {
    let release = HELD_NOTHING;
    const reserve = async (): Promise<void> => {
      release = await this.#reserveRoom(exchange.request, this.#maxBodyBytes);
    };
    try {
      const collected = await this.#collect(exchange, reserve);
      return { ...collected, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Resolves with what gives the room back, once however often it is called. */
  async #reserveRoom(request: IncomingMessage, byteCount: number): Promise<() => void> {
    if (byteCount === 0) return HELD_NOTHING;
    await this.#reserve(request, byteCount);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#freeBytes += byteCount;
      this.#grantWaiters();
    };
  }

  #reserve(request: IncomingMessage, byteCount: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const gone = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new ClientGone());
      };
      const waiter: Waiter = {
        byteCount,
        grant: () => {
          request.socket.off('close', gone);
          resolve();
        },
      };
      request.socket.once('close', gone);
      this.#waiters.push(waiter);
      this.#grantWaiters();
    });
  }

  /** First come, first served: a large body is not overtaken for ever by smaller ones. */
  #grantWaiters(): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      if (first.byteCount > this.#freeBytes) return;
      this.#waiters.shift();
      this.#freeBytes -= first.byteCount;
      first.grant();
    }
  }

  /** @param reserve called once, when more than a small body has come; nothing more is read until it resolves */
  #collect(exchange: Exchange, reserve?: () => Promise<void>): Promise<Omit<RequestBody, 'release'>> {
    const { request, response } = exchange;
    if (exchange.awaitsContinue) response.writeContinue();
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let byteCount = 0;
      let mayGrow = reserve === undefined;
      const take = (chunk: Buffer): void => {
        byteCount += chunk.length;
        if (byteCount > this.#maxBodyBytes) {
          chunks.length = 0;
          request.off('data', take);
          reject(this.#tooLarge(exchange));
          return;
        }
        chunks.push(chunk);
        if (mayGrow || byteCount <= SMALL_BODY_BYTES) return;
        mayGrow = true;
        request.pause();
        reserve?.().then(() => request.resume(), reject);
      };
      request.on('data', take);
      request.on('end', () => {
        resolve({ chunks, byteCount });
      });
      request.on('close', () => {
        if (!request.complete) reject(new ClientGone());
      });
    });
  }

  /** What still comes is dropped for a moment; then the connection is cut. */
  #tooLarge(exchange: Exchange): FastQueueError {
    const { request } = exchange;
    if (exchange.awaitsContinue) exchange.isLast = true;
    else request.resume();
    const cut = setTimeout(() => {
      if (!request.complete) request.socket.destroy();
    }, LINGER_MS);
    request.once('close', () => {
      clearTimeout(cut);
    });
    return new FastQueueError(
      'batch_too_large',
      `The body of a request may have ${this.#maxBodyBytes} bytes (--max-body). Send it in parts. Nothing was written.`,
      { sideEffects: 'none' },
    );
  }
}

/** @throws FastQueueError `unsupported_media_type` for a body that is compressed (`Content-Encoding`) */
export function refuseEncoded(encoding: string | undefined): void {
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
  throw packed(`${JSON.stringify(encoding)} is not understood as Content-Encoding, only identity.`);
}

/** The last coding ends the body; one before it has packed what would be stored. */
function refuseTransferCoding(coding: string): void {
  if (coding.toLowerCase() === 'chunked') return;
  throw packed(`${JSON.stringify(coding)} is not understood as Transfer-Encoding, only chunked.`);
}

function packed(sentence: string): FastQueueError {
  return new FastQueueError(
    'unsupported_media_type',
    `A body is taken as it comes and none is unpacked: ${sentence}`,
  );
}
