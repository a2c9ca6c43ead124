/**
 * What a server says on stderr: a line for what went wrong and, with `--verbose`, one for every request. As text or as
 * JSON, each line with its time.
 */
import type { ServerLog } from '../../server/server.ts';
import { writeStderr } from '../messages.ts';

export interface ServeLogOptions {
  readonly format: 'text' | 'json';
  readonly wantsRequests: boolean;
}

export class ServeLog implements ServerLog {
  readonly wantsRequests: boolean;
  readonly #format: ServeLogOptions['format'];

  constructor(options: ServeLogOptions) {
    this.wantsRequests = options.wantsRequests;
    this.#format = options.format;
  }

  request(entry: { method: string; path: string; status: number; durationMs: number }): void {
    const { method, path, status } = entry;
    const durationMs = Math.round(entry.durationMs * 1000) / 1000;
    // A path is a client's: no character of it may end the line or colour the terminal.
    const shown = JSON.stringify(path).slice(1, -1);
    this.#write('request', `${method} ${shown} ${status} ${durationMs}ms`, {
      method,
      path,
      status,
      durationMs,
    });
  }

  warn(sentence: string): void {
    this.#write('warning', `warning: ${sentence}`, { message: sentence });
  }

  failure(error: unknown): void {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#write('failure', `error: FastQueue met a case it does not know. ${message}`, { message });
  }

  #write(type: string, text: string, fields: object): void {
    const time = new Date().toISOString();
    writeStderr(this.#format === 'json' ? JSON.stringify({ type, time, ...fields }) : `${time} ${text}`);
  }
}
