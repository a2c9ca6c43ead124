/**
 * How the value of a flag is read (by a parser that throws a sentence), and the flags that several commands share.
 */
import { boolean, custom, string } from '@oclif/core/flags';
import type { OptionFlag } from '@oclif/core/interfaces';
import { FastQueueError, MAX_JOBS, parseDuration, parseSize } from '../engine/index.ts';
import { settingFlag } from './command-settings.ts';
import { FlagValueError } from './usage.ts';

export interface ValueFlagOptions {
  readonly char?: NonNullable<OptionFlag<unknown>['char']>;
  readonly charAliases?: NonNullable<OptionFlag<unknown>['charAliases']>;
  readonly summary: string;
  /** Stands for the value in help: `SIZE`. */
  readonly valueName: string;
  /** Names of flags that contradict this one. */
  readonly exclusive?: string[];
  readonly env?: string;
}

/**
 * A flag whose value `read` turns into what the command works with.
 *
 * @param read throws FastQueueError `invalid_argument` with a sentence that names the right form
 */
export function valueFlag<T>(
  name: string,
  read: (text: string) => T,
  options: ValueFlagOptions,
): OptionFlag<T | undefined> {
  const { valueName, ...rest } = options;
  const flag: unknown = custom<unknown>({
    parse: (text) => {
      try {
        return Promise.resolve(read(text));
      } catch (error) {
        if (!(error instanceof FastQueueError)) throw error;
        return Promise.reject(new FlagValueError(`--${name}: ${error.message}`));
      }
    },
    helpValue: valueName,
    ...rest,
  })();
  return flag as OptionFlag<T | undefined>;
}

/** A size in bytes: `64k 10MB 1GiB`. */
export const sizeFlag = (
  name: string,
  options: Omit<ValueFlagOptions, 'valueName'>,
): OptionFlag<number | undefined> => valueFlag(name, parseSize, { ...options, valueName: 'SIZE' });

/** A duration in milliseconds: `500ms 10s 7d`. */
export const durationFlag = (
  name: string,
  options: Omit<ValueFlagOptions, 'valueName'>,
): OptionFlag<number | undefined> => valueFlag(name, parseDuration, { ...options, valueName: 'DURATION' });

/** How many threads read: 1 to 64, by default as many as there are processors, four at most. */
export const jobsFlag = (summary: string): OptionFlag<number | undefined> =>
  valueFlag('jobs', parseJobs, { summary, valueName: 'N' });

function parseJobs(text: string): number {
  const jobs = parseCount(text);
  if (jobs >= 1 && jobs <= MAX_JOBS) return jobs;
  throw new FastQueueError('invalid_argument', `${text} is not a number of threads from 1 to ${MAX_JOBS}.`);
}

/** A whole number from 0 to 2^53 − 1. */
export const countFlag = (
  name: string,
  options: Omit<ValueFlagOptions, 'valueName'>,
): OptionFlag<number | undefined> => valueFlag(name, parseCount, { ...options, valueName: 'N' });

function parseCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(count)) {
    throw new FastQueueError(
      'invalid_argument',
      `${JSON.stringify(text)} is not a whole number from 0 to 2^53 − 1.`,
    );
  }
  return count;
}

/** `-0`, as find, xargs and sort have it; oclif's types know letters only, its parser does not mind. */
export const NUL_CHAR = '0' as 'Z';

/** Of every command that writes, and may have to wait for a topic. */
export const lockTimeoutFlag: OptionFlag<number | undefined> = settingFlag('lockTimeoutMs');

/** The flags of every command. */
export const GLOBAL_FLAGS = {
  'data-dir': string({
    char: 'd',
    summary: 'Where the topics are.',
    helpValue: 'DIR',
    env: 'FASTQUEUE_DATA_DIR',
    helpGroup: 'GLOBAL',
  }),
  json: boolean({ summary: 'Print results as JSON, with stable field names.', helpGroup: 'GLOBAL' }),
  quiet: boolean({ char: 'q', summary: 'No summaries and no progress on stderr.', helpGroup: 'GLOBAL' }),
  verbose: boolean({
    char: 'v',
    summary: 'consume, serve: say more on stderr.',
    helpGroup: 'GLOBAL',
    exclusive: ['quiet'],
  }),
  'no-color': boolean({ summary: 'No colours (also NO_COLOR=1).', helpGroup: 'GLOBAL' }),
};
