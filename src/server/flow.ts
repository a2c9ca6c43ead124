/**
 * Answers of any length to readers of any speed: whoever writes waits until there is room, and a reader that takes
 * nothing for too long is cut.
 */
import { ClientGone, type Exchange } from './exchange.ts';

/**
 * Writes a piece of the body; resolves when there is room for the next.
 *
 * @throws ClientGone once the client has gone away, or was cut
 */
export async function write(
  exchange: Exchange,
  piece: Buffer | string,
  options: { stallTimeoutMs: number },
): Promise<void> {
  if (exchange.isClosed) throw new ClientGone();
  if (exchange.response.write(piece)) return;
  const { response } = exchange;
  // A socket with nobody listening for its timeout is destroyed by it; bytes that are taken start it anew.
  cutWhenStalled(exchange, options);
  await new Promise<void>((resolve, reject) => {
    const settle = (): void => {
      response.off('drain', settle);
      response.off('close', settle);
      if (exchange.isClosed) {
        reject(new ClientGone());
        return;
      }
      response.socket?.setTimeout(0);
      resolve();
    };
    response.once('drain', settle);
    response.once('close', settle);
  });
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
