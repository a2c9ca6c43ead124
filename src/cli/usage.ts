/**
 * Wrong usage, as a sentence that names the right one. oclif's parser says what it met; here it becomes FastQueue's
 * own error, so that exit status and JSON are decided in one place.
 */
import { stripVTControlCharacters } from 'node:util';
import { FastQueueError, nearestName } from '../engine/index.ts';
import { usageError } from './report-error.ts';

/** What the parser knows about the command whose arguments are wrong. */
export interface CommandUsage {
  /** As typed: `topics show`. */
  readonly name: string;
  readonly flagNames: readonly string[];
  readonly argumentNames: readonly string[];
}

/** A value that a flag's own parser refused; oclif rewrites `message`, so the sentence is kept beside it. */
export class FlagValueError extends Error {
  readonly sentence: string;

  constructor(sentence: string) {
    super(sentence);
    this.sentence = sentence;
  }
}

/** An error of the parser as a FastQueueError with exit status 2; anything else as it is. */
export function fromParserError(error: unknown, usage: CommandUsage): unknown {
  if (error instanceof FastQueueError || !(error instanceof Error)) return error;
  if (error instanceof FlagValueError) return usageError(error.sentence);
  if ('flags' in error && Array.isArray(error.flags)) return unknownFlag(String(error.flags[0]), usage);
  if ('args' in error && Array.isArray(error.args)) return wrongArguments(error.args as unknown[], usage);
  if (!('oclif' in error)) return error;
  return usageError(`${oneLine(error.message)} ${seeHelp(usage)}`);
}

/** What oclif says in a line, or as a list below one, without colours and without its own pointer to help. */
function oneLine(message: string): string {
  const lines = stripVTControlCharacters(message)
    .split('\n')
    .map((line) => line.trim().replace(/^(--[a-z-]+)=true /, '$1 '))
    .filter((line) => line !== '' && line !== 'See more help with --help');
  const [first = message, ...list] = lines;
  const sentence = first.endsWith(':') && list.length > 0 ? list.join('; ') : first;
  return sentence.replace(/\.?$/, '.');
}

function unknownFlag(flag: string, usage: CommandUsage): FastQueueError {
  const wanted = flag.replace(/=.*$/s, '');
  const nearest = wanted.startsWith('--') ? nearestName(wanted.slice(2), usage.flagNames) : undefined;
  const hint = nearest === undefined ? seeHelp(usage) : `Did you mean --${nearest}?`;
  return usageError(`There is no flag ${wanted} for "fastqueue ${usage.name}". ${hint}`);
}

/** Missing arguments come as their definitions, superfluous ones as text. */
function wrongArguments(found: readonly unknown[], usage: CommandUsage): FastQueueError {
  const [first] = found;
  if (typeof first === 'string') {
    return usageError(
      `"fastqueue ${usage.name}" takes no argument ${JSON.stringify(first)}. ${seeHelp(usage)}`,
    );
  }
  const names = found.map((argument) => String((argument as { name?: unknown }).name).toUpperCase());
  return usageError(
    `"fastqueue ${usage.name}" needs ${names.join(' and ')}: fastqueue ${usage.name} ${usage.argumentNames.map((name) => name.toUpperCase()).join(' ')}`,
  );
}

function seeHelp(usage: CommandUsage): string {
  return `"fastqueue ${usage.name} --help" lists what there is.`;
}
