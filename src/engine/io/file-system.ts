/**
 * The interface through which the engine touches the disk, and nothing else does. Tests put a failing or a forgetful
 * file system behind it.
 *
 * Everything throws FastQueueError with `details.errno` and `details.path`: a disk error is said as itself.
 * Calls are synchronous where they answer from the page cache (a `pread` costs about 2 µs, the same call through the
 * thread pool over 40) and return promises where they wait for the disk or for another process, but for `datasyncHere`.
 */

export interface FileStatus {
  /** Of what is no regular file (a directory, a pipe, a link to what is not there) at least 1. */
  readonly sizeBytes: number;
  /** Device and inode together name a file whatever it is called; bigint, since both may pass 2^53. */
  readonly device: bigint;
  readonly inode: bigint;
  readonly isDirectory: boolean;
  /** False of a directory, a pipe, a link to nothing. */
  readonly isFile: boolean;
  /** True of a link to what is not there: a volume that is not mounted, say. */
  readonly isBrokenLink: boolean;
}

/** Whether both are the same file; where either is missing it is not. */
export const isSameFile = (one: FileStatus | undefined, other: FileStatus | undefined): boolean =>
  one !== undefined && one.inode === other?.inode && one.device === other.device;

/**
 * How a file is opened. `read`: must exist. `update`: read and write, must exist. `create`: read and write, made with
 * mode 0600 if missing. `create-new`: read and write, must not exist (EEXIST). Never truncates, never waits, and opens
 * nothing but regular files.
 */
export type OpenMode = 'read' | 'update' | 'create' | 'create-new';

export interface FileHandle {
  readonly path: string;
  /**
   * Fills `target` from `position` and returns the bytes read: fewer than asked only at the end of the file.
   */
  read(target: Uint8Array, position: number): number;
  /** One write. Returns the bytes written, which may be fewer than given without any error: the caller must look. */
  write(source: Uint8Array, position: number): number;
  /**
   * One write whose bytes and size are on the disk when it resolves, all of it on another thread, so that the caller may
   * work on meanwhile. Resolves to what `write` returns; `source` must not change until then.
   */
  writeDurably(source: Uint8Array, position: number): Promise<number>;
  /** `fdatasync`: the bytes and the size are on the disk when this resolves. */
  datasync(): Promise<void>;
  /** The same, and the calling thread waits for the disk. */
  datasyncHere(): void;
  /** `fsync`. */
  sync(): Promise<void>;
  /** Cuts the file to `sizeBytes`. Durable only after `sync`. */
  truncate(sizeBytes: number): void;
  status(): FileStatus;
  /** The file's size while `path`, by default its own, leads to it; undefined once that leads to another file or to none. */
  sizeIfNamed(path?: string): number | undefined;
  /** Closing twice is allowed and does nothing. */
  close(): void;
  /** Takes an open-file-description lock on the whole file, or returns false at once if somebody else has it. */
  tryLock(options?: { shared?: boolean }): boolean;
  /** Waits for the lock, on a thread of its own. Cannot be cancelled; the handle must stay open until it settles. */
  waitForLock(): Promise<void>;
  unlock(): void;
  /** The first `byteCount` bytes as shared read-only memory, or undefined where mapping is off or not to be had. */
  map(byteCount: number): Buffer | undefined;
}

export interface FileSystem {
  /** Why appending must be refused here (no lock library, no directory sync), as a sentence; undefined where it works. */
  readonly appendRefusal: string | undefined;
  /** False where the lock library does not load: then nobody here can hold or wait for a lock. */
  readonly locksAvailable: boolean;
  open(path: string, mode: OpenMode): FileHandle;
  /** Undefined when there is nothing of that name. */
  status(path: string): FileStatus | undefined;
  /** Names in a directory, sorted. Undefined when there is no such directory. */
  list(path: string): string[] | undefined;
  /** Makes one directory with mode 0700. Returns false when it was there already. */
  makeDirectory(path: string): boolean;
  rename(from: string, to: string): void;
  /** Returns false when there was nothing of that name. */
  unlink(path: string): boolean;
  /** Removes a directory that must be empty. */
  removeDirectory(path: string): void;
  /** `fsync` of a directory: its entries are durable when this resolves. */
  syncDirectory(path: string): Promise<void>;
  /** Bytes that an ordinary user may still write to the file system of `path`. */
  freeBytes(path: string): number;
  /** True when this process may write into the directory. */
  isWritable(path: string): boolean;
  /**
   * Calls `onChange` whenever the file is written, until closed. Undefined where notification cannot be had. May be
   * silent (network file systems): poll besides. Does not keep the process alive.
   */
  watch(path: string, onChange: () => void): { close(): void } | undefined;
}
