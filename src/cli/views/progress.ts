/**
 * Progress of work that takes over a second, on stderr where that is a terminal: bytes, rate, time left. Whoever works
 * counts; this looks at the count now and then. Never shown with `--quiet` or `--json`.
 */
import { formatSize } from '../../engine/index.ts';

const FIRST_SHOWN_MS = 1000;
const REFRESH_MS = 200;

/** To the first column, and nothing to its right. */
const CLEAR_LINE = '\r\u001b[K';

export class Progress {
  /** Bytes done so far. */
  doneBytes = 0;
  /** Bytes there are to do; undefined where nobody knows. */
  totalBytes: number | undefined;
  readonly #verb: string;
  readonly #startedAtMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #isOnScreen = false;

  /** @param verb what is being done: `storing` */
  constructor(verb: string, options: { isShown: boolean }) {
    this.#verb = verb;
    if (options.isShown && process.stderr.isTTY) {
      this.#timer = setInterval(() => {
        this.#show();
      }, REFRESH_MS).unref();
    }
  }

  /** Takes the line away. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#isOnScreen) process.stderr.write(CLEAR_LINE);
    this.#isOnScreen = false;
  }

  /** The line as it stands: `storing 1.5 GiB of 2 GiB, 600.1 MiB/s, 1 s left`. */
  describe(elapsedMs: number): string {
    const bytesPerSecond = Math.round((this.doneBytes / elapsedMs) * 1000);
    const rate = `${formatSize(bytesPerSecond)}/s`;
    if (this.totalBytes === undefined) return `${this.#verb} ${formatSize(this.doneBytes)}, ${rate}`;
    const secondsLeft = Math.max(
      0,
      Math.ceil((this.totalBytes - this.doneBytes) / Math.max(1, bytesPerSecond)),
    );
    return `${this.#verb} ${formatSize(this.doneBytes)} of ${formatSize(this.totalBytes)}, ${rate}, ${secondsLeft} s left`;
  }

  #show(): void {
    const elapsedMs = performance.now() - this.#startedAtMs;
    if (elapsedMs < FIRST_SHOWN_MS) return;
    process.stderr.write(`${CLEAR_LINE}${this.describe(elapsedMs)}`);
    this.#isOnScreen = true;
  }
}
