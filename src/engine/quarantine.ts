/**
 * Quarantine: where bytes go before they are taken out of a log (invariant 4). One folder per run,
 *
 *     quarantine/<run-id>/manifest.json     what was taken, from where, and what was left in its place
 *     quarantine/<run-id>/<file>.<position> the bytes themselves
 *
 * Everything is durable, directory entries included, before `seal` returns; only then may the caller cut or overwrite.
 */
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { FileHandle } from './io/file-system.ts';
import { copyBytes, writeWhole } from './io/write-whole.ts';
import { gathered, jsonPieces } from './text-pieces.ts';
import { quarantinePath, type TopicContext } from './topic-directory.ts';
import { FastQueueError } from './errors.ts';

/** Why a run was made: a dead writer's tail was cut, a failed write was cut, or recover repaired damage. */
export type QuarantineReason = 'torn-tail' | 'failed-write' | 'recover';

export interface QuarantinedRegion {
  /** Name of the file in the topic directory. */
  readonly file: string;
  readonly position: number;
  readonly byteCount: number;
  /** Name of the copy in the run's folder. */
  readonly copy: string;
}

export interface QuarantineManifest {
  readonly format: 1;
  readonly run: string;
  readonly reason: QuarantineReason;
  readonly topic: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly regions: readonly QuarantinedRegion[];
}

export const MANIFEST_FILE = 'manifest.json';

/** One run being made. Copies first, then `seal`; a run without a manifest is what a killed process left. */
export class QuarantineRun {
  /** Of the last run that this process made. */
  static #lastMs = 0;

  readonly id: string;
  readonly #context: TopicContext;
  readonly #reason: QuarantineReason;
  readonly #directory: string;
  readonly #regions: QuarantinedRegion[] = [];

  /** Makes the run's folder. `id` sorts by time, and behind those that a recovery made in the same millisecond. */
  static create(context: TopicContext, reason: QuarantineReason): QuarantineRun {
    QuarantineRun.#lastMs = Math.max(Date.now(), QuarantineRun.#lastMs + 1);
    const stamp = new Date(QuarantineRun.#lastMs).toISOString().replace(/[-:]/g, '').replace('.', '');
    const run = new QuarantineRun(context, reason, `${stamp}-${reason}-${randomUUID().slice(0, 8)}`);
    context.fileSystem.makeDirectory(quarantinePath(context));
    context.fileSystem.makeDirectory(run.#directory);
    return run;
  }

  private constructor(context: TopicContext, reason: QuarantineReason, id: string) {
    this.id = id;
    this.#context = context;
    this.#reason = reason;
    this.#directory = join(quarantinePath(context), id);
  }

  /** Copies bytes of `source`, which is `fileName` in the topic directory, and syncs the copy. Returns its name. */
  async keep(
    source: FileHandle,
    fileName: string,
    region: { position: number; byteCount: number },
  ): Promise<string> {
    const { position, byteCount } = region;
    const copy = `${fileName}.${position}`;
    await this.writeFile(copy, (target) => {
      copyBytes(source, target, { from: position, to: 0, byteCount });
    });
    this.#regions.push({ file: fileName, position, byteCount, copy });
    return copy;
  }

  /** Makes one more file in the run's folder, filled by `fill`, and syncs it. */
  async writeFile(name: string, fill: (file: FileHandle) => void): Promise<void> {
    const file = this.#context.fileSystem.open(join(this.#directory, name), 'create-new');
    try {
      fill(file);
      await file.sync();
    } finally {
      file.close();
    }
  }

  /** Opens a file of the run's folder for reading. */
  openFile(name: string): FileHandle {
    return this.#context.fileSystem.open(join(this.#directory, name), 'read');
  }

  /** Gives the run up before anything was cut: what it kept stands where it was, and a full disk needs the room. */
  async discard(): Promise<void> {
    try {
      await removeRun(this.#context, this.id);
    } catch (error) {
      // What stays is a run without a manifest, as a killed process leaves one.
      if (!(error instanceof FastQueueError)) throw error;
    }
  }

  /** Writes the manifest and makes everything durable. `details` are the run's own facts, kept in the manifest. */
  async seal(details: Readonly<Record<string, unknown>> = {}): Promise<QuarantineManifest> {
    const manifest: QuarantineManifest = {
      format: 1,
      run: this.id,
      reason: this.#reason,
      topic: this.#context.topic,
      time: new Date().toISOString(),
      regions: this.#regions,
      ...details,
    };
    const { fileSystem, directory } = this.#context;
    await this.writeFile(MANIFEST_FILE, (file) => {
      let position = 0;
      for (const bytes of gathered(jsonPieces(manifest, '\n'))) {
        writeWhole(file, bytes, position);
        position += bytes.length;
      }
    });
    await fileSystem.syncDirectory(this.#directory);
    await fileSystem.syncDirectory(quarantinePath(this.#context));
    await fileSystem.syncDirectory(directory);
    return manifest;
  }
}

/** How many runs of reason `torn-tail` are kept; others stay until they are purged. */
const KEPT_TORN_TAILS = 16;

/** Removes the oldest torn-tail runs past the sixteenth. */
export async function pruneTornTails(context: TopicContext): Promise<void> {
  const { fileSystem } = context;
  const runs = (fileSystem.list(quarantinePath(context)) ?? []).filter((run) => run.includes('-torn-tail-'));
  for (const run of runs.slice(0, -KEPT_TORN_TAILS)) await removeRun(context, run);
}

/** Removes one run, manifest last, so that a run that is half removed is still recognised. */
export async function removeRun(context: TopicContext, run: string): Promise<void> {
  const { fileSystem } = context;
  const directory = join(quarantinePath(context), run);
  const names = (fileSystem.list(directory) ?? []).filter((name) => name !== MANIFEST_FILE);
  for (const name of [...names, MANIFEST_FILE]) fileSystem.unlink(join(directory, name));
  fileSystem.removeDirectory(directory);
  await fileSystem.syncDirectory(quarantinePath(context));
}
