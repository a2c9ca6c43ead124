/**
 * What every command has in common: the global flags, how arguments are parsed and refused, where the data directory
 * is, and how a command speaks. A command parses, calls one use-case and hands its report to a view; it sets
 * `process.exitCode` where a report asks for another status than 0, and throws FastQueueError for everything that fails.
 *
 * oclif's own error handling, exit and logging are not used: main.ts reports, drains and exits, once, for everybody.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Command } from '@oclif/core/command';
import type { FlagInput, Input, ParserOutput } from '@oclif/core/interfaces';
import { parse } from '@oclif/core/parser';
import {
  dataDirectorySuffix,
  jsonPieces,
  openDataDirectory,
  shellWord,
  type CommandPlace,
  type DataDirectory,
  type DataDirectoryOptions,
} from '../engine/index.ts';
import { resolveCommandSettings } from './command-settings.ts';
import { bare, bareFlagValues, guardFlagValues } from './flag-values.ts';
import { GLOBAL_FLAGS } from './flags.ts';
import { Messages } from './messages.ts';
import { stdout, writePieces } from './output.ts';
import { usageError } from './report-error.ts';
import { fromParserError } from './usage.ts';
import { retentionSentence } from './views/compact-view.ts';
import { Progress } from './views/progress.ts';

/** The values of the flags that every command has. */
export interface GlobalFlags {
  readonly 'data-dir'?: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly 'no-color': boolean;
  readonly 'lock-timeout'?: number | undefined;
}

type Dictionary = Record<string, unknown>;

export abstract class BaseCommand extends Command implements CommandPlace {
  static override baseFlags = GLOBAL_FLAGS;

  /** How to speak on stderr: as `--quiet`, `--verbose` and `--json` ask. Set by `parse`. */
  protected messages = new Messages({ isQuiet: false, isVerbose: false, isJson: false });

  /** What stands behind every command that is printed: the data directory, where a flag named it. Set by `parse`. */
  commandSuffix = '';

  /** What was typed behind each flag; of one without a value, the flag. */
  readonly #given = new Map<string, string>();

  abstract override run(): Promise<void>;

  /** @throws FastQueueError `invalid_argument` for wrong usage */
  protected override async parse<F extends Dictionary, B extends Dictionary, A extends Dictionary>(
    options?: Input<F, B, A>,
    argv = this.argv,
  ): Promise<ParserOutput<F, B, A>> {
    const command = (options ?? this.ctor) as Input<F, B, A>;
    const flags = { ...this.ctor.baseFlags, ...command.flags } as FlagInput;
    this.parsed = true;
    try {
      const parsed = await parse<F, B, A>(guardFlagValues(argv, flags), {
        ...command,
        flags: bareFlagValues(flags),
        context: this,
      } as Input<F, B, A>);
      for (const token of parsed.raw)
        if (token.type === 'flag') this.#given.set(token.flag, bare(token.input));
      const global = parsed.flags as unknown as GlobalFlags;
      this.messages = messagesFor(global);
      if (this.#given.has('data-dir')) this.commandSuffix = dataDirectorySuffix(global['data-dir'] ?? '');
      return parsed;
    } catch (error) {
      throw fromParserError(error, {
        name: this.ctor.id.replaceAll(':', ' '),
        flagNames: Object.keys(flags),
        argumentNames: Object.keys(command.args ?? {}),
      });
    }
  }

  /**
   * The data directory that the flags name, with the engine's warnings going to stderr.
   *
   * @param options.forWriting how long to wait for a lock matters, so the environment and fastqueue.json are asked too;
   *   readers do without that file
   * @param options.overrides what holds instead, for who lives longer than a command
   */
  protected openDataDirectory(
    flags: GlobalFlags,
    options: { forWriting?: boolean; overrides?: DataDirectoryOptions } = {},
  ): DataDirectory {
    const path = dataDirectoryPath(flags);
    const { values } = resolveCommandSettings(
      options.forWriting === true ? openDataDirectory(path) : undefined,
      { lockTimeoutMs: flags['lock-timeout'] },
    );
    return openDataDirectory(path, {
      map: false,
      commandSuffix: this.commandSuffix,
      lockTimeoutMs: values.lockTimeoutMs,
      onWarning: (sentence) => {
        this.messages.warn(sentence);
      },
      onRetention: (topic, report) => {
        this.messages.info(retentionSentence(topic, report));
      },
      ...options.overrides,
    });
  }

  /** Those of these flags that were given, as they are to be typed again: ` --before 1000 --try-bitflip`. */
  protected given(...names: readonly string[]): string {
    const given = names.filter((name) => this.#given.has(name));
    const valueOf = (name: string): string =>
      this.ctor.flags[name]?.type === 'boolean' ? '' : ` ${shellWord(this.#given.get(name) ?? '')}`;
    return given.map((name) => ` --${name}${valueOf(name)}`).join('');
  }

  /** A progress line for work that may take long; whoever works counts in it, and `stop` takes it away. */
  protected progress(verb: string, options: { isWanted?: boolean } = {}): Progress {
    const { isWanted = true } = options;
    return new Progress(verb, { isShown: isWanted && !this.messages.isQuiet && !this.messages.isJson });
  }

  /** Writes results: text as it is, anything else as one line of JSON. */
  protected async print(result: string | object): Promise<void> {
    await writePieces(stdout(), typeof result === 'string' ? [`${result}\n`] : jsonPieces(result));
  }

  /** Writes results of many lines. */
  protected async printLines(lines: Iterable<string>): Promise<void> {
    await writePieces(stdout(), ended(lines));
  }
}

function* ended(lines: Iterable<string>): Generator<string, void, undefined> {
  for (const line of lines) yield `${line}\n`;
}

/** `--data-dir`, which oclif takes from FASTQUEUE_DATA_DIR too, else `$XDG_DATA_HOME/fastqueue` as oclif has it. */
function dataDirectoryPath(flags: GlobalFlags): string {
  const named = flags['data-dir'];
  if (named === '') throw usageError('--data-dir names no directory: it is empty.');
  // Node has put it in the place of other bytes, so that another directory would be made, the same for many names.
  if (named?.includes('\ufffd') === true)
    throw usageError(`--data-dir: ${JSON.stringify(named)} is not UTF-8. Name a directory that is.`);
  return named ?? join(dataHome(), 'fastqueue');
}

/** A variable that is there and empty says nothing. */
function dataHome(): string {
  const { XDG_DATA_HOME: xdg = '', LOCALAPPDATA: localData = '' } = process.env;
  if (xdg !== '') return xdg;
  return process.platform === 'win32' && localData !== '' ? localData : join(homedir(), '.local/share');
}

function messagesFor(flags: GlobalFlags): Messages {
  if (flags['no-color']) process.env['NO_COLOR'] = '1';
  return new Messages({ isQuiet: flags.quiet, isVerbose: flags.verbose, isJson: flags.json });
}
