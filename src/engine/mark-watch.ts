/**
 * Waiting for the mark to move: notification first, and a poll behind it, because notification is silent on some file
 * systems and cannot be had at all past a user's 128th instance.
 */
import { FOLLOW_POLL_MS, FOLLOW_POLL_UNWATCHED_MS } from './limits.ts';
import { markPath, type TopicContext } from './topic-directory.ts';

/** How long mark and store must have stood still before a follower looks for what a dead writer left. */
const STILL_MS = 1000;

export class MarkWatch {
  readonly #hasMoved: () => boolean;
  readonly #onStill: () => Promise<void>;
  readonly #watcher: { close(): void } | undefined;
  #wake: (() => void) | undefined;

  /** Watching begins now: what happens between this and `wait` is not missed, since `wait` looks first. */
  constructor(context: TopicContext, callbacks: { hasMoved: () => boolean; onStill: () => Promise<void> }) {
    this.#hasMoved = callbacks.hasMoved;
    this.#onStill = callbacks.onStill;
    this.#watcher = context.fileSystem.watch(markPath(context), () => this.#wake?.());
  }

  async wait(options: { timeoutMs?: number; signal?: AbortSignal }): Promise<'more' | 'timeout' | 'aborted'> {
    const began = Date.now();
    const deadline = options.timeoutMs === undefined ? Infinity : began + options.timeoutMs;
    const pollMs = this.#watcher === undefined ? FOLLOW_POLL_UNWATCHED_MS : FOLLOW_POLL_MS;
    let stillSince = began;
    for (;;) {
      if (this.#hasMoved()) return 'more';
      const now = Date.now();
      if (options.signal?.aborted === true) return 'aborted';
      if (now >= deadline) return 'timeout';
      if (now - stillSince >= STILL_MS) {
        stillSince = now;
        await this.#onStill();
        continue;
      }
      await this.#sleep(Math.min(pollMs, deadline - now), options.signal);
    }
  }

  close(): void {
    this.#watcher?.close();
  }

  #sleep(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, durationMs);
      signal?.addEventListener('abort', wake, { once: true });
      this.#wake = wake;
    });
  }
}
