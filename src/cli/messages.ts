/**
 * What a command says to a person: summaries, warnings, progress. All of it goes to stderr, because stdout carries
 * results only. With `--json` each message is one JSON object on a line of its own.
 */
import { widthOf, wrapWords } from './views/columns.ts';

export interface MessageOptions {
  readonly isQuiet: boolean;
  readonly isVerbose: boolean;
  readonly isJson: boolean;
}

export class Messages {
  readonly isQuiet: boolean;
  readonly isVerbose: boolean;
  readonly isJson: boolean;

  constructor(options: MessageOptions) {
    this.isQuiet = options.isQuiet;
    this.isVerbose = options.isVerbose;
    this.isJson = options.isJson;
  }

  /** What was done; `--quiet` leaves it out. */
  info(sentence: string): void {
    if (!this.isQuiet) this.#say('info', sentence);
  }

  /** What only `--verbose` wants to know. */
  detail(sentence: string): void {
    if (this.isVerbose) this.#say('detail', sentence);
  }

  /** What does not fail the command but should be known, `--quiet` or not. */
  warn(sentence: string): void {
    this.#say('warning', sentence);
  }

  #say(type: 'info' | 'detail' | 'warning', sentence: string): void {
    const prefix = type === 'warning' ? 'warning: ' : '';
    if (this.isJson) writeStderr(JSON.stringify({ type, message: sentence }));
    else writeSentence(`${prefix}${sentence}`);
  }
}

/** A sentence on stderr, broken between words where a terminal is too narrow. */
export function writeSentence(sentence: string): void {
  const lines = wrapWords(sentence, { indent: '', hanging: '  ', columns: widthOf(process.stderr) });
  writeStderr(lines.join('\n'));
}

/** One line on stderr. A reader of stderr that has gone away is nobody's error. */
export function writeStderr(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** To be called once, before anything is written. */
export function forgiveClosedStderr(): void {
  process.stderr.on('error', () => undefined);
}
