/**
 * The real `recover` and `recover --undo`, ended at their system calls: killed at the n-th of those that change the disk,
 * or given EIO for it. Whatever is left can be recovered, quarantine has every byte, and no good record is touched.
 */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sandbox } from '../cli/fastqueue.ts';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { listRecoveryRuns, recoverTopic, undoRecovery } from '../../src/engine/recovery/recover.ts';
import type { Expected } from './corpus/expected.ts';
import { snapshotOf, storesOf } from './recovery-scene.ts';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));

/**
 * System calls that change the disk, and those that make a change durable, each swept on its own: strace counts them
 * for each thread and each name. The command has one thread in its pool, so that a sweep meets every call.
 */
const SWEEPS = ['pwrite64', 'mkdir', 'ftruncate', 'rename', 'unlink', 'fsync', 'fdatasync'] as const;

type Fault = 'signal=KILL' | 'error=EIO';

class Interruption {
  readonly sandbox = new Sandbox();
  readonly #name: string;
  readonly #lost: readonly (readonly [number, number])[];
  readonly #damaged: ReadonlyMap<string, string>;

  constructor(name: string) {
    this.#name = name;
    const expected = readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8');
    this.#lost = (JSON.parse(expected) as Expected).recover.lost;
    this.reset();
    this.#damaged = storesOf(snapshotOf(this.topic));
  }

  get topic(): string {
    return join(this.sandbox.dataDirectory, 'orders');
  }

  /** The topic as it is in the corpus, or in another directory. */
  reset(from = join(FIXTURES, this.#name, 'data')): void {
    rmSync(this.sandbox.dataDirectory, { recursive: true, force: true });
    mkdirSync(this.sandbox.dataDirectory);
    cpSync(from, this.sandbox.dataDirectory, { recursive: true });
  }

  /** Runs the command under strace, with a fault or, without one, to count its calls. */
  run(
    args: readonly string[],
    calls: string,
    fault?: { type: Fault; at: number },
  ): { status: number | null; count: number } {
    const trace = join(this.sandbox.directory, 'trace');
    const inject = fault === undefined ? [] : ['-e', `inject=${calls}:${fault.type}:when=${fault.at}`];
    const options = ['-f', '-qq', '-o', trace, '-e', `trace=${calls}`, ...inject];
    const { status, signal, stderr } = spawnSync('strace', [...options, process.execPath, BIN, ...args], {
      env: {
        ...process.env,
        FASTQUEUE_DATA_DIR: this.sandbox.dataDirectory,
        UV_THREADPOOL_SIZE: '1',
      },
      encoding: 'utf8',
    });
    expect(stderr, 'no stack trace').not.to.match(/\n {4}at /);
    const lines = readFileSync(trace, 'utf8').split('\n');
    return {
      status: signal === null ? status : null,
      count: lines.filter((line) => /^\d+ +\w+\(/.test(line)).length,
    };
  }

  /** The log is as it should be after a recovery, and undoing all runs gives the damaged stores back. */
  async expectRecoverable(): Promise<void> {
    const context = openDataDirectory(this.sandbox.dataDirectory).context('orders');
    const options = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 2000 };
    await recoverTopic(context, options);
    const topic = await openDataDirectory(this.sandbox.dataDirectory).openTopic('orders', { mode: 'read' });
    const lost = new Set(
      this.#lost.flatMap(([from, to]) => Array.from({ length: to - from }, (_, at) => from + at)),
    );
    let nextOffset = 0;
    for await (const entry of topic.records()) {
      expect(entry.offset).to.equal(nextOffset);
      if (entry.type === 'record')
        expect(entry.payload.toString()).to.match(new RegExp(`^order ${nextOffset}: `));
      const count = entry.type === 'record' ? 1 : entry.count;
      for (let offset = nextOffset; offset < nextOffset + count; offset++)
        expect(entry.type === 'gap', `offset ${offset} is a ${entry.type}`).to.equal(lost.has(offset));
      nextOffset += count;
    }
    await topic.close();
    expect(nextOffset).to.equal(17);
    await this.undoAll();
  }

  /** The newest run that kept something. */
  lastRun(): string {
    const context = openDataDirectory(this.sandbox.dataDirectory).context('orders');
    return listRecoveryRuns(context).at(-1)?.run ?? '';
  }

  async undoAll(): Promise<void> {
    const context = openDataDirectory(this.sandbox.dataDirectory).context('orders');
    for (const { run, manifest } of listRecoveryRuns(context).reverse())
      if (manifest !== undefined) await undoRecovery(context, { run, lockTimeoutMs: 2000 });
    const stores = storesOf(snapshotOf(this.topic));
    for (const [name, bytes] of this.#damaged) expect(stores.get(name), name).to.equal(bytes);
  }
}

/**
 * Ends `recover` of a topic of the corpus, and then its undo, at every `stride`-th of its system calls in every way.
 */
export async function interruptCommands(
  name: string,
  stride: number,
): Promise<{ calls: number; ended: number }> {
  const interruption = new Interruption(name);
  const recover = ['recover', 'orders', '--json'];
  const recovered = join(interruption.sandbox.directory, 'recovered');
  interruption.run(recover, SWEEPS[0]);
  cpSync(interruption.sandbox.dataDirectory, recovered, { recursive: true });
  let calls = 0;
  let ended = 0;

  /** The command for a topic that was made anew; for the undo, one that was recovered. */
  const prepare = (isUndo: boolean): string[] => {
    interruption.reset(isUndo ? recovered : undefined);
    return isUndo ? ['recover', 'orders', '--undo', interruption.lastRun()] : recover;
  };
  const sweep = async (isUndo: boolean, sweepCalls: string): Promise<void> => {
    const { count, status } = interruption.run(prepare(isUndo), sweepCalls);
    expect(status).to.be.oneOf([0, 4]);
    calls += count;
    for (let at = 1 + Math.floor(stride / 2); at <= count; at += stride)
      for (const type of ['signal=KILL', 'error=EIO'] as const) {
        const outcome = interruption.run(prepare(isUndo), sweepCalls, { type, at });
        const allowed = type === 'error=EIO' ? [0, 1, 4] : [null];
        expect(outcome.status, `${sweepCalls} ${type} ${at}`).to.be.oneOf(allowed);
        ended += 1;
        if (isUndo) await interruption.undoAll();
        await interruption.expectRecoverable();
      }
  };

  try {
    for (const isUndo of [false, true]) for (const each of SWEEPS) await sweep(isUndo, each);
    return { calls, ended };
  } finally {
    interruption.sandbox.remove();
  }
}
