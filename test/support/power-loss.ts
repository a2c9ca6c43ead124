/**
 * What a machine has of a disk after a power cut. `ForgetfulFileSystem` is the file system on top; here stand its files,
 * its directories, the changes that are not certain yet, and the rules of what may become of them:
 *
 * - **Names.** Creating, removing and renaming (in one directory or from one to another, over a file or not) happen wholly
 *   or not at all: never is a file in both places or in neither. A change is certain once every directory that it
 *   concerns was synced since; syncing a file says nothing of its name. Until then it may have happened or not, but only
 *   together with all earlier ones of the same name: what took the place of another is not there before that one went.
 * - **Their order.** Either that of the journal, as ext4 and XFS have it: what is left is what was done up to some
 *   moment, in all directories, and a sync of a file or directory brings everything along that was done before the last
 *   change of its name or its entries. Or none (the weakest that POSIX promises): changes of other names, in the same
 *   directory or elsewhere, come through or not, each for itself, and a directory may go before what was moved out of it
 *   has arrived.
 * - **Bytes.** A write that was not synced is there, or not, or in part: each aligned piece of 64 bytes is written at
 *   once (the least that any disk does), in any order. The size may have changed and the bytes not: those are zeros. A
 *   truncation that was not synced may not have happened. A name is no older or newer than the bytes behind it: a file
 *   that got its name before it was synced may have that name and no bytes.
 * - **A sync of a file that fails** has lost what it was to make durable: it reads back as it was written, the next sync
 *   says that all is well, and after a power cut the disk has what was there before. Only what is written again is durable.
 * - **A kill** takes nothing back, and makes nothing certain either: a power cut may follow.
 */

/**
 * How the machine or the process ended. `killed`: the process only. All others are power cuts. `forgotten`: nothing has
 * happened that is not certain; `latest`: the latest change of a name, and of those before only what it needs; `named`:
 * every name has changed and no byte; `zeroed`: besides, every size. A number seeds any outcome without an order of names,
 * `journal-` and a number any with that of the journal.
 */
export type Crash = 'killed' | 'forgotten' | 'latest' | 'named' | 'zeroed' | number | `journal-${number}`;

/** Pieces of this length are written at once. */
const SECTOR_BYTES = 64;

type ByteChange =
  | { readonly type: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly sizeBytes: number };

interface NamedNode {
  readonly directory: Node;
  readonly name: string;
  readonly node: Node | undefined;
}

/** A change of one name, or of two at once. */
interface NameChange {
  readonly number: number;
  readonly names: readonly NamedNode[];
  /** Directories that were not synced since. */
  readonly unsynced: Set<Node>;
}

let nextInode = 1n;

/** A file or a directory. */
export class Node {
  readonly inode = nextInode++;
  readonly isDirectory: boolean;
  bytes: Buffer = Buffer.alloc(0);
  entries: ReadonlyMap<string, Node> = new Map();
  /** What is certain. */
  durable: { bytes: Buffer; entries: ReadonlyMap<string, Node> } = {
    bytes: this.bytes,
    entries: this.entries,
  };
  pending: readonly ByteChange[] = [];
  /** Number of the last change of its name or, of a directory, of its entries. */
  lastNameChange = 0;

  constructor(isDirectory: boolean) {
    this.isDirectory = isDirectory;
  }

  change(change: ByteChange): void {
    this.bytes = changed(this.bytes, change);
    this.pending = [...this.pending, change];
  }

  /** What was to be synced reads back as it was written, and no later sync makes it durable. */
  loseUnsynced(): void {
    this.pending = [];
  }
}

function changed(bytes: Buffer, change: ByteChange): Buffer {
  if (change.type === 'truncate') return resized(bytes, change.sizeBytes);
  const grown = resized(bytes, Math.max(bytes.length, change.position + change.bytes.length));
  change.bytes.copy(grown, change.position);
  return grown;
}

function resized(bytes: Buffer, sizeBytes: number): Buffer {
  const copy = Buffer.alloc(sizeBytes);
  bytes.copy(copy);
  return copy;
}

type Entries = Map<Node, ReadonlyMap<string, Node>>;

/** A tree of nodes, and the order in which their names changed. */
export class NodeTree {
  root = new Node(true);
  #changeCount = 0;
  /** Up to which change the journal has been written. */
  #journaled = 0;
  /** Changes of names that are not certain, oldest first. */
  #pending: NameChange[] = [];

  changeNames(names: readonly NamedNode[]): void {
    this.#changeCount += 1;
    for (const { directory, name, node } of names) {
      directory.entries = withEntry(directory.entries, name, node);
      directory.lastNameChange = this.#changeCount;
      if (node !== undefined) node.lastNameChange = this.#changeCount;
    }
    const unsynced = new Set(names.map(({ directory }) => directory));
    this.#pending.push({ number: this.#changeCount, names, unsynced });
  }

  sync(node: Node): void {
    node.durable = { ...node.durable, bytes: node.pending.reduce(changed, node.durable.bytes) };
    node.pending = [];
    this.#journaled = Math.max(this.#journaled, node.lastNameChange);
    for (const { unsynced } of this.#pending) unsynced.delete(node);
    const certain = this.#withNeeded(({ unsynced }) => unsynced.size === 0);
    for (const { names } of this.#pending.filter((change) => certain.has(change)))
      for (const { directory, name, node: named } of names)
        directory.durable = {
          ...directory.durable,
          entries: withEntry(directory.durable.entries, name, named),
        };
    this.#pending = this.#pending.filter((change) => !certain.has(change));
  }

  /** Makes everything certain. */
  syncAll(node = this.root): void {
    this.sync(node);
    for (const child of node.entries.values()) this.syncAll(child);
  }

  afterCrash(crash: Crash): NodeTree {
    if (crash === 'killed') return this.#copy();
    const left = new NodeTree();
    const random = randomFrom(typeof crash === 'number' ? crash : Number(/\d+$/.exec(crash)?.[0] ?? 0));
    const entries = this.#entriesAfter(crash, random);
    const seen = new Set<Node>();
    const copy = (node: Node): Node => {
      if (seen.has(node)) throw new Error('The model is wrong: a file is in two places.');
      seen.add(node);
      const copied = new Node(node.isDirectory);
      copied.bytes = bytesAfter(node, crash, random);
      copied.entries = new Map(
        [...(entries.get(node) ?? node.durable.entries)].map(([name, child]) => [name, copy(child)]),
      );
      copied.durable = { bytes: copied.bytes, entries: copied.entries };
      return copied;
    };
    left.root = copy(this.root);
    return left;
  }

  /** What directories hold besides what is certain of them. */
  #entriesAfter(crash: Crash, random: () => number): Entries {
    const entries: Entries = new Map();
    const happened = this.#happened(crash, random);
    for (const { names } of this.#pending.filter((change) => happened.has(change)))
      for (const { directory, name, node } of names)
        entries.set(directory, withEntry(entries.get(directory) ?? directory.durable.entries, name, node));
    return entries;
  }

  /** Which changes of names that are not certain have come through. */
  #happened(crash: Crash, random: () => number): ReadonlySet<NameChange> {
    if (crash === 'forgotten') return new Set();
    if (crash === 'latest') return this.#withNeeded((change) => change === this.#pending.at(-1));
    if (crash === 'named' || crash === 'zeroed') return new Set(this.#pending);
    if (typeof crash === 'number') {
      const lost = new Set<NameChange>();
      for (const change of this.#pending)
        if (random() < 0.5 || [...lost].some((earlier) => isSameName(earlier, change))) lost.add(change);
      return new Set(this.#pending.filter((change) => !lost.has(change)));
    }
    const end = this.#journaled + Math.floor(random() * (this.#changeCount - this.#journaled + 1));
    return new Set(this.#pending.filter(({ number }) => number <= end));
  }

  /** These changes, and all earlier ones of the same names. */
  #withNeeded(isMeant: (change: NameChange) => boolean): ReadonlySet<NameChange> {
    const needed = new Set<NameChange>();
    for (const change of [...this.#pending].reverse())
      if (isMeant(change) || [...needed].some((later) => isSameName(change, later))) needed.add(change);
    return needed;
  }

  #copy(): NodeTree {
    const tree = new NodeTree();
    const copies = new Map<Node, Node>();
    const copyEntries = (entries: ReadonlyMap<string, Node>): Map<string, Node> =>
      new Map([...entries].map(([name, node]) => [name, copy(node)]));
    const copy = (node: Node): Node => {
      const known = copies.get(node);
      if (known !== undefined) return known;
      const copied = new Node(node.isDirectory);
      copies.set(node, copied);
      copied.bytes = node.bytes;
      copied.entries = copyEntries(node.entries);
      copied.durable = { bytes: node.durable.bytes, entries: copyEntries(node.durable.entries) };
      copied.pending = node.pending;
      copied.lastNameChange = node.lastNameChange;
      return copied;
    };
    tree.root = copy(this.root);
    tree.#changeCount = this.#changeCount;
    tree.#journaled = this.#journaled;
    tree.#pending = this.#pending.map(({ number, names, unsynced }) => ({
      number,
      names: names.map(({ directory, name, node }) => ({
        directory: copy(directory),
        name,
        node: node && copy(node),
      })),
      unsynced: new Set([...unsynced].map(copy)),
    }));
    return tree;
  }
}

function withEntry(
  entries: ReadonlyMap<string, Node>,
  name: string,
  node: Node | undefined,
): ReadonlyMap<string, Node> {
  const copy = new Map(entries);
  if (node === undefined) copy.delete(name);
  else copy.set(name, node);
  return copy;
}

const isSameName = (one: NameChange, other: NameChange): boolean =>
  one.names.some(({ directory, name }) =>
    other.names.some((named) => named.directory === directory && named.name === name),
  );

function bytesAfter(node: Node, crash: Crash, random: () => number): Buffer {
  let { bytes } = node.durable;
  if (crash === 'forgotten' || crash === 'latest' || crash === 'named') return bytes;
  for (const change of node.pending) {
    if (crash === 'zeroed') bytes = sizeChanged(bytes, change);
    else if (change.type === 'write') bytes = writtenInPart(bytes, change, random);
    else if (random() < 0.5) bytes = changed(bytes, change);
  }
  return bytes;
}

function sizeChanged(bytes: Buffer, change: ByteChange): Buffer {
  if (change.type === 'truncate') return changed(bytes, change);
  return resized(bytes, Math.max(bytes.length, change.position + change.bytes.length));
}

/** All of a write, none of it, or some of its sectors, with zeros between them and perhaps behind. */
function writtenInPart(bytes: Buffer, write: ByteChange & { type: 'write' }, random: () => number): Buffer {
  const share = random() * 3;
  if (share < 1) return bytes;
  if (share < 2) return changed(bytes, write);
  const endPosition = write.position + write.bytes.length;
  let left = random() < 0.5 ? bytes : sizeChanged(bytes, write);
  for (let position = write.position; position < endPosition;) {
    const end = Math.min(endPosition, (Math.floor(position / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    const piece = write.bytes.subarray(position - write.position, end - write.position);
    if (random() < 0.5) left = changed(left, { type: 'write', position, bytes: piece });
    position = end;
  }
  return left;
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
