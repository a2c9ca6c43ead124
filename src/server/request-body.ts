/**
 * Reads the bodies of requests. Nothing is kept beyond a limit for one body and a room for all of them: of a large one no
 * more is read than it has room for by then.
 */
import { FastQueueError } from '../engine/index.ts';
import { BodyRoom, BodyShare } from './body-room.ts';
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

const HELD_NOTHING = (): void => undefined;

export class BodyReader {
  readonly #maxBodyBytes: number;
  readonly #room: BodyRoom;

  constructor({ maxBodyBytes }: { maxBodyBytes: number }) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#room = new BodyRoom({ maxBodyBytes, totalBytes: BODIES_BYTES });
  }

  /**
   * The whole body, once its end has come.
   *
   * @param limits.maxBytes where less is taken than of the body of any request
   * @throws FastQueueError `batch_too_large`, `unsupported_media_type`; ClientGone when it stops halfway
   */
  async read(exchange: Exchange, limits: { maxBytes?: number } = {}): Promise<RequestBody> {
    const { request } = exchange;
    const maxBytes = Math.min(limits.maxBytes ?? Infinity, this.#maxBodyBytes);
    const declared = request.headers['content-length'];
    const coding = declared === undefined ? request.headers['transfer-encoding'] : undefined;
    if (coding !== undefined) {
      refuseTransferCoding(coding);
      return this.#collectInRoom(exchange, maxBytes);
    }
    const declaredBytes = Number(declared ?? 0);
    if (declaredBytes > maxBytes) throw this.#tooLarge(exchange, maxBytes);
    if (declaredBytes > SMALL_BODY_BYTES) return this.#collectInRoom(exchange, maxBytes);
    // What came in one piece with the head is taken in while this waits: no events for a body that is here already.
    await Promise.resolve();
    if (request.readableLength === declaredBytes) {
      const whole = request.read() as Buffer | null;
      // Nothing is left but its end.
      request.resume();
      return { chunks: whole === null ? [] : [whole], byteCount: declaredBytes, release: HELD_NOTHING };
    }
    return this.#collectInRoom(exchange, maxBytes);
  }

  async #collectInRoom(exchange: Exchange, maxBytes: number): Promise<RequestBody> {
    const share = new BodyShare();
    const release = (): void => {
      this.#room.release(share);
    };
    try {
      return { ...(await this.#collect(exchange, { share, maxBytes })), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** A small part of any body is read at once, and needs no share. */
  #collect(
    exchange: Exchange,
    { share, maxBytes }: { share: BodyShare; maxBytes: number },
  ): Promise<Omit<RequestBody, 'release'>> {
    const { request, response } = exchange;
    if (exchange.awaitsContinue) response.writeContinue();
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let byteCount = 0;
      const take = (chunk: Buffer): void => {
        byteCount += chunk.length;
        if (byteCount > maxBytes) {
          chunks.length = 0;
          request.off('data', take);
          reject(this.#tooLarge(exchange, maxBytes));
          return;
        }
        chunks.push(chunk);
        if (byteCount <= Math.max(SMALL_BODY_BYTES, share.heldBytes)) return;
        const hasGrown = this.#room.grow(share, () => request.resume());
        if (!hasGrown) request.pause();
      };
      request.on('data', take);
      request.on('end', () => {
        resolve({ chunks, byteCount });
      });
      // Before its end, or too late to matter.
      request.on('close', () => {
        reject(new ClientGone());
      });
    });
  }

  /** What still comes is dropped for a moment; then the connection is cut. */
  #tooLarge(exchange: Exchange, maxBytes: number): FastQueueError {
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
      maxBytes < this.#maxBodyBytes
        ? `The body of this request may have ${maxBytes} bytes. Nothing was written.`
        : `The body of a request may have ${maxBytes} bytes (--max-body). Send it in parts. Nothing was written.`,
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
