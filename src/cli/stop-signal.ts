/**
 * SIGINT, SIGTERM and SIGHUP for commands that have something to finish first: the first one asks them to stop, the second
 * one ends the process at once. Commands that do not listen are ended by the signal itself, with the same status in a shell.
 */
import { EXIT } from './exit-status.ts';

const STATUS_OF = { SIGHUP: EXIT.hungUp, SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;

let asked: AbortController | undefined;
let status: number | undefined;

/**
 * Begins to listen: what it returns is aborted by the first signal, and the same for everybody who asks. Not to be called
 * before there is something to finish, since whoever still waits for a lock can be ended as they are.
 */
export function listenForStop(): AbortSignal {
  asked ??= listen();
  return asked.signal;
}

function listen(): AbortController {
  const controller = new AbortController();
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      // Whoever asks twice does not want to wait.
      if (status !== undefined) process.exit(STATUS_OF[name]);
      status = STATUS_OF[name];
      controller.abort();
    });
  }
  return controller;
}

/**
 * Calls back so long after the first signal that somebody listens for, or after now if it has come already. What it
 * returns takes that back.
 */
export function afterStop(waitMs: number, callback: () => void): () => void {
  const signal = asked?.signal;
  let timer: NodeJS.Timeout | undefined;
  const start = (): void => {
    timer = setTimeout(callback, waitMs);
  };
  if (signal?.aborted === true) start();
  else signal?.addEventListener('abort', start);
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', start);
  };
}

/** The exit status that a signal has asked for; undefined while none has come. */
export const stopStatus = (): number | undefined => status;
