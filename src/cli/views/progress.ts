/**
 * Progress of work that takes over a second, on stderr where that is a terminal: bytes, rate, time left. Whoever works
 * counts; this looks at the count now and then. Never shown with `--quiet` or `--json`. A signal that ends the process
 * takes the line away first; once all is done there is no line, and so nothing to wait for.
 */
import type { Ora } from 'ora';
import { formatSize, monotonicMs } from '../../engine/index.ts';

const FIRST_SHOWN_MS = 1000;
const REFRESH_MS = 200;
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export class Progress {
  /** Bytes there are to do; undefined where nobody knows. */
  totalBytes: number | undefined;
  readonly #verb: string;
  readonly #startedAtMs = monotonicMs();
  #timer: NodeJS.Timeout | undefined;
  #spinner: Ora | undefined;
  #doneBytes = 0;
  #isStopped = false;

  /** @param verb what is being done: `storing` */
  constructor(verb: string, options: { isShown: boolean }) {
    this.#verb = verb;
    // A terminal that does not say how wide it is cannot be drawn on.
    if (options.isShown && process.stderr.isTTY && process.stderr.columns > 0) {
      this.#timer = setInterval(() => {
        void this.#show();
      }, REFRESH_MS).unref();
    }
  }

  /** Bytes done so far. */
  get doneBytes(): number {
    return this.#doneBytes;
  }

  set doneBytes(byteCount: number) {
    this.#doneBytes = byteCount;
    if (this.#isDone()) this.#hide();
  }

  /** Takes the line away for good. */
  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.#hide();
  }

  /** The line as it stands: `storing 1.5 GiB of 2 GiB, 600.1 MiB/s, 1 s left`. */
  describe(elapsedMs: number): string {
    const bytesPerSecond = Math.round((this.doneBytes / elapsedMs) * 1000);
    const rate = `${formatSize(bytesPerSecond)}/s`;
    if (this.totalBytes === undefined) return `${this.#verb} ${formatSize(this.doneBytes)}, ${rate}`;
    const done = `${this.#verb} ${formatSize(this.doneBytes)} of ${formatSize(this.totalBytes)}`;
    // Until something is done nobody can tell how long the rest takes.
    if (bytesPerSecond <= 0) return done;
    const secondsLeft = Math.max(0, Math.ceil((this.totalBytes - this.doneBytes) / bytesPerSecond));
    return `${done}, ${rate}, ${secondsLeft} s left`;
  }

  /** The spinner is loaded when there is something to show, which for most commands is never. */
  async #show(): Promise<void> {
    const elapsedMs = monotonicMs() - this.#startedAtMs;
    if (elapsedMs < FIRST_SHOWN_MS) return;
    const { default: ora } = await import('ora');
    if (this.#isStopped || this.#isDone()) return;
    if (this.#spinner === undefined) for (const name of ENDING_SIGNALS) process.on(name, this.#onSignal);
    // Standard input is the command's own: the spinner must not touch it.
    this.#spinner ??= ora({ stream: process.stderr, discardStdin: false, hideCursor: false }).start();
    this.#spinner.text = this.describe(elapsedMs);
  }

  #isDone(): boolean {
    return this.totalBytes !== undefined && this.#doneBytes >= this.totalBytes;
  }

  #hide(): void {
    for (const name of ENDING_SIGNALS) process.off(name, this.#onSignal);
    this.#spinner?.stop();
    this.#spinner = undefined;
  }

  /** Whoever else listens for the signal decides what comes of it; else it does what it would have done. */
  readonly #onSignal = (name: NodeJS.Signals): void => {
    this.stop();
    if (process.listenerCount(name) === 0) process.kill(process.pid, name);
  };
}
