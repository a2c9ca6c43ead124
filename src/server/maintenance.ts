/**
 * What a server does for its data directory by itself, every minute: retention, and the rest of killed deletions. What
 * cannot be done now is done the next time.
 */
import type { DataDirectory } from '../engine/index.ts';
import { MAINTENANCE_INTERVAL_MS } from './limits.ts';

export class Maintenance {
  readonly #dataDirectory: DataDirectory;
  readonly #onFailure: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<void> = Promise.resolve();

  /** Begins at once, and goes on until it is stopped. */
  constructor(options: { dataDirectory: DataDirectory; onFailure: (error: unknown) => void }) {
    this.#dataDirectory = options.dataDirectory;
    this.#onFailure = options.onFailure;
    this.#begin();
    this.#timer = setInterval(() => {
      this.#begin();
    }, MAINTENANCE_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Resolves when what is under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#underWay;
  }

  #begin(): void {
    this.#underWay = this.#underWay.then(() => this.#run());
  }

  async #run(): Promise<void> {
    try {
      const { failures } = await this.#dataDirectory.maintain();
      for (const { error } of failures) this.#onFailure(error);
    } catch (error) {
      this.#onFailure(error);
    }
  }
}
