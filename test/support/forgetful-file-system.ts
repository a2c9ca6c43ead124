/**
 * A file system in memory that knows what has been synced and what has not: bytes and directory entries each. Every
 * change of it can be made to fail, or to be the last before the process dies; then `afterCrash` says what a killed
 * process, or a power cut, leaves.
 */
import { FastQueueError } from '../../src/engine/errors.ts';
import type { FileHandle, FileStatus, FileSystem, OpenMode } from '../../src/engine/io/file-system.ts';

/**
 * What is left of changes that were not synced: all of them (the process was killed), none (a power cut), or any of them
 * in any order, writes torn in the middle, as the number seeds it (a power cut, too).
 */
export type Crash = 'killed' | 'forgotten' | number;

export interface MemoryFault {
  /** Number of the change that it happens at, from 1. */
  readonly at: number;
  readonly type: 'fail' | 'die';
}

type Change =
  | { readonly type: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly sizeBytes: number }
  | { readonly type: 'entries'; readonly set: ReadonlyMap<string, Node | undefined> };

let nextInode = 1n;

class Node {
  readonly inode = nextInode++;
  readonly isDirectory: boolean;
  bytes: Buffer = Buffer.alloc(0);
  entries = new Map<string, Node>();
  /** What is on the disk, and the changes since. */
  durable: { bytes: Buffer; entries: ReadonlyMap<string, Node> } = { bytes: this.bytes, entries: new Map() };
  pending: Change[] = [];

  constructor(isDirectory: boolean) {
    this.isDirectory = isDirectory;
  }

  apply(change: Change): void {
    if (change.type === 'write') {
      const { position, bytes } = change;
      const grown = Buffer.alloc(Math.max(this.bytes.length, position + bytes.length));
      this.bytes.copy(grown);
      bytes.copy(grown, position);
      this.bytes = grown;
    } else if (change.type === 'truncate') {
      const cut = Buffer.alloc(change.sizeBytes);
      this.bytes.copy(cut);
      this.bytes = cut;
    } else {
      this.entries = new Map(this.entries);
      for (const [name, node] of change.set) {
        if (node === undefined) this.entries.delete(name);
        else this.entries.set(name, node);
      }
    }
  }

  change(change: Change): void {
    this.apply(change);
    this.pending.push(change);
  }

  sync(): void {
    this.durable = { bytes: this.bytes, entries: this.entries };
    this.pending = [];
  }
}

/** Numbers from 0 to 1 that follow from the seed. */
function randomFrom(seed: number): () => number {
  let state = Math.imul(seed, 2654435761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class ForgetfulFileSystem implements FileSystem {
  readonly appendRefusal = undefined;
  readonly locksAvailable = true;
  changeCount = 0;
  fault: MemoryFault | undefined;
  #root = new Node(true);

  constructor() {
    this.#root.sync();
  }

  /** A file system with these files, all durable. */
  static holding(files: ReadonlyMap<string, Buffer>): ForgetfulFileSystem {
    const fileSystem = new ForgetfulFileSystem();
    for (const [path, bytes] of files) {
      const parts = path.split('/').filter((part) => part !== '');
      let directory = fileSystem.#root;
      for (const part of parts.slice(0, -1)) {
        const next = directory.entries.get(part) ?? new Node(true);
        directory.entries.set(part, next);
        directory = next;
      }
      const file = new Node(false);
      file.bytes = Buffer.from(bytes);
      file.sync();
      directory.entries.set(parts.at(-1) as string, file);
    }
    syncTree(fileSystem.#root);
    return fileSystem;
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
    visit(this.#root, '');
    return files;
  }

  /** What is there when the machine is up again. */
  afterCrash(crash: Crash): ForgetfulFileSystem {
    const left = new ForgetfulFileSystem();
    const random = typeof crash === 'number' ? randomFrom(crash) : undefined;
    left.#root = copyAfterCrash(this.#root, crash, random);
    return left;
  }

  open(path: string, mode: OpenMode): FileHandle {
    const existing = this.#find(path);
    if (existing === undefined && (mode === 'read' || mode === 'update')) throw failure('ENOENT', path);
    if (existing !== undefined && mode === 'create-new') throw failure('EEXIST', path);
    if (existing !== undefined) return new MemoryHandle(this, existing, path);
    this.countChange(path);
    const node = new Node(false);
    this.#setEntries(path, node);
    return new MemoryHandle(this, node, path);
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
    this.#setEntries(path, new Node(true));
    return true;
  }

  rename(from: string, to: string): void {
    const node = this.#find(from);
    if (node === undefined) throw failure('ENOENT', from);
    this.countChange(from);
    const [source, target] = [this.#parent(from), this.#parent(to)];
    if (source === target) {
      source.change({
        type: 'entries',
        set: new Map([
          [nameOf(from), undefined],
          [nameOf(to), node],
        ]),
      });
      return;
    }
    target.change({ type: 'entries', set: new Map([[nameOf(to), node]]) });
    source.change({ type: 'entries', set: new Map([[nameOf(from), undefined]]) });
  }

  unlink(path: string): boolean {
    if (this.#find(path) === undefined) return false;
    this.countChange(path);
    this.#setEntries(path, undefined);
    return true;
  }

  removeDirectory(path: string): void {
    if (this.list(path)?.length !== 0) throw failure('ENOTEMPTY', path);
    this.countChange(path);
    this.#setEntries(path, undefined);
  }

  syncDirectory(path: string): Promise<void> {
    return Promise.resolve().then(() => {
      this.countChange(path);
      const node = this.#find(path);
      if (node === undefined) throw failure('ENOENT', path);
      node.sync();
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
    this.changeCount += 1;
    if (this.fault === undefined) return;
    const { at, type } = this.fault;
    if (type === 'die' ? this.changeCount >= at : this.changeCount === at) throw failure('EIO', path);
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.split('/')) if (part !== '') node = node?.entries.get(part);
    return node;
  }

  #parent(path: string): Node {
    const parent = this.#find(path.slice(0, path.lastIndexOf('/')));
    if (parent === undefined) throw failure('ENOENT', path);
    return parent;
  }

  #setEntries(path: string, node: Node | undefined): void {
    this.#parent(path).change({ type: 'entries', set: new Map([[nameOf(path), node]]) });
  }
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

function syncTree(node: Node): void {
  node.sync();
  for (const child of node.entries.values()) syncTree(child);
}

function copyAfterCrash(node: Node, crash: Crash, random: (() => number) | undefined): Node {
  const copy = new Node(node.isDirectory);
  const left = new Node(node.isDirectory);
  if (crash === 'killed') {
    left.bytes = node.bytes;
    left.entries = node.entries;
  } else {
    left.bytes = node.durable.bytes;
    left.entries = new Map(node.durable.entries);
    if (random !== undefined) for (const change of node.pending) applySome(left, change, random);
  }
  copy.bytes = Buffer.from(left.bytes);
  copy.entries = new Map(
    [...left.entries].map(([name, child]) => [name, copyAfterCrash(child, crash, random)]),
  );
  copy.sync();
  return copy;
}

/** Fewer bytes than this are written at once or not at all: they lie within one sector. */
const TORN_FROM_BYTES = 65;

/** All of a change, none of it, or of a write the first part. */
function applySome(node: Node, change: Change, random: () => number): void {
  const share = random() * 3;
  if (share < 1) return;
  if (share < 2 || change.type !== 'write' || change.bytes.length < TORN_FROM_BYTES) {
    node.apply(change);
    return;
  }
  const torn = change.bytes.subarray(0, Math.floor(random() * change.bytes.length));
  node.apply({ ...change, bytes: torn });
}

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

class MemoryHandle implements FileHandle {
  readonly path: string;
  readonly #fileSystem: ForgetfulFileSystem;
  readonly #node: Node;

  constructor(fileSystem: ForgetfulFileSystem, node: Node, path: string) {
    this.#fileSystem = fileSystem;
    this.#node = node;
    this.path = path;
  }

  read(target: Uint8Array, position: number): number {
    const bytes = this.#node.bytes.subarray(position, position + target.length);
    target.set(bytes);
    return bytes.length;
  }

  write(source: Uint8Array, position: number): number {
    this.#fileSystem.countChange(this.path);
    this.#node.change({ type: 'write', position, bytes: Buffer.from(source) });
    return source.length;
  }

  datasync(): Promise<void> {
    return this.sync();
  }

  sync(): Promise<void> {
    return Promise.resolve().then(() => {
      this.#fileSystem.countChange(this.path);
      this.#node.sync();
    });
  }

  truncate(sizeBytes: number): void {
    this.#fileSystem.countChange(this.path);
    this.#node.change({ type: 'truncate', sizeBytes });
  }

  status(): FileStatus {
    return statusOf(this.#node);
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
