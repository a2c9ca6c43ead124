/**
 * Work on a disk in memory, ended at every one of its changes: by an error, by a kill, by a power cut that forgets what
 * was not synced, and by those that keep some of it. Besides, the power is cut once the work is done, and where the
 * process was killed, once the next one has done its work.
 */
import { FastQueueError } from '../../src/engine/errors.ts';
import type { ForgetfulFileSystem } from './forgetful-file-system.ts';
import type { Crash } from './power-loss.ts';

/** `failed`: one change fails, and the process goes on to its end. */
export type Ending = 'failed' | Crash;

/** Power cuts, one of each kind. */
export const POWER_CUTS: readonly Crash[] = ['forgotten', 'named', 'zeroed', 'journal-1', 1, 2];

export interface Work {
  /** A disk as it is before. */
  readonly prepare: () => Promise<ForgetfulFileSystem>;
  readonly run: (disk: ForgetfulFileSystem) => Promise<unknown>;
  /** What must be so of what is left. */
  readonly check: (disk: ForgetfulFileSystem) => Promise<void>;
  /**
   * What the next process may do where the first one was killed: the power is cut behind it, and then `check` must hold.
   * It finds what was done and not synced, and must not take that for durable. A refusal is as good as success.
   */
  readonly next?: Readonly<Record<string, (disk: ForgetfulFileSystem) => Promise<unknown>>>;
}

export async function countChanges(disk: ForgetfulFileSystem, run: () => Promise<unknown>): Promise<number> {
  const before = disk.changeCount;
  await run();
  return disk.changeCount - before;
}

/** Another seed at every change. */
function seededBy(crash: Crash, at: number): Crash {
  if (typeof crash === 'number') return crash * 1000 + at;
  return crash.startsWith('journal-') ? `journal-${Number(crash.slice(8)) * 1000 + at}` : crash;
}

interface Left {
  readonly title: string;
  readonly disk: ForgetfulFileSystem;
}

/** Ends the work at its every change, in each of these ways, and checks what is left. Returns how often that was. */
export async function endAnywhere(endings: readonly Ending[], work: Work): Promise<number> {
  const { prepare, run, check, next = {} } = work;
  const checked = new Set<string>();
  let endCount = 0;
  const checkAfter = async ({ title, disk }: Left): Promise<void> => {
    endCount += 1;
    const contents = disk.digest();
    if (checked.has(contents)) return;
    checked.add(contents);
    try {
      await check(disk);
    } catch (error) {
      throw new Error(`${title}: ${String(error)}`, { cause: error });
    }
  };
  const crashes = endings.filter((ending) => ending !== 'failed');
  const whole = await prepare();
  const { count, lefts } = await crashAnywhere(whole, { crashes, run: () => run(whole) });
  for (const left of lefts) await checkAfter(left);
  const killed = Object.keys(next).length === 0 ? [] : await killAnywhere(work);
  for (const [at, { title, disk }] of killed.entries()) {
    for (const [name, doNext] of Object.entries(next)) {
      const later = disk.afterCrash('killed');
      await doNext(later).catch(refused);
      for (const cut of LATER_CRASHES) {
        const seeded = seededBy(cut, at);
        await checkAfter({ title: `${title}, then ${name}, then ${seeded}`, disk: later.afterCrash(seeded) });
      }
    }
  }
  for (let at = 1; endings.includes('failed') && at <= count; at++) {
    const disk = await prepare();
    disk.fault = { at: disk.changeCount + at, type: 'fail' };
    await run(disk).catch(refused);
    disk.fault = undefined;
    await checkAfter({ title: `change ${at} of ${count} failed`, disk });
  }
  return endCount;
}

/** `killed`: nothing more happens. */
const LATER_CRASHES: readonly Crash[] = ['killed', 'forgotten', 'journal-1', 1];

const killAnywhere = async ({ prepare, run }: Work): Promise<readonly Left[]> => {
  const disk = await prepare();
  return (await crashAnywhere(disk, { crashes: ['killed'], run: () => run(disk) })).lefts;
};

/** What each crash leaves before each change, and when all is done. A process that dies changes nothing more. */
async function crashAnywhere(
  disk: ForgetfulFileSystem,
  { crashes, run }: { crashes: readonly Crash[]; run: () => Promise<unknown> },
): Promise<{ count: number; lefts: readonly Left[] }> {
  const lefts: Left[] = [];
  let at = 0;
  const crash = (): void => {
    at += 1;
    for (const each of crashes) {
      const seeded = seededBy(each, at);
      lefts.push({ title: `ended before change ${at} (${seeded})`, disk: disk.afterCrash(seeded) });
    }
  };
  disk.beforeChange = crash;
  await run();
  disk.beforeChange = undefined;
  const count = at;
  crash();
  return { count, lefts };
}

/** @throws Error what is no refusal */
function refused(error: unknown): void {
  if (!(error instanceof FastQueueError)) throw error;
}
