/**
 * The real disk. Each call is one system call, except that a read goes on until the target is full or the file ends.
 */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf, FastQueueError, fromSystemError } from '../errors.ts';
import {
  isSameFile,
  type FileHandle,
  type FileStatus,
  type FileSystem,
  type OpenMode,
} from './file-system.ts';
import { lockLibrary } from './locks.ts';
import { MemoryMaps } from './memory-map.ts';

/** Of any system's page cache, the least: what lies within one is read by one call or is not there. */
const PAGE_BYTES = 4096;

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** Opening a pipe that bears a file's name must not wait for somebody to write into it. Undefined on Windows, which has none. */
const NO_WAIT = (fs.constants as { O_NONBLOCK?: number }).O_NONBLOCK ?? 0;

/** Where a link bears the name of a file that may be made, what it leads to is not ours to write. Undefined on Windows. */
const NO_LINK = (fs.constants as { O_NOFOLLOW?: number }).O_NOFOLLOW ?? 0;

const OPEN_FLAGS: Readonly<Record<OpenMode, number>> = {
  read: fs.constants.O_RDONLY | NO_WAIT,
  update: fs.constants.O_RDWR | NO_WAIT,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | NO_WAIT | NO_LINK,
  'create-new': fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL | NO_WAIT,
};

/** Runs one system call; what it throws comes out as FastQueueError. */
function attempt<T>(doing: string, path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromSystemError(error, doing, { path });
  }
}

function isErrno(error: unknown, errno: string): boolean {
  return error instanceof FastQueueError && error.details.errno === errno;
}

function toFileStatus(stats: fs.BigIntStats): FileStatus {
  return {
    // Nobody may take a pipe for an empty file, which work that was interrupted leaves and others remove.
    sizeBytes: stats.isFile() ? Number(stats.size) : Math.max(1, Number(stats.size)),
    device: stats.dev,
    inode: stats.ino,
    isDirectory: stats.isDirectory(),
    isFile: stats.isFile(),
    isBrokenLink: stats.isSymbolicLink(),
  };
}

class NodeFileHandle implements FileHandle {
  readonly path: string;
  /** Asked for by `#fd`, which looks whether it is open still. */
  readonly #descriptor: number;
  /** Undefined where nothing is to be mapped. */
  readonly #maps: MemoryMaps | undefined;
  /** The same file, opened so that every write is synced (O_DSYNC); its own descriptor where that is not to be had. */
  #durableFd: number | undefined;
  /** Of the open file, once they were asked for: a descriptor stays with its file, whatever becomes of the name. */
  #numbers: { readonly ino: number; readonly dev: number } | undefined;
  #closed = false;
  /** Calls on other threads that have not returned: the descriptor must outlive them. */
  #underWay = 0;

  constructor(path: string, fd: number, maps?: MemoryMaps) {
    this.path = path;
    this.#descriptor = fd;
    this.#maps = maps;
  }

  /** @throws FastQueueError `closed`: by now the number may be another file's, which must not be written to */
  get #fd(): number {
    if (this.#closed) throw new FastQueueError('closed', `${this.path} was closed.`, { path: this.path });
    return this.#descriptor;
  }

  read(target: Uint8Array, position: number): number {
    const isOnePage = position % PAGE_BYTES <= PAGE_BYTES - target.length;
    let filled = 0;
    while (filled < target.length) {
      const count = attempt('read', this.path, () =>
        fs.readSync(this.#fd, target, filled, target.length - filled, position + filled),
      );
      filled += count;
      if (count === 0 || isOnePage) break;
    }
    return filled;
  }

  write(source: Uint8Array, position: number): number {
    return attempt('write to', this.path, () => fs.writeSync(this.#fd, source, 0, source.length, position));
  }

  async writeDurably(source: Uint8Array, position: number): Promise<number> {
    const own = this.#fd;
    this.#durableFd ??= this.#openDurable();
    const fd = this.#durableFd;
    let written = 0;
    await this.#settle('write to', (done) => {
      fs.write(fd, source, 0, source.length, position, (error, count) => {
        written = count;
        done(error);
      });
    });
    if (fd === own) await this.datasync();
    return written;
  }

  datasync(): Promise<void> {
    return this.#settle('sync', (done) => {
      fs.fdatasync(this.#fd, done);
    });
  }

  datasyncHere(): void {
    attempt('sync', this.path, () => {
      fs.fdatasyncSync(this.#fd);
    });
  }

  sync(): Promise<void> {
    return this.#settle('sync', (done) => {
      fs.fsync(this.#fd, done);
    });
  }

  truncate(sizeBytes: number): void {
    attempt('truncate', this.path, () => {
      fs.ftruncateSync(this.#fd, sizeBytes);
    });
  }

  status(): FileStatus {
    return toFileStatus(attempt('look at', this.path, () => fs.fstatSync(this.#fd, { bigint: true })));
  }

  /**
   * Each append asks this twice, behind a sleep in which the processor's caches have forgotten it: plain numbers are had
   * sooner than bigints then. Where they are exact they tell two files apart as well.
   */
  sizeIfNamed(path = this.path): number | undefined {
    this.#numbers ??= attempt('look at', this.path, () => fs.fstatSync(this.#fd));
    const { ino, dev } = this.#numbers;
    const named = statBehind(path, { bigint: false });
    if (named?.ino !== ino || named.dev !== dev) return undefined;
    if (Number.isSafeInteger(ino) && Number.isSafeInteger(dev)) return named.size;
    return isSameFile(statusBehind(path), this.status()) ? named.size : undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#underWay === 0) this.#closeDescriptors();
  }

  /** Nobody is there any more who could be told of an error. */
  #closeLate(): void {
    try {
      this.#closeDescriptors();
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
    }
  }

  #closeDescriptors(): void {
    attempt('close', this.path, () => {
      try {
        if (this.#durableFd !== undefined && this.#durableFd !== this.#descriptor)
          fs.closeSync(this.#durableFd);
      } finally {
        fs.closeSync(this.#descriptor);
      }
    });
  }

  tryLock(options: { shared?: boolean } = {}): boolean {
    return attempt('lock', this.path, () =>
      locks().tryLock(this.#fd, 0, 0, { shared: options.shared === true }),
    );
  }

  async waitForLock(): Promise<void> {
    try {
      await locks().waitForLock(this.#fd);
    } catch (error) {
      throw fromSystemError(error, 'lock', { path: this.path });
    }
  }

  unlock(): void {
    attempt('unlock', this.path, () => {
      locks().unlock(this.#fd);
    });
  }

  map(byteCount: number): Buffer | undefined {
    return this.#maps?.of(this.#fd, byteCount);
  }

  /**
   * Where the name leads to another file by now, or none more can be opened, the file's own descriptor, synced after each
   * write; and on macOS, where a synced write may stay in the disk's own cache, which Node's `fdatasync` empties.
   */
  #openDurable(): number {
    if (process.platform === 'darwin') return this.#fd;
    let opened: number | undefined;
    try {
      opened = fs.openSync(this.path, fs.constants.O_WRONLY | fs.constants.O_DSYNC | NO_WAIT);
      const [ours, its] = [this.#fd, opened].map((fd) => fs.fstatSync(fd, { bigint: true }));
      if (ours?.ino === its?.ino && ours?.dev === its?.dev) return opened;
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
    }
    if (opened !== undefined) fs.closeSync(opened);
    return this.#fd;
  }

  #settle(doing: string, start: (done: (error: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      start((error) => {
        this.#underWay -= 1;
        if (this.#closed && this.#underWay === 0) this.#closeLate();
        if (error === null) {
          resolve();
          return;
        }
        const failure = fromSystemError(error, doing, { path: this.path });
        reject(failure instanceof Error ? failure : error);
      });
      this.#underWay += 1;
    });
  }
}

/** Of what a name leads to; undefined where that is nothing: no file, or a link to none or to itself. */
function statBehind(path: string, options: { bigint: false }): fs.Stats | undefined;
function statBehind(path: string, options: { bigint: true }): fs.BigIntStats | undefined;
function statBehind(path: string, { bigint }: { bigint: boolean }): fs.Stats | fs.BigIntStats | undefined {
  try {
    return attempt('look at', path, () => fs.statSync(path, { bigint, throwIfNoEntry: false }));
  } catch (error) {
    if (isErrno(error, 'ELOOP')) return undefined;
    throw error;
  }
}

function statusBehind(path: string): FileStatus | undefined {
  const stats = statBehind(path, { bigint: true });
  return stats === undefined ? undefined : toFileStatus(stats);
}

/** @throws FastQueueError as the system says; of a link to what is not there and of a socket, what they are */
function openDescriptor(path: string, mode: OpenMode): number {
  try {
    return attempt('open', path, () => fs.openSync(path, OPEN_FLAGS[mode], FILE_MODE));
  } catch (error) {
    if (!['ENOENT', 'ENXIO', 'EISDIR', 'ELOOP'].some((errno) => isErrno(error, errno))) throw error;
    refuseBrokenLink(dirname(path));
    refuseBrokenLink(path);
    // A link that leads somewhere, where none may be opened.
    if (isErrno(error, 'ELOOP')) throw error;
    const stats = fs.lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined || stats.isFile()) throw error;
    throw notAFile(path, stats);
  }
}

/** What is behind a link to a volume that is not mounted is not missing: it cannot be looked at. @throws FastQueueError `io_error` */
function refuseBrokenLink(path: string): void {
  const stats = fs.lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isSymbolicLink() !== true || fs.existsSync(path)) return;
  throw notAFile(path, stats);
}

/** The refusal of what bears a file's or a topic's name and is none: said as itself, like anything else that the disk says no to. */
function notAFile(path: string, stats: fs.Stats): FastQueueError {
  const kinds = [
    ['a directory', stats.isDirectory()],
    ['a named pipe', stats.isFIFO()],
    ['a socket', stats.isSocket()],
    ['a device', stats.isBlockDevice() || stats.isCharacterDevice()],
  ] as const;
  const kind = kinds.find(([, isThat]) => isThat)?.[0];
  const sentence = stats.isSymbolicLink()
    ? `${path} is a symbolic link to ${fs.readlinkSync(path)}, which is not there. Put back or mount what it points to.`
    : `${path} is ${kind ?? 'something else'}, not a file. Move it away, or put back the file that was there.`;
  return new FastQueueError('io_error', sentence, { path });
}

function locks(): NonNullable<ReturnType<typeof lockLibrary>> {
  const library = lockLibrary();
  if (library === undefined) throw new FastQueueError('locking_unavailable', LOCKING_UNAVAILABLE);
  return library;
}

const LOCKING_UNAVAILABLE =
  `File locks are not available on ${process.platform}-${process.arch}: ` +
  'reading works, appending is refused, since a second writer could not be kept out. ' +
  'Use Linux (glibc) or macOS, or reinstall so that the package fs-native-extensions is present.';

export interface NodeFileSystemOptions {
  /** False: never map a file into memory. Default true. */
  readonly map?: boolean;
}

export class NodeFileSystem implements FileSystem {
  readonly #maps: MemoryMaps | undefined;

  constructor(options: NodeFileSystemOptions = {}) {
    this.#maps = options.map === false ? undefined : new MemoryMaps();
  }

  get appendRefusal(): string | undefined {
    if (process.platform === 'win32') {
      return (
        'Appending is not supported on Windows: locks there are mandatory and directories cannot be synced, ' +
        'so no record could be promised to be durable. Reading works.'
      );
    }
    return lockLibrary() === undefined ? LOCKING_UNAVAILABLE : undefined;
  }

  get locksAvailable(): boolean {
    return lockLibrary() !== undefined;
  }

  open(path: string, mode: OpenMode): FileHandle {
    const fd = openDescriptor(path, mode);
    try {
      const stats = attempt('look at', path, () => fs.fstatSync(fd));
      if (!stats.isFile()) throw notAFile(path, stats);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return new NodeFileHandle(path, fd, this.#maps);
  }

  status(path: string): FileStatus | undefined {
    const behind = statusBehind(path);
    if (behind !== undefined) return behind;
    // A link to what is not there is there itself: a volume that is not mounted is no missing segment.
    const stats = attempt('look at', path, () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }));
    return stats === undefined ? undefined : toFileStatus(stats);
  }

  list(path: string): string[] | undefined {
    try {
      return attempt('list', path, () => fs.readdirSync(path)).sort();
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      refuseBrokenLink(path);
      return undefined;
    }
  }

  makeDirectory(path: string): boolean {
    try {
      attempt('create the directory', path, () => {
        fs.mkdirSync(path, { mode: DIRECTORY_MODE });
      });
      return true;
    } catch (error) {
      if (isErrno(error, 'EEXIST') && this.status(path)?.isDirectory === true) return false;
      throw error;
    }
  }

  rename(from: string, to: string): void {
    attempt('rename', from, () => {
      fs.renameSync(from, to);
    });
  }

  unlink(path: string): boolean {
    try {
      attempt('remove', path, () => {
        fs.unlinkSync(path);
      });
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  removeDirectory(path: string): void {
    attempt('remove the directory', path, () => {
      fs.rmdirSync(path);
    });
  }

  async syncDirectory(path: string): Promise<void> {
    const fd = attempt('open', path, () => fs.openSync(path, OPEN_FLAGS.read));
    const handle = new NodeFileHandle(path, fd);
    try {
      await handle.sync();
    } finally {
      handle.close();
    }
  }

  freeBytes(path: string): number {
    const { bavail, bsize } = attempt('look at the file system of', path, () => fs.statfsSync(path));
    return bavail * bsize;
  }

  isWritable(path: string): boolean {
    try {
      fs.accessSync(path, fs.constants.W_OK);
      return true;
    } catch {
      return false;
    }
  }

  watch(path: string, onChange: () => void): { close(): void } | undefined {
    try {
      const watcher = fs.watch(path, { persistent: false }, onChange);
      // A watch that breaks later (the file's directory was removed) falls silent; the poll goes on.
      watcher.on('error', () => {
        watcher.close();
      });
      return watcher;
    } catch {
      return undefined;
    }
  }
}
