/**
 * The one place where an error becomes what the user sees: a sentence on stderr, or with `--json` an object on a line
 * of stderr, and an exit status that is the same either way. Never a stack trace, unless FASTQUEUE_DEBUG asks for one.
 */
import { FastQueueError } from '../engine/index.ts';
import { EXIT, exitStatusOf } from './exit-status.ts';
import { writeSentence, writeStderr } from './messages.ts';

/** Says what went wrong and returns the exit status. */
export function reportError(error: unknown, options: { isJson: boolean }): number {
  const exitStatus = exitStatusOf(error);
  if (options.isJson) writeStderr(JSON.stringify(describeError(error, exitStatus)));
  else writeSentence(sentenceOf(error));
  if (process.env['FASTQUEUE_DEBUG'] !== undefined && error instanceof Error) writeStderr(error.stack ?? '');
  return exitStatus;
}

/**
 * Says everything that went wrong where one failure kept nobody from going on, and sets the exit status: that of damage,
 * if any was found, so that a script which asks for it does not miss it; else that of the first failure.
 */
export function reportFailures(failures: readonly unknown[], options: { isJson: boolean }): void {
  const statuses = failures.map((failure) => reportError(failure, options));
  if (process.exitCode === EXIT.damage) return;
  process.exitCode = statuses.includes(EXIT.damage) ? EXIT.damage : (statuses[0] ?? process.exitCode);
}

function sentenceOf(error: unknown): string {
  if (error instanceof FastQueueError) return `error: ${error.message}`;
  const message = error instanceof Error ? error.message : String(error);
  return `error: FastQueue met a case it does not know (${message}). Run it again with FASTQUEUE_DEBUG=1 and report what it prints.`;
}

/** The error as `--json` prints it: code, sentence, status, and where the details say it happened. */
function describeError(error: unknown, exitStatus: number): Record<string, unknown> {
  if (!(error instanceof FastQueueError)) {
    return { type: 'error', code: 'internal_error', message: sentenceOf(error), exitStatus };
  }
  return {
    type: 'error',
    code: error.code,
    message: error.message,
    exitStatus,
    ...error.details,
    cause: undefined,
  };
}

/** True when the arguments ask for JSON, also where they cannot be parsed. */
export function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}

/** The refusal of wrong usage. */
export function usageError(sentence: string): FastQueueError {
  return new FastQueueError('invalid_argument', sentence);
}
