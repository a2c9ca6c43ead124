/**
 * Reads the bodies of requests. Nothing is kept beyond a limit for one body and a budget for all of them: a body has its
 * whole room reserved before it is read, so large ones wait their turn, unread, and no two can starve each other.
 */
import type { IncomingMessage } from 'node:http';
import { FastQueueError } from '../engine/index.ts';
import { ClientGone, type Exchange } from './exchange.ts';
import { BODIES_BYTES, LINGER_MS, SMALL_BODY_BYTES } from './limits.ts';

export interface RequestBody {
  /** In order. */
  readonly chunks: readonly Buffer[];
  readonly byteCount: number;
  /** To be called once the chunks are no longer needed. Calling it twice does nothing. */
  release(): void;
}

interface Waiter {
  readonly byteCount: number;
  readonly grant: () => void;
}

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
   * @throws FastQueueError `batch_too_large`; ClientGone when it stops halfway
   */
  read(exchange: Exchange): Promise<RequestBody> {
    const { request } = exchange;
    const declared = request.headers['content-length'];
    const isChunked = declared === undefined && request.headers['transfer-encoding'] !== undefined;
    const declaredBytes = isChunked ? this.#maxBodyBytes : Number(declared ?? 0);
    if (!isChunked && declaredBytes > this.#maxBodyBytes) return Promise.reject(this.#tooLarge(exchange));
    if (declaredBytes <= SMALL_BODY_BYTES) return this.#collect(exchange, () => undefined);
    return this.#readReserved(exchange, declaredBytes);
  }

  async #readReserved(exchange: Exchange, byteCount: number): Promise<RequestBody> {
    await this.#reserve(exchange.request, byteCount);
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      this.#freeBytes += byteCount;
      this.#grantWaiters();
    };
    try {
      return await this.#collect(exchange, release);
    } catch (error) {
      release();
      throw error;
    }
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

  #collect(exchange: Exchange, release: () => void): Promise<RequestBody> {
    const { request, response } = exchange;
    if (exchange.awaitsContinue) response.writeContinue();
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let byteCount = 0;
      request.on('data', (chunk: Buffer) => {
        byteCount += chunk.length;
        if (byteCount <= this.#maxBodyBytes) {
          chunks.push(chunk);
          return;
        }
        chunks.length = 0;
        reject(this.#tooLarge(exchange));
      });
      request.on('end', () => {
        resolve({ chunks, byteCount, release });
      });
      request.on('close', () => {
        if (!request.complete) reject(new ClientGone());
      });
    });
  }

  /** What still comes is dropped for a moment; then the connection is cut. */
  #tooLarge(exchange: Exchange): FastQueueError {
    const { request } = exchange;
    if (exchange.awaitsContinue) exchange.commonHeaders.push('Connection', 'close');
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
