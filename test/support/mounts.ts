/**
 * Real file systems for one test: a tmpfs of a given size, an ext4 in a loop file, a read-only view of a directory.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from './root-tests.ts';

/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: what a power cut does, nothing more reaches the device. */
const SHUTDOWN = `
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))
`;

export class Mounts {
  readonly directory = mkdtempSync(join(tmpdir(), 'fastqueue-mount-'));
  readonly #mounted: string[] = [];

  #mountPoint(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  tmpfs(name: string, size: string): string {
    const path = this.#mountPoint(name);
    must('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path);
    this.#mounted.push(path);
    return path;
  }

  resizeTmpfs(path: string, size: string): void {
    must('mount', '-o', `remount,size=${size}`, path);
  }

  /** Makes an ext4 of `bytes` in a sparse file at `image`. */
  makeExt4(image: string, bytes: number): void {
    writeFileSync(image, '');
    truncateSync(image, bytes);
    must('mkfs.ext4', '-q', '-F', image);
  }

  mountImage(image: string, name: string): string {
    const path = this.#mountPoint(name);
    must('mount', '-o', 'loop', image, path);
    this.#mounted.push(path);
    return path;
  }

  readOnlyView(of: string, name: string): string {
    const path = this.#mountPoint(name);
    must('mount', '--bind', of, path);
    this.#mounted.push(path);
    must('mount', '-o', 'remount,ro,bind', path);
    return path;
  }

  /** Cuts the power of the file system at `path`. */
  cutPower(path: string): void {
    must('python3', '-c', SHUTDOWN, path);
  }

  unmount(path: string): void {
    must('umount', path);
    this.#mounted.splice(this.#mounted.indexOf(path), 1);
  }

  remove(): void {
    for (const path of this.#mounted.reverse()) spawnSync('umount', ['-l', path]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
