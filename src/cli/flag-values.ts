/**
 * Values that begin with a hyphen. oclif takes every such value for a flag whose letter there is, also behind an equals
 * sign: `-o -0`, `--since=-0.5h`, `-f '-offset %o'` would be said to have none. They are guarded from its parser, and bare
 * again before anybody reads them.
 */
import type { FlagInput } from '@oclif/core/interfaces';
import { usageError } from './report-error.ts';

/** No argument of a process can hold it. */
const GUARD = '\0';

/** Here a negative number behind the flag is a number, also where it reads like a flag: `-o -0`. */
const WITH_NEGATIVE_NUMBERS: ReadonlySet<string> = new Set(['offset', 'since', 'until']);

/**
 * The arguments for oclif's parser. What stands by itself behind a flag and is a flag word for word is left to it: there
 * a value was forgotten.
 *
 * @throws FastQueueError `invalid_argument` for a value of a flag that takes none, which would become an argument
 */
export function guardFlagValues(argv: readonly string[], flags: FlagInput): string[] {
  const guarded: string[] = [];
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--') return [...guarded, word, ...words];
    const found = word.startsWith('--') ? longFlag(word, flags) : shortFlag(word, flags);
    if (found === undefined) {
      guarded.push(word);
      continue;
    }
    const { name, written, value } = found;
    if (value !== undefined) {
      guarded.push(`${written}=${guard(value)}`);
      continue;
    }
    guarded.push(written);
    const next = words.shift();
    if (next !== undefined) guarded.push(isForgotten(next, name, flags) ? next : guard(next));
  }
  return guarded;
}

/** The flags, reading values as they were typed. */
export function bareFlagValues(flags: FlagInput): FlagInput {
  const entries = Object.entries(flags).map(([name, flag]): [string, FlagInput[string]] => {
    if (flag.type !== 'option') return [name, flag];
    const parse: typeof flag.parse = (text, context, options) => flag.parse(bare(text), context, options);
    return [name, { ...flag, parse }];
  });
  return Object.fromEntries(entries);
}

/** A value as it was typed. */
export const bare = (value: string): string => (value.startsWith(GUARD) ? value.slice(1) : value);

const guard = (value: string): string => (value.startsWith('-') ? GUARD + value : value);

/** A flag that takes a value, as it is written, and the value if that is part of the same word. */
interface FlagWord {
  readonly name: string;
  readonly written: string;
  readonly value: string | undefined;
}

function longFlag(word: string, flags: FlagInput): FlagWord | undefined {
  const equals = word.indexOf('=');
  const written = equals === -1 ? word : word.slice(0, equals);
  const name = written.slice(2);
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
  if (flag?.type === 'boolean' && equals !== -1) throw usageError(`${written} takes no value: ${word}.`);
  if (!takesAnyValue(flag)) return undefined;
  return { name, written, value: equals === -1 ? undefined : word.slice(equals + 1) };
}

/** Of several letters in one word the first that takes a value has the rest of the word. */
function shortFlag(word: string, flags: FlagInput): FlagWord | undefined {
  if (!word.startsWith('-')) return undefined;
  for (let at = 1; at < word.length; at++) {
    const [name, flag] = flagOf(word[at] as string, flags) ?? [];
    if (name === undefined || (flag?.type === 'option' && !takesAnyValue(flag))) return undefined;
    if (flag?.type !== 'option') continue;
    const rest = word.slice(at + 1);
    return { name, written: word.slice(0, at + 1), value: rest === '' ? undefined : rest.replace(/^=/, '') };
  }
  return undefined;
}

/** Those that take one of a few words cannot have one that begins with a hyphen. */
const takesAnyValue = (flag: FlagInput[string] | undefined): boolean =>
  flag?.type === 'option' && flag.options === undefined;

function flagOf(letter: string, flags: FlagInput): [string, FlagInput[string]] | undefined {
  return Object.entries(flags).find(
    ([, { char, charAliases }]) => char === letter || charAliases?.includes(letter as 'a') === true,
  );
}

function isForgotten(word: string, behind: string, flags: FlagInput): boolean {
  if (/^-\d/.test(word) && WITH_NEGATIVE_NUMBERS.has(behind)) return false;
  if (word.startsWith('--')) return Object.hasOwn(flags, word.slice(2));
  return word.length === 2 && word.startsWith('-') && flagOf(word[1] as string, flags) !== undefined;
}
