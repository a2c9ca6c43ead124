/**
 * The sync of the mark that no acknowledgement waits for: at most a second after the mark has moved, and when the log is
 * closed. After a crash the mark is then never more than a second of records behind.
 */
import type { HighWatermark } from './format/high-watermark.ts';
import type { FileHandle } from './io/file-system.ts';
import { MARK_SYNC_DELAY_MS } from './limits.ts';
import { renewMark } from './mark-file.ts';

export class DeferredMarkSync {
  readonly #options: { readonly sync: () => Promise<void>; readonly onFailure: (error: unknown) => void };
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> = Promise.resolve();
  #hasFailed = false;

  /** @param options.sync syncs the mark's file, whichever that is by then */
  constructor(options: { sync: () => Promise<void>; onFailure: (error: unknown) => void }) {
    this.#options = options;
  }

  /** The mark has moved. */
  schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#begin();
    }, MARK_SYNC_DELAY_MS).unref();
  }

  /** Syncs now what is still to be synced; resolves when a sync under way has ended, too. */
  async finish(): Promise<void> {
    if (this.#timer !== undefined) this.#begin();
    await this.#underWay;
  }

  /**
   * Syncs the mark at once, since what comes next rests on it.
   *
   * @throws FastQueueError with the disk's own code: then it has to be repeated, as any that failed
   */
  async now(markFile: FileHandle): Promise<void> {
    try {
      await markFile.datasync();
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  /** True after a sync that failed, until it was repeated. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** After a failed sync the kernel may believe the page clean: it is made dirty again before it is synced. */
  async repeat(markFile: FileHandle, mark: HighWatermark): Promise<void> {
    await renewMark(markFile, mark);
    this.#hasFailed = false;
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#underWay = this.#underWay.then(() => this.#sync());
  }

  async #sync(): Promise<void> {
    try {
      await this.#options.sync();
    } catch (error) {
      this.#hasFailed = true;
      this.#options.onFailure(error);
    }
  }
}
