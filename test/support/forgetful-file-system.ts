/**
 * A file system in memory that knows what has been synced and what has not. Every change of it can be made to fail, or
 * to be the last before the process dies; then `afterCrash` says what a killed process, or a power cut, leaves: all that
 * power-loss.ts allows, which says what that is.
 */
import { createHash } from 'node:crypto';
import { FastQueueError } from '../../src/engine/errors.ts';
import type { FileHandle, FileStatus, FileSystem, OpenMode } from '../../src/engine/io/file-system.ts';
import { Node, NodeTree, type Crash } from './power-loss.ts';

export interface MemoryFault {
  /** Number of the change that it happens at, from 1. */
  readonly at: number;
  readonly type: 'fail' | 'die';
}

export class ForgetfulFileSystem implements FileSystem {
  readonly appendRefusal = undefined;
  readonly locksAvailable = true;
  changeCount = 0;
  fault: MemoryFault | undefined;
  /** Called before each change. */
  beforeChange: (() => void) | undefined;
  #tree = new NodeTree();

  /** A file system with these files, all durable. */
  static holding(files: ReadonlyMap<string, Buffer>): ForgetfulFileSystem {
    const fileSystem = new ForgetfulFileSystem();
    for (const [path, bytes] of files) {
      const parts = path.split('/').filter((part) => part !== '');
      for (let depth = 1; depth < parts.length; depth++)
        fileSystem.makeDirectory(`/${parts.slice(0, depth).join('/')}`);
      fileSystem.open(path, 'create-new').write(bytes, 0);
    }
    fileSystem.syncAll();
    fileSystem.changeCount = 0;
    return fileSystem;
  }

  /** Makes everything durable. */
  syncAll(): void {
    this.#tree.syncAll();
  }

  /** Every file, by its path. */
  files(): Map<string, Buffer> {
    const files = new Map<string, Buffer>();
    const visit = (node: Node, path: string): void => {
      for (const [name, child] of node.entries) {
        if (child.isDirectory) visit(child, `${path}/${name}`);
        else files.set(`${path}/${name}`, Buffer.from(child.bytes));
      }
    };
    visit(this.#tree.root, '');
    return files;
  }

  /** The same for disks that hold the same names and bytes, and for no others. */
  digest(): string {
    const hash = createHash('sha1');
    const visit = (node: Node, path: string): void => {
      hash.update(`${path} ${node.isDirectory ? 'directory' : node.bytes.length}\n`).update(node.bytes);
      for (const name of [...node.entries.keys()].sort())
        visit(node.entries.get(name) as Node, `${path}/${name}`);
    };
    visit(this.#tree.root, '');
    return hash.digest('hex');
  }

  /** What is there when the machine is up again, or for the next process. */
  afterCrash(crash: Crash): ForgetfulFileSystem {
    const left = new ForgetfulFileSystem();
    left.#tree = this.#tree.afterCrash(crash);
    return left;
  }

  open(path: string, mode: OpenMode): FileHandle {
    const existing = this.#find(path);
    if (existing === undefined && (mode === 'read' || mode === 'update')) throw failure('ENOENT', path);
    if (existing !== undefined && mode === 'create-new') throw failure('EEXIST', path);
    if (existing !== undefined) return this.#handleOf(existing, path);
    this.countChange(path);
    const node = new Node(false);
    this.#setName(path, node);
    return this.#handleOf(node, path);
  }

  status(path: string): FileStatus | undefined {
    const node = this.#find(path);
    return node === undefined ? undefined : statusOf(node);
  }

  list(path: string): string[] | undefined {
    const node = this.#find(path);
    return node === undefined ? undefined : [...node.entries.keys()].sort();
  }

  makeDirectory(path: string): boolean {
    if (this.#find(path) !== undefined) return false;
    this.countChange(path);
    this.#setName(path, new Node(true));
    return true;
  }

  rename(from: string, to: string): void {
    const node = this.#find(from);
    if (node === undefined) throw failure('ENOENT', from);
    this.countChange(from);
    this.#tree.changeNames([
      { directory: this.#parent(from), name: nameOf(from), node: undefined },
      { directory: this.#parent(to), name: nameOf(to), node },
    ]);
  }

  unlink(path: string): boolean {
    if (this.#find(path) === undefined) return false;
    this.countChange(path);
    this.#setName(path, undefined);
    return true;
  }

  removeDirectory(path: string): void {
    if (this.list(path)?.length !== 0) throw failure('ENOTEMPTY', path);
    this.countChange(path);
    this.#setName(path, undefined);
  }

  syncDirectory(path: string): Promise<void> {
    return Promise.resolve().then(() => {
      this.countChange(path);
      const node = this.#find(path);
      if (node === undefined) throw failure('ENOENT', path);
      this.#tree.sync(node);
    });
  }

  freeBytes(): number {
    return 2 ** 40;
  }

  isWritable(): boolean {
    return true;
  }

  watch(): undefined {
    return undefined;
  }

  /** Counts a change, and throws where the fault is due. */
  countChange(path: string): void {
    this.beforeChange?.();
    this.changeCount += 1;
    if (this.fault === undefined) return;
    const { at, type } = this.fault;
    if (type === 'die' ? this.changeCount >= at : this.changeCount === at) throw failure('EIO', path);
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#tree.root;
    for (const part of path.split('/')) if (part !== '') node = node?.entries.get(part);
    return node;
  }

  #parent(path: string): Node {
    const parent = this.#find(path.slice(0, path.lastIndexOf('/')));
    if (parent === undefined) throw failure('ENOENT', path);
    return parent;
  }

  #setName(path: string, node: Node | undefined): void {
    this.#tree.changeNames([{ directory: this.#parent(path), name: nameOf(path), node }]);
  }

  #handleOf(node: Node, path: string): FileHandle {
    const changing = (): void => {
      this.countChange(path);
    };
    const sync = (): void => {
      try {
        changing();
      } catch (error) {
        if (this.fault?.type === 'fail') node.loseUnsynced();
        throw error;
      }
      this.#tree.sync(node);
    };
    const isNamed = (name: string): boolean => this.#find(name) === node;
    return new MemoryHandle({ path, node, changing, sync, isNamed });
  }
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

function statusOf(node: Node): FileStatus {
  return {
    sizeBytes: node.bytes.length,
    device: 77n,
    inode: node.inode,
    isDirectory: node.isDirectory,
    isFile: !node.isDirectory,
    isBrokenLink: false,
  };
}

function failure(errno: string, path: string): FastQueueError {
  return new FastQueueError('io_error', `${path}: ${errno}.`, { path, errno });
}

/** What a handle needs of the file system. `changing` counts a change, and throws where the fault is due. */
interface OpenedNode {
  readonly path: string;
  readonly node: Node;
  readonly changing: () => void;
  /** Counts as a change, too. */
  readonly sync: () => void;
  readonly isNamed: (path: string) => boolean;
}

class MemoryHandle implements FileHandle {
  readonly path: string;
  readonly #opened: OpenedNode;

  constructor(opened: OpenedNode) {
    this.path = opened.path;
    this.#opened = opened;
  }

  read(target: Uint8Array, position: number): number {
    const bytes = this.#opened.node.bytes.subarray(position, position + target.length);
    target.set(bytes);
    return bytes.length;
  }

  write(source: Uint8Array, position: number): number {
    this.#opened.changing();
    this.#opened.node.change({ type: 'write', position, bytes: Buffer.from(source) });
    return source.length;
  }

  async writeDurably(source: Uint8Array, position: number): Promise<number> {
    const written = this.write(source, position);
    await this.datasync();
    return written;
  }

  datasync(): Promise<void> {
    return this.sync();
  }

  datasyncHere(): void {
    this.#opened.sync();
  }

  sync(): Promise<void> {
    return Promise.resolve().then(() => {
      this.#opened.sync();
    });
  }

  truncate(sizeBytes: number): void {
    this.#opened.changing();
    this.#opened.node.change({ type: 'truncate', sizeBytes });
  }

  status(): FileStatus {
    return statusOf(this.#opened.node);
  }

  sizeIfNamed(path = this.path): number | undefined {
    return this.#opened.isNamed(path) ? this.#opened.node.bytes.length : undefined;
  }

  close(): void {
    // Nothing is held.
  }

  tryLock(): boolean {
    return true;
  }

  waitForLock(): Promise<void> {
    return Promise.resolve();
  }

  unlock(): void {
    // Nobody else is there.
  }

  map(): undefined {
    return undefined;
  }
}
