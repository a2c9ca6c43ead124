/**
 * The real disk, with faults: at the n-th change of the disk it either fails that one call, or "dies": that call and
 * every change after it never happen, as if the process had been killed.
 */
import { basename } from 'node:path';
import { FastQueueError } from '../../src/engine/errors.ts';
import type { FileHandle, FileStatus, FileSystem, OpenMode } from '../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';

export interface Fault {
  /** Number of the change that it happens at, from 1. */
  readonly at: number;
  readonly type: 'fail' | 'die';
  readonly errno?: string;
}

export class FaultyFileSystem implements FileSystem {
  readonly #disk = new NodeFileSystem({ map: false });
  readonly #fault: Fault | undefined;
  #next: { readonly doing: string; readonly name: string } | undefined;
  /** Changes of the disk that were asked for so far. */
  changeCount = 0;
  /** Which, in order: `write to 00000000000000000000.store`. */
  readonly changes: string[] = [];
  /** Bytes that were read from files so far. */
  readBytes = 0;
  /** Files open now, and the most at any time. */
  openCount = 0;
  mostOpen = 0;
  /** What `freeBytes` answers, where a test says so. */
  freeBytesAnswer: number | undefined;
  /** Called before a name is looked at. */
  readonly beforeLook: ((path: string) => void) | undefined;

  constructor(fault?: Fault) {
    this.#fault = fault;
  }

  readonly appendRefusal = undefined;
  readonly locksAvailable = true;

  /** The next change of that kind to a file of that name fails once. */
  failNext(doing: string, name: string): void {
    this.#next = { doing, name };
  }

  /** Counts a change, and throws where the fault is due. */
  change(doing: string, path: string): void {
    this.changeCount += 1;
    this.changes.push(`${doing} ${basename(path)}`);
    const isNext = this.#next?.doing === doing && path.endsWith(this.#next.name);
    if (isNext) this.#next = undefined;
    if (this.#fault === undefined && !isNext) return;
    const { at, type, errno = 'EIO' } = this.#fault ?? { at: this.changeCount, type: 'fail' };
    const isDue = type === 'die' ? this.changeCount >= at : this.changeCount === at;
    if (isDue)
      throw new FastQueueError(
        errno === 'ENOSPC' ? 'disk_full' : 'io_error',
        `Could not ${doing} ${path}: ${errno}.`,
        {
          path,
          errno,
        },
      );
  }

  open(path: string, mode: OpenMode): FileHandle {
    if (mode === 'create' || mode === 'create-new') this.change('create', path);
    const handle = new FaultyHandle(this, this.#disk.open(path, mode));
    this.openCount += 1;
    this.mostOpen = Math.max(this.mostOpen, this.openCount);
    return handle;
  }

  status(path: string): FileStatus | undefined {
    this.beforeLook?.(path);
    return this.#disk.status(path);
  }

  list(path: string): string[] | undefined {
    return this.#disk.list(path);
  }

  makeDirectory(path: string): boolean {
    this.change('create', path);
    return this.#disk.makeDirectory(path);
  }

  rename(from: string, to: string): void {
    this.change('rename', from);
    this.#disk.rename(from, to);
  }

  unlink(path: string): boolean {
    this.change('remove', path);
    return this.#disk.unlink(path);
  }

  removeDirectory(path: string): void {
    this.change('remove', path);
    this.#disk.removeDirectory(path);
  }

  async syncDirectory(path: string): Promise<void> {
    this.change('sync', path);
    await this.#disk.syncDirectory(path);
  }

  freeBytes(path: string): number {
    return this.freeBytesAnswer ?? this.#disk.freeBytes(path);
  }

  isWritable(path: string): boolean {
    return this.#disk.isWritable(path);
  }

  watch(path: string, onChange: () => void): { close(): void } | undefined {
    return this.#disk.watch(path, onChange);
  }
}

class FaultyHandle implements FileHandle {
  readonly #fileSystem: FaultyFileSystem;
  readonly #handle: FileHandle;
  #isOpen = true;

  constructor(fileSystem: FaultyFileSystem, handle: FileHandle) {
    this.#fileSystem = fileSystem;
    this.#handle = handle;
  }

  get path(): string {
    return this.#handle.path;
  }

  read(target: Uint8Array, position: number): number {
    const byteCount = this.#handle.read(target, position);
    this.#fileSystem.readBytes += byteCount;
    return byteCount;
  }

  write(source: Uint8Array, position: number): number {
    this.#fileSystem.change('write to', this.path);
    return this.#handle.write(source, position);
  }

  async writeDurably(source: Uint8Array, position: number): Promise<number> {
    const written = this.write(source, position);
    await this.datasync();
    return written;
  }

  async datasync(): Promise<void> {
    this.#fileSystem.change('sync', this.path);
    await this.#handle.datasync();
  }

  datasyncHere(): void {
    this.#fileSystem.change('sync', this.path);
    this.#handle.datasyncHere();
  }

  async sync(): Promise<void> {
    this.#fileSystem.change('sync', this.path);
    await this.#handle.sync();
  }

  truncate(sizeBytes: number): void {
    this.#fileSystem.change('truncate', this.path);
    this.#handle.truncate(sizeBytes);
  }

  status(): FileStatus {
    return this.#handle.status();
  }

  sizeIfNamed(path = this.path): number | undefined {
    this.#fileSystem.beforeLook?.(path);
    return this.#handle.sizeIfNamed(path);
  }

  close(): void {
    if (this.#isOpen) this.#fileSystem.openCount -= 1;
    this.#isOpen = false;
    this.#handle.close();
  }

  tryLock(options?: { shared?: boolean }): boolean {
    return this.#handle.tryLock(options);
  }

  waitForLock(): Promise<void> {
    return this.#handle.waitForLock();
  }

  unlock(): void {
    this.#handle.unlock();
  }

  map(): undefined {
    return undefined;
  }
}
