/**
 * Work on a disk in memory, ended at every one of its changes: by an error, by a kill, by a power cut that forgets what
 * was not synced, and by those that keep some of it. Besides, the power is cut once the work is done, and where the
 * process was killed, once the next one has done its work.
 */
import { FastQueueError } from '../../src/engine/errors.ts';
import type { ForgetfulFileSystem } from './forgetful-file-system.ts';
import type { Crash } from './power-loss.ts';

/** `failed`: one change fails, and the process goes on to its end; the power may be cut then. */
export type Ending = 'failed' | Crash;

/** Power cuts, one of each kind. */
export const POWER_CUTS: readonly Crash[] = ['forgotten', 'latest', 'named', 'zeroed', 'journal-1', 1];

export interface Work<Note = undefined> {
  /** A disk as it is before. */
  readonly prepare: () => Promise<ForgetfulFileSystem>;
  readonly run: (disk: ForgetfulFileSystem) => Promise<unknown>;
  /** What must be so of what is left. */
  readonly check: (disk: ForgetfulFileSystem, note: Note) => Promise<void>;
  /** What had been promised when the work was ended: asked then, for `check`. */
  readonly note?: () => Note;
  /**
   * What the next process may do where the first one was killed, or a change of it failed: the power is cut behind it, and then `check` must hold.
   * It finds what was done and not synced, and must not take that for durable. A refusal is as good as success.
   */
  readonly next?: Readonly<Record<string, (disk: ForgetfulFileSystem) => Promise<unknown>>>;
}

/** Another seed at every change. */
function seededBy(crash: Crash, at: number): Crash {
  if (typeof crash === 'number') return crash * 1000 + at;
  return crash.startsWith('journal-') ? `journal-${Number(crash.slice(8)) * 1000 + at}` : crash;
}

interface Left<Note> {
  readonly title: string;
  readonly disk: ForgetfulFileSystem;
  readonly note: Note;
}

/** Ends the work at its every change, in each of these ways, and checks what is left. Returns how often that was. */
export async function endAnywhere<Note = undefined>(
  endings: readonly Ending[],
  work: Work<Note>,
): Promise<number> {
  const { prepare, run, check, next = {} } = work;
  const note = work.note ?? ((): Note => undefined as Note);
  const checked = new Set<string>();
  let endCount = 0;
  const checkAfter = async ({ title, disk, note: noted }: Left<Note>): Promise<void> => {
    endCount += 1;
    const state = `${disk.digest()} ${JSON.stringify(noted)}`;
    if (checked.has(state)) return;
    checked.add(state);
    try {
      await check(disk, noted);
    } catch (error) {
      throw new Error(`${title}: ${String(error)}`, { cause: error });
    }
  };
  const checkLater = async (left: Left<Note>, at: number): Promise<void> => {
    for (const crash of LATER_CRASHES) {
      const seeded = seededBy(crash, at);
      await checkAfter({
        ...left,
        title: `${left.title}, then ${seeded}`,
        disk: left.disk.afterCrash(seeded),
      });
    }
  };
  const crashes = endings.filter((ending) => ending !== 'failed');
  const lefts = await crashAnywhere(await prepare(), { crashes, run, note });
  for (const left of lefts) await checkAfter(left);
  const follow = async (left: Left<Note>, at: number): Promise<void> => {
    for (const [name, doNext] of Object.entries(next)) {
      const later = left.disk.afterCrash('killed');
      await doNext(later).catch(refused);
      await checkLater({ ...left, title: `${left.title}, then ${name}`, disk: later }, at);
    }
  };
  const isFollowed = Object.keys(next).length > 0;
  const killed = isFollowed ? await crashAnywhere(await prepare(), { crashes: ['killed'], run, note }) : [];
  for (const [at, left] of killed.entries()) await follow(left, at);
  for (let at = 1, isOver = !endings.includes('failed'); !isOver; at++) {
    const disk = await prepare();
    const faultAt = disk.changeCount + at;
    disk.fault = { at: faultAt, type: 'fail' };
    await run(disk).catch(refused);
    disk.fault = undefined;
    isOver = disk.changeCount < faultAt;
    const left = { title: `change ${at} failed`, disk, note: note() };
    await checkLater(left, at);
    await follow(left, at);
  }
  return endCount;
}

/** What each crash leaves before each change, and when all is done. A process that dies changes nothing more. */
async function crashAnywhere<Note>(
  disk: ForgetfulFileSystem,
  { crashes, run, note }: { crashes: readonly Crash[]; run: Work['run']; note: () => Note },
): Promise<readonly Left<Note>[]> {
  const lefts: Left<Note>[] = [];
  let at = 0;
  const crash = (): void => {
    at += 1;
    for (const each of crashes) {
      const seeded = seededBy(each, at);
      const title = `ended before change ${at} (${seeded})`;
      lefts.push({ title, disk: disk.afterCrash(seeded), note: note() });
    }
  };
  disk.beforeChange = crash;
  await run(disk);
  disk.beforeChange = undefined;
  crash();
  return lefts;
}

/** What may come behind the next process. `killed`: nothing more happens. */
const LATER_CRASHES: readonly Crash[] = ['killed', 'forgotten', 'journal-1', 1];

/** @throws Error what is no refusal */
function refused(error: unknown): void {
  if (!(error instanceof FastQueueError)) throw error;
}
