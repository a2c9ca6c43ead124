/**
 * What the exit status of a command means. Errors carry theirs in ERROR_TABLE; here are those that are no error of the
 * engine's, and the one place that turns anything thrown into a status.
 */
import { ERROR_TABLE, FastQueueError } from '../engine/index.ts';

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  damage: 3,
  recoveredWithLoss: 4,
  notRecovered: 5,
  conditionFailed: 6,
  timedOut: 124,
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/** The status a command ends with when it throws this. The same with and without `--json`. */
export function exitStatusOf(error: unknown): number {
  return error instanceof FastQueueError ? ERROR_TABLE[error.code].exitCode : EXIT.failed;
}
