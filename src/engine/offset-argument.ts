/** Offsets as programs give them, which may come from anywhere: a fraction would be looked for without end. */
import { FastQueueError } from './errors.ts';

/**
 * @param what is said to be wrong: `The offset to begin at`
 * @throws FastQueueError `invalid_argument` for anything but a whole number from 0 to MAX_OFFSET
 */
export function refuseNoOffset(what: string, value: unknown): void {
  // The largest is MAX_OFFSET.
  if (Number.isSafeInteger(value) && (value as number) >= 0) return;
  throw new FastQueueError(
    'invalid_argument',
    `${what} must be a whole number from 0; ${String(value)} is not.`,
  );
}
