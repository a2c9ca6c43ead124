/**
 * Waiting for the mark to move: notification first, and a poll behind it, because notification is silent on some file
 * systems and cannot be had at all past a user's 128th instance. Readers of one topic in one process share one watch.
 */
import { FOLLOW_POLL_MS, FOLLOW_POLL_UNWATCHED_MS } from './limits.ts';
import type { FileSystem } from './io/file-system.ts';
import { monotonicMs } from './monotonic.ts';
import { markPath, type TopicContext } from './topic-directory.ts';

/** How long mark and store must have stood still before a follower looks for what a dead writer left. */
const STILL_MS = 1000;

/** One notification of a file, told to everybody in this process who waits for it. */
class SharedWatch {
  static readonly #open = new WeakMap<FileSystem, Map<string, SharedWatch>>();

  readonly #listeners: Set<() => void>;
  readonly #watcher: { close(): void };
  readonly #forget: () => void;

  /** Calls `listener` whenever the file that has this name now is written. Undefined where that cannot be had. */
  static subscribe(context: TopicContext, listener: () => void): { close(): void } | undefined {
    const { fileSystem } = context;
    const path = markPath(context);
    const status = fileSystem.status(path);
    if (status === undefined) return undefined;
    // A topic that was deleted and made anew has the same name and another file.
    const key = `${status.device}:${status.inode}:${path}`;
    const open = SharedWatch.#open.get(fileSystem) ?? new Map<string, SharedWatch>();
    SharedWatch.#open.set(fileSystem, open);
    let shared = open.get(key);
    if (shared === undefined) {
      const listeners = new Set<() => void>();
      const watcher = fileSystem.watch(path, () => {
        for (const each of listeners) each();
      });
      if (watcher === undefined) return undefined;
      shared = new SharedWatch({ listeners, watcher, forget: () => open.delete(key) });
      open.set(key, shared);
    }
    return shared.#add(listener);
  }

  private constructor(parts: { listeners: Set<() => void>; watcher: { close(): void }; forget: () => void }) {
    this.#listeners = parts.listeners;
    this.#watcher = parts.watcher;
    this.#forget = parts.forget;
  }

  #add(listener: () => void): { close(): void } {
    this.#listeners.add(listener);
    return {
      close: () => {
        if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return;
        this.#forget();
        this.#watcher.close();
      },
    };
  }
}

export class MarkWatch {
  readonly #hasMoved: () => boolean;
  readonly #onStill: () => Promise<void>;
  readonly #watcher: { close(): void } | undefined;
  #wake: (() => void) | undefined;

  /** Watching begins now: what happens between this and `wait` is not missed, since `wait` looks first. */
  constructor(context: TopicContext, callbacks: { hasMoved: () => boolean; onStill: () => Promise<void> }) {
    this.#hasMoved = callbacks.hasMoved;
    this.#onStill = callbacks.onStill;
    this.#watcher = SharedWatch.subscribe(context, () => this.#wake?.());
  }

  async wait(options: { timeoutMs?: number; signal?: AbortSignal }): Promise<'more' | 'timeout' | 'aborted'> {
    const began = monotonicMs();
    const deadline = options.timeoutMs === undefined ? Infinity : began + options.timeoutMs;
    const pollMs = this.#watcher === undefined ? FOLLOW_POLL_UNWATCHED_MS : FOLLOW_POLL_MS;
    let stillSince = began;
    for (;;) {
      if (this.#hasMoved()) return 'more';
      const now = monotonicMs();
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
