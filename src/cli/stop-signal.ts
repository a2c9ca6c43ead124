/**
 * SIGINT, SIGTERM and SIGHUP for commands that have something to finish first: the first one asks them to stop, the second
 * one ends the process at once. Commands that do not listen are ended by the signal itself, with the same status in a shell.
 */
import { EXIT } from './exit-status.ts';

export interface StopSignal {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** The exit status that the signal asks for; undefined while none has come. */
  readonly exitStatus: number | undefined;
}

const STATUS_OF = { SIGHUP: EXIT.hungUp, SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;

class ProcessStopSignal implements StopSignal {
  readonly #controller = new AbortController();
  exitStatus: number | undefined;

  constructor() {
    for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        // Whoever asks twice does not want to wait.
        if (this.exitStatus !== undefined) process.exit(STATUS_OF[name]);
        this.exitStatus = STATUS_OF[name];
        this.#controller.abort();
      });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }
}

let listening: ProcessStopSignal | undefined;

/** Begins to listen; the same object for everybody who asks. */
export function listenForStop(): StopSignal {
  listening ??= new ProcessStopSignal();
  return listening;
}

/** True when a signal has asked the process to stop: then nobody waits long for a reader of its output. */
export function hasBeenStopped(): boolean {
  return listening?.exitStatus !== undefined;
}
