/**
 * Work on a disk in memory, ended at every one of its changes: by an error, by a kill, by a power cut that forgets what
 * was not synced, and by one that keeps some of it.
 */
import { expect } from 'chai';
import type { Crash, ForgetfulFileSystem } from './forgetful-file-system.ts';

/** `failed`: one change fails, and the process goes on to its end. */
export type Ending = 'failed' | Crash;

export interface Work {
  /** A disk as it is before. */
  readonly prepare: () => Promise<ForgetfulFileSystem>;
  readonly run: (disk: ForgetfulFileSystem) => Promise<unknown>;
  /** What must be so of what is left. */
  readonly check: (disk: ForgetfulFileSystem) => Promise<void>;
}

export async function countChanges(disk: ForgetfulFileSystem, run: () => Promise<unknown>): Promise<number> {
  const before = disk.changeCount;
  await run();
  return disk.changeCount - before;
}

/** Ends the work at its every change, in each of these ways, and checks what is left. Returns how often that was. */
export async function endAnywhere(
  endings: readonly Ending[],
  { prepare, run, check }: Work,
): Promise<number> {
  const whole = await prepare();
  const count = await countChanges(whole, () => run(whole));
  for (let at = 1; at <= count; at++) {
    for (const ending of endings) {
      const disk = await prepare();
      disk.fault = { at: disk.changeCount + at, type: ending === 'failed' ? 'fail' : 'die' };
      let isEnded = false;
      try {
        await run(disk);
      } catch {
        isEnded = true;
      }
      disk.fault = undefined;
      if (ending !== 'failed') expect(isEnded, `ended at change ${at}`).to.equal(true);
      try {
        await check(ending === 'failed' ? disk : disk.afterCrash(ending));
      } catch (error) {
        throw new Error(`ended at change ${at} of ${count} (${ending}): ${String(error)}`, { cause: error });
      }
    }
  }
  return count * endings.length;
}
