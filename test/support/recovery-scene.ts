/**
 * A log of several small segments that can be damaged, recovered, compared and put back as it was, many times a second:
 * nothing is really synced here.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileHandle, FileSystem } from '../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import type { HighWatermark } from '../../src/engine/format/high-watermark.ts';
import { peekMark } from '../../src/engine/mark-file.ts';
import { recoverTopic, undoRecovery, type RecoverReport } from '../../src/engine/recovery/recover.ts';
import { listRuns } from '../../src/engine/recovery/runs.ts';
import { withRecoveryLock } from '../../src/engine/recovery/lock.ts';
import { rollActive } from '../../src/engine/recovery/segments.ts';
import type { LockHold } from '../../src/engine/topic-lock.ts';
import { ScratchTopic, type Seen } from './scratch-topic.ts';

/** The real disk, but that syncs are said to have worked at once. */
export function unsyncedFileSystem(): FileSystem {
  const disk = new NodeFileSystem({ map: false });
  const unsynced = (handle: FileHandle): FileHandle =>
    Object.assign(handle, {
      sync: () => Promise.resolve(),
      datasync: () => Promise.resolve(),
      datasyncHere: () => undefined,
    });
  const open = disk.open.bind(disk);
  return Object.assign(disk, {
    open: (path: string, mode: Parameters<FileSystem['open']>[1]) => unsynced(open(path, mode)),
    syncDirectory: () => Promise.resolve(),
  });
}

/** Every file of a directory tree, by its path in it. */
export type Snapshot = ReadonlyMap<string, Buffer>;

export function snapshotOf(directory: string): Snapshot {
  const files = new Map<string, Buffer>();
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    if (statSync(join(directory, name)).isFile()) files.set(name, readFileSync(join(directory, name)));
  }
  return files;
}

export function storesOf(snapshot: Snapshot): Map<string, string> {
  const stores = [...snapshot].filter(([name]) => /^\d{20}\.store$/.test(name));
  return new Map(stores.map(([name, bytes]) => [name, bytes.toString('hex')]));
}

/** Four segments of batches for `fill`, in which stores can change places. */
export const FOUR_SEGMENTS: readonly (readonly number[])[] = [[3], [4], [2, 1], [2, 1]];

/** No two records of one length. */
export const growingPayload = (offset: number): Buffer =>
  Buffer.from(`record ${offset} `.padEnd(40 + offset, '.'));

export class RecoveryScene {
  readonly scratch = new ScratchTopic();
  readonly fileSystem: FileSystem;
  #healthy: Snapshot = new Map();
  #seen = new Map<number, Seen>();

  constructor(fileSystem: FileSystem = unsyncedFileSystem()) {
    this.fileSystem = fileSystem;
  }

  get directory(): string {
    return join(this.scratch.directory, 't');
  }

  /** What every offset of the healthy log holds. */
  get seen(): ReadonlyMap<number, Seen> {
    return this.#seen;
  }

  get healthy(): Snapshot {
    return this.#healthy;
  }

  /** Appends batches of so many records each, one list a segment, and remembers the log. */
  async fill(
    segments: readonly (readonly number[])[],
    options: { payload: (offset: number) => Buffer },
  ): Promise<void> {
    const context = this.scratch.context(this.fileSystem);
    let offset = 0;
    for (const batchSizes of segments) {
      if (offset > 0)
        await withRecoveryLock(context, 2000, async (hold) => rollActive(context, hold, markOf(hold)));
      const topic = await this.scratch
        .dataDirectory(this.fileSystem)
        .openTopic('t', { mode: 'append', create: { indexIntervalBytes: 64 } });
      for (const size of batchSizes) {
        await topic.append(Array.from({ length: size }, (_, number) => options.payload(offset + number)));
        offset += size;
      }
      await topic.close();
    }
    await this.remember();
  }

  /**
   * The same with a clock that is 10 ms later at each look: no two batches have one time, and what fills a place must not
   * go back in time.
   *
   * @param options.payload told the time at the latest look, too
   */
  async fillInTime(
    segments: readonly (readonly number[])[],
    options: { payload: (offset: number, clock: number) => Buffer },
  ): Promise<void> {
    const now = Date.now;
    let clock = now();
    Date.now = () => (clock += 10);
    try {
      await this.fill(segments, { payload: (offset) => options.payload(offset, clock) });
    } finally {
      Date.now = now;
    }
  }

  async remember(): Promise<void> {
    this.#healthy = snapshotOf(this.directory);
    this.#seen = await this.scratch.everyOffset();
  }

  /** Puts the topic back as it was when it was filled, with other contents for some files (undefined: no such file). */
  reset(changes: ReadonlyMap<string, Buffer | undefined> = new Map()): void {
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory);
    for (const [name, bytes] of new Map<string, Buffer | undefined>([...this.#healthy, ...changes])) {
      if (bytes !== undefined && !name.includes('/')) writeFileSync(join(this.directory, name), bytes);
    }
  }

  stores(): Map<string, string> {
    return storesOf(snapshotOf(this.directory));
  }

  recover(options: { dryRun?: boolean; tryBitFlip?: boolean } = {}): Promise<RecoverReport> {
    return recoverTopic(this.scratch.context(this.fileSystem), {
      dryRun: options.dryRun ?? false,
      tryBitFlip: options.tryBitFlip ?? false,
      lockTimeoutMs: 2000,
    });
  }

  /** Takes every run back, newest first. */
  async undoAll(): Promise<void> {
    const context = this.scratch.context(this.fileSystem);
    for (const { run } of listRuns(context).reverse())
      await undoRecovery(context, { run, lockTimeoutMs: 2000 });
  }

  /** How what can be read now differs from the healthy log: nothing, if only these offsets are gaps and all else is there. */
  async differences(lost: ReadonlySet<number>, fileSystem?: FileSystem): Promise<string[]> {
    const now = await this.scratch.everyOffset(fileSystem);
    const differences: string[] = [];
    for (const [offset, expected] of this.#seen) {
      const wanted = lost.has(offset) ? 'gap 1' : expected;
      if (now.get(offset) !== wanted) differences.push(`${offset}: ${now.get(offset) ?? 'nothing'}`);
    }
    for (const offset of now.keys())
      if (!this.#seen.has(offset) && !lost.has(offset)) differences.push(`${offset}: invented`);
    return differences;
  }

  remove(): void {
    this.scratch.remove();
  }
}

const markOf = (hold: LockHold): HighWatermark => peekMark(hold.markFile) as HighWatermark;

/** The offsets of a report's lost ranges. */
export function lostOffsets(report: Pick<RecoverReport, 'lost'>): Set<number> {
  return new Set(
    [...report.lost].flatMap(({ from, to }) =>
      Array.from({ length: to - from }, (_, number) => from + number),
    ),
  );
}

/** Positions of the frames of a store, and its end. */
export function framePositions(store: Buffer): number[] {
  const positions = [0];
  for (let at = 0; at < store.length; positions.push(at)) at += 16 + (store.readUInt32BE(at) & 0x0fffffff);
  return positions;
}
