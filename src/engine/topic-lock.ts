/**
 * The lock of a topic: an exclusive open-file-description lock on the high-water mark's file.
 *
 * It keeps processes apart. On one descriptor it does not exclude, so inside a process there is one TopicLock per topic
 * directory (by device and inode), with one first-come-first-served queue, and only the head of the queue touches the
 * lock. After it was taken, the descriptor and the path must name one file, else the file is opened again.
 *
 * A kernel wait cannot be cancelled. There is at most one; when it returns late, the lock goes to whoever is first in
 * the queue by then, or is released. The descriptor stays open until it has returned, even after the last close.
 */
import { FastQueueError } from './errors.ts';
import type { FileHandle, FileStatus } from './io/file-system.ts';
import { openMark } from './mark-file.ts';
import { holderPath, markPath, topicNotFound, type TopicContext } from './topic-directory.ts';

/** The exclusive lock, held. */
export interface LockHold {
  /** The locked mark file: read and write the mark through it. Valid until `release`. */
  readonly markFile: FileHandle;
  /** True when it could not be had at once. */
  readonly waited: boolean;
  /**
   * Whether the name still leads to what is locked. Asked again behind whatever was opened by name: where it does not,
   * that may be another topic's, for the directory was moved away under the lock.
   */
  isInPlace(): boolean;
  /** Gives the lock to the next. Calling it twice does nothing. */
  release(): void;
}

interface Waiter {
  readonly grant: (hold: LockHold | 'moved') => void;
  readonly fail: (error: Error) => void;
  /** Undefined until it is known that there is something to wait for. */
  timer: NodeJS.Timeout | undefined;
}

/** The directory was moved away, or another was put in its place, while its lock was held. */
export class TopicMoved extends FastQueueError {
  constructor({ topic, directory }: TopicContext) {
    super(
      'io_error',
      `${directory} was moved or replaced while the topic "${topic}" was being worked on. What has its name now was left alone; try again.`,
      { topic, path: directory },
    );
  }
}

/** Before files are deleted, renamed or replaced by name: never those of a directory that was put in this one's place. @throws TopicMoved */
export function refuseMoved(context: TopicContext, hold: Pick<LockHold, 'isInPlace'>): void {
  if (!hold.isInPlace()) throw new TopicMoved(context);
}

/** A longer timer would go off at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const identityOf = (status: FileStatus): string => `${status.device}:${status.inode}`;

export class TopicLock {
  static readonly #open = new Map<string, TopicLock>();

  readonly #context: TopicContext;
  readonly #directoryIdentity: string;
  readonly #waiters: Waiter[] = [];
  #markFile: FileHandle;
  #references = 0;
  #held = false;
  #waiting = false;
  /** Syncs of the mark under way: its descriptor must outlive them. */
  #syncCount = 0;
  /** Marks that were replaced while a sync of one was under way. */
  readonly #replaced: FileHandle[] = [];

  /**
   * The process's lock for the topic directory, opening the mark for reading and writing if this is the first use.
   * Every `open` needs its `close`.
   *
   * @throws FastQueueError `topic_not_found`; `permission_denied` where the mark may not be written; `damaged` where
   *   there is none
   */
  static open(context: TopicContext): TopicLock {
    const status = context.fileSystem.status(context.directory);
    if (status === undefined) throw topicNotFound(context);
    const identity = identityOf(status);
    let lock = TopicLock.#open.get(identity);
    // A deleted directory's number may be another's by now; the number of a file that is held open is not.
    if (lock === undefined || !lock.#isOf(context)) {
      lock = new TopicLock(context, identity);
      TopicLock.#open.set(identity, lock);
    }
    lock.#references += 1;
    return lock;
  }

  private constructor(context: TopicContext, directoryIdentity: string) {
    this.#context = context;
    this.#directoryIdentity = directoryIdentity;
    this.#markFile = openMark(context, 'update');
  }

  /**
   * False where this is the lock of a directory that is gone, or of a mark that was replaced; or where it was opened by
   * another name (a link) that leads here no more: whoever asked for it would be told for ever that the topic has moved.
   */
  #isOf(context: TopicContext): boolean {
    const path = markPath(context);
    if (this.#markFile.sizeIfNamed(path) === undefined) return context.fileSystem.status(path) === undefined;
    return this.#context.directory === context.directory || this.#markFile.sizeIfNamed() !== undefined;
  }

  /** Syncs the mark as it stands, with or without the lock: only stores are synced by the holder alone. */
  async syncMark(): Promise<void> {
    this.#syncCount += 1;
    try {
      await this.#markFile.datasync();
    } finally {
      this.#syncCount -= 1;
      if (this.#syncCount === 0) for (const replaced of this.#replaced.splice(0)) replaced.close();
      this.#closeIfUnused();
    }
  }

  /**
   * Waits for the lock. `'moved'`: the directory this lock belongs to is no longer the one of that name (the topic was
   * deleted and perhaps created anew): close, and open by name.
   *
   * @throws FastQueueError `locked`, naming the holder, when it was not to be had within `timeoutMs`
   */
  acquire(timeoutMs: number): Promise<LockHold | 'moved'> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        grant: resolve,
        fail: reject,
        timer: undefined,
      };
      this.#waiters.push(waiter);
      this.#serveNext(false);
      // Most often it is had by now.
      if (!this.#waiters.includes(waiter)) return;
      waiter.timer = setTimeout(
        () => {
          this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
          reject(this.#heldByAnother(timeoutMs));
        },
        Math.min(timeoutMs, LONGEST_TIMER_MS),
      );
    });
  }

  /** The lock if it is free this instant and nobody in this process waits for it. */
  tryAcquire(): LockHold | undefined {
    if (this.#held || this.#waiting || this.#waiters.length > 0) return undefined;
    return this.#tryTake() === 'taken' ? this.#hold(false) : undefined;
  }

  /** The descriptor is closed with the last reference, or when the wait under way has returned: until then whoever opens the topic shares it. */
  close(): void {
    this.#references -= 1;
    this.#closeIfUnused();
  }

  #serveNext(waited: boolean): void {
    if (this.#held || this.#waiting || this.#waiters.length === 0) return;
    try {
      switch (this.#tryTake()) {
        case 'taken':
          this.#grantFirst(waited);
          return;
        case 'moved':
          for (const waiter of this.#waiters.splice(0)) {
            clearTimeout(waiter.timer);
            waiter.grant('moved');
          }
          return;
        case 'busy':
          this.#waitForKernel();
      }
    } catch (error) {
      this.#failFirst(error);
    }
  }

  #grantFirst(waited: boolean): void {
    const first = this.#waiters.shift() as Waiter;
    clearTimeout(first.timer);
    first.grant(this.#hold(waited));
  }

  #failFirst(error: unknown): void {
    const first = this.#waiters.shift();
    if (first === undefined) return;
    clearTimeout(first.timer);
    first.fail(error as Error);
    this.#serveNext(false);
  }

  #hold(waited: boolean): LockHold {
    this.#held = true;
    const markFile = this.#markFile;
    let released = false;
    return {
      markFile,
      waited,
      isInPlace: () => markFile.sizeIfNamed() !== undefined,
      release: () => {
        if (released) return;
        released = true;
        this.#held = false;
        markFile.unlock();
        if (this.#references === 0) this.#closeIfUnused();
        else this.#serveNext(false);
      },
    };
  }

  /** One attempt, without waiting. Opens the mark again if it is no longer the file of that name. */
  #tryTake(): 'taken' | 'busy' | 'moved' {
    for (;;) {
      if (!this.#markFile.tryLock()) return 'busy';
      const standing = this.#standingOfLocked(this.#markFile);
      if (standing === 'current') return 'taken';
      this.#markFile.unlock();
      if (standing === 'moved') return 'moved';
      this.#reopenMark();
    }
  }

  #waitForKernel(): void {
    const file = this.#markFile;
    this.#waiting = true;
    file.waitForLock().then(
      () => {
        this.#waiting = false;
        this.#takeLate(file);
      },
      (error: unknown) => {
        this.#waiting = false;
        this.#failFirst(error);
        this.#closeIfUnused();
      },
    );
  }

  /** The wait has ended and the lock is had: by now it may be too late for everybody who asked. */
  #takeLate(file: FileHandle): void {
    let isWanted: boolean;
    try {
      isWanted = this.#waiters.length > 0 && this.#standingOfLocked(file) === 'current';
    } catch (error) {
      this.#failFirst(error);
      this.#closeIfUnused();
      return;
    }
    if (isWanted) {
      this.#grantFirst(true);
      return;
    }
    file.unlock();
    if (this.#references === 0) this.#closeIfUnused();
    else this.#serveNext(true);
  }

  /** Of the file that is locked now. Where it cannot be told whether this is still the mark, nobody may have it. */
  #standingOfLocked(file: FileHandle): 'current' | 'replaced' | 'moved' {
    try {
      return this.#standing();
    } catch (error) {
      file.unlock();
      throw error;
    }
  }

  /** `replaced`: another file has the mark's name. `moved`: the whole directory is another one, or gone. */
  #standing(): 'current' | 'replaced' | 'moved' {
    if (this.#markFile.sizeIfNamed() !== undefined) return 'current';
    const { fileSystem, directory } = this.#context;
    const directoryStatus = fileSystem.status(directory);
    if (directoryStatus === undefined || identityOf(directoryStatus) !== this.#directoryIdentity)
      return 'moved';
    return 'replaced';
  }

  #reopenMark(): void {
    const reopened = openMark(this.#context, 'update');
    if (this.#syncCount === 0) this.#markFile.close();
    else this.#replaced.push(this.#markFile);
    this.#markFile = reopened;
  }

  #closeIfUnused(): void {
    if (this.#references > 0 || this.#held || this.#waiting || this.#syncCount > 0) return;
    // Not before: who opened the topic again and again beside a holder that is stuck would begin a wait each time.
    if (TopicLock.#open.get(this.#directoryIdentity) === this)
      TopicLock.#open.delete(this.#directoryIdentity);
    this.#markFile.close();
  }

  #heldByAnother(timeoutMs: number): FastQueueError {
    const { topic } = this.#context;
    const holder = readHolder(this.#context);
    const who = holder === undefined ? 'another process' : `another process (last writer: ${holder})`;
    return new FastQueueError(
      'locked',
      `The topic "${topic}" is held by ${who} and was not free within ${timeoutMs} ms. ` +
        'Try again, or wait longer with --lock-timeout.',
      { topic },
    );
  }
}

/** Says in the `holder` file who writes here: for messages only, never evidence, not synced, and never worth an error. */
export function writeHolder(context: TopicContext): void {
  try {
    const file = context.fileSystem.open(holderPath(context), 'create');
    try {
      const command = process.argv.slice(1, 4).join(' ');
      const text = Buffer.from(`${process.pid} ${command}\n`);
      file.truncate(0);
      file.write(text, 0);
    } finally {
      file.close();
    }
  } catch {
    // A full disk or a missing directory will be reported by the append itself.
  }
}

function readHolder(context: TopicContext): string | undefined {
  try {
    const file = context.fileSystem.open(holderPath(context), 'read');
    try {
      const bytes = Buffer.alloc(256);
      const text = bytes.toString('utf8', 0, file.read(bytes, 0)).trim();
      return text === '' ? undefined : `pid ${text}`;
    } finally {
      file.close();
    }
  } catch {
    return undefined;
  }
}

/**
 * Runs `use` under the lock of the topic of that name, whichever directory has the name once the lock is had.
 *
 * @throws FastQueueError `locking_unavailable`, `locked`, and what `use` throws
 */
export async function withTopicLock<T>(
  context: TopicContext,
  lockTimeoutMs: number,
  use: (hold: LockHold) => Promise<T>,
): Promise<T> {
  refuseWithoutLocks(context);
  for (;;) {
    const lock = TopicLock.open(context);
    try {
      const hold = await lock.acquire(lockTimeoutMs);
      if (hold === 'moved') continue;
      try {
        return await use(hold);
      } finally {
        hold.release();
      }
    } finally {
      lock.close();
    }
  }
}

/** @throws FastQueueError `locking_unavailable` where this platform has no locks, or nothing can be made durable */
export function refuseWithoutLocks({ fileSystem, topic }: TopicContext): void {
  const refusal = fileSystem.appendRefusal;
  if (refusal !== undefined) throw new FastQueueError('locking_unavailable', refusal, { topic });
}
