/**
 * Answers of any length to readers of any speed: whoever writes waits until there is room, and a reader that takes
 * nothing for too long is cut.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { ClientGone, type Exchange } from './exchange.ts';

/** After so many pieces others have their turn, whether the client takes its bytes at once or not. */
const PIECES_PER_TURN = 4;

/** A larger piece, of a record of megabytes, has memory of its own. */
const MAX_HELD_BYTES = 1024 * 1024;

const NOTHING = Buffer.alloc(0);

/** The body of one answer, piece by piece. */
export class PieceWriter {
  readonly #exchange: Exchange;
  readonly #stallTimeoutMs: number;
  /** New memory for each piece, let go of once it was sent, would keep the collector busier than all the rest. */
  #memory = NOTHING;
  #pieceCount = 0;

  constructor(exchange: Exchange, options: { readonly stallTimeoutMs: number }) {
    this.#exchange = exchange;
    this.#stallTimeoutMs = options.stallTimeoutMs;
  }

  /** Copies the parts of the next piece to where it can wait, in place of the piece before, which was written. */
  hold(...parts: readonly Buffer[]): Buffer {
    const byteCount = parts.reduce((sum, part) => sum + part.length, 0);
    if (byteCount > MAX_HELD_BYTES) return Buffer.concat(parts);
    if (this.#memory.length < byteCount) this.#memory = Buffer.allocUnsafe(byteCount);
    let end = 0;
    for (const part of parts) end += part.copy(this.#memory, end);
    return this.#memory.subarray(0, end);
  }

  /** To be called where nothing will be written for a while: thousands may be waiting. */
  letGo(): void {
    this.#memory = NOTHING;
  }

  /**
   * Resolves once the socket has taken the piece, whose memory may then be used again.
   *
   * @throws ClientGone once the client has gone away, or was cut
   */
  async write(piece: Buffer | string): Promise<void> {
    if (this.#exchange.isClosed) throw new ClientGone();
    const { response } = this.#exchange;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error | null): void => {
        response.off('close', settle);
        if (this.#exchange.isClosed || error instanceof Error) reject(new ClientGone());
        else resolve();
      };
      response.once('close', settle);
      response.write(piece, settle);
      // A socket with nobody listening for its timeout is destroyed by it; bytes that are taken start it anew. A small piece
      // that node takes into its own buffer may wait for its reader as long as a large one.
      cutWhenStalled(this.#exchange, { stallTimeoutMs: this.#stallTimeoutMs });
    });
    response.socket?.setTimeout(0);
    this.#pieceCount += 1;
    if (this.#pieceCount % PIECES_PER_TURN === 0) await letOthersRun();
  }
}

/** From now on the connection is cut where nothing moves for too long: before the last piece of a large answer. */
export function cutWhenStalled(exchange: Exchange, options: { stallTimeoutMs: number }): void {
  exchange.response.socket?.setTimeout(options.stallTimeoutMs);
}

/**
 * Aborted when nobody should be kept waiting: the client has gone away or has ended its side of the connection, which
 * look the same until something is written, or the server stops. Call `release` when nobody listens any more.
 */
export function untilNobodyWaits(
  exchange: Exchange,
  stopping: AbortSignal,
): { signal: AbortSignal; release: () => void } {
  const waiting = new AbortController();
  const abort = (): void => {
    waiting.abort();
  };
  const { socket } = exchange.request;
  exchange.response.once('close', abort);
  socket.once('end', abort);
  stopping.addEventListener('abort', abort, { once: true });
  if (stopping.aborted || exchange.isClosed || socket.readableEnded) abort();
  return {
    signal: waiting.signal,
    release: () => {
      exchange.response.off('close', abort);
      socket.off('end', abort);
      stopping.removeEventListener('abort', abort);
    },
  };
}
