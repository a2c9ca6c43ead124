/**
 * Runs in quarantine: what each kept, what it left in its place, and whether it was carried through. Reads and lists;
 * removes only what it is asked to.
 *
 * A run's folder says how far it came: no manifest: killed while it still copied, nothing was changed; no `applied`:
 * killed while it changed things, and `told` once the next one has told of it; `undone`: taken back.
 */
import { join } from 'node:path';
import { commandLine } from '../command-line.ts';
import { FastQueueError } from '../errors.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { FileHandle } from '../io/file-system.ts';
import { MANIFEST_FILE, removeRun, type QuarantinedRegion, type QuarantineManifest } from '../quarantine.ts';
import type { LostOffsets, RegionMethod } from './plan.ts';
import { quarantinePath, type TopicContext } from '../topic-directory.ts';

/** One region of a store as a run found it and as it left it. */
export interface StoreChange {
  readonly baseOffset: number;
  readonly code: string;
  readonly method: RegionMethod;
  /** Offset of the frame that begins there. */
  readonly offset: number;
  /** Where it stood, how long it was, and CRC-32 of what stood there; `copy` in the run's folder has the bytes. */
  readonly position: number;
  readonly byteCount: number;
  readonly checksum: number;
  readonly copy: string;
  /** Where it stands now: elsewhere only in a segment that was rewritten. */
  readonly leftPosition: number;
  readonly leftByteCount: number;
  /** Size of the whole store as the run left it. */
  readonly leftStoreBytes: number;
  /** Frames went from here to other places of the run, or came from there: until all is written some are in its copies only. */
  readonly isExchanged: boolean;
  /** What was written, where the rest stayed as it was … */
  readonly patches?: readonly { readonly position: number; readonly hex: string }[];
  /** … else the file in the run's folder that has all of it. */
  readonly content?: string;
}

/** A store that the run made. */
export interface CreatedStore {
  readonly baseOffset: number;
  readonly hex: string;
  /** True where an empty file stood there. Runs of older versions do not say it. */
  readonly wasEmpty?: boolean;
}

/** Stores whose names the run changed, as pairs of base offsets: the first was renamed to the second. */
export interface RenamedStore {
  readonly from: number;
  readonly to: number;
}

/** What the manifest of a recover run says besides what every manifest says. */
export interface RecoverManifest extends QuarantineManifest {
  readonly changes: readonly StoreChange[];
  readonly created: readonly CreatedStore[];
  readonly renamed: readonly RenamedStore[];
  readonly lost: readonly LostOffsets[];
  readonly markBefore: HighWatermark;
  /** The mark as the run left it, generation aside. */
  readonly markLeft: HighWatermark;
}

export type RunState = 'unfinished' | 'interrupted' | 'applied' | 'undone';

export interface RecoveryRun {
  readonly run: string;
  readonly topic: string;
  readonly state: RunState;
  /** True of a killed run whose losses a later one has told. */
  readonly isTold: boolean;
  /** Path of the run's folder. */
  readonly path: string;
  /** Undefined where the run was killed before it was written. */
  readonly manifest: QuarantineManifest | RecoverManifest | undefined;
  /** Bytes of everything in the folder. */
  readonly bytes: number;
}

const APPLIED_FILE = 'applied';
const UNDONE_FILE = 'undone';
const TOLD_FILE = 'told';

export const runPath = (context: TopicContext, run: string): string => join(quarantinePath(context), run);

export function isRecoverManifest(
  manifest: QuarantineManifest | RecoverManifest | undefined,
): manifest is RecoverManifest {
  return manifest?.reason === 'recover' && 'changes' in manifest;
}

/** All runs of a topic, oldest first. */
export function listRuns(context: TopicContext): RecoveryRun[] {
  const names = context.fileSystem.list(quarantinePath(context)) ?? [];
  return names.map((name) => readRun(context, name));
}

/**
 * One run by its id.
 *
 * @throws FastQueueError `invalid_argument` when there is none of that name
 */
export function findRun(context: TopicContext, run: string): RecoveryRun {
  const found = listRuns(context).find((candidate) => candidate.run === run);
  if (found === undefined) {
    throw new FastQueueError(
      'invalid_argument',
      `The topic "${context.topic}" has no recovery run ${JSON.stringify(run)}. "${commandLine(context, `recover ${context.topic} --list-runs`)}" lists them.`,
      { topic: context.topic, path: quarantinePath(context) },
    );
  }
  return found;
}

/** Says durably that all of a run was carried out. */
export async function markApplied(context: TopicContext, run: string): Promise<void> {
  await leaveNote(context, run, APPLIED_FILE);
}

/** Says durably that a run was taken back. */
export async function markUndone(context: TopicContext, run: string): Promise<void> {
  await leaveNote(context, run, UNDONE_FILE);
}

/** Says durably that somebody was told what a killed run had done. */
export async function markTold(context: TopicContext, run: string): Promise<void> {
  await leaveNote(context, run, TOLD_FILE);
}

/**
 * Removes a run and the bytes that it kept: it cannot be undone afterwards.
 *
 * @throws FastQueueError `invalid_argument`; disk errors as themselves
 */
export async function purgeRun(context: TopicContext, run: string): Promise<RecoveryRun> {
  const found = findRun(context, run);
  await removeRun(context, run);
  return found;
}

/** Opens a file of a run's folder for reading. */
export function openRunFile(context: TopicContext, run: string, name: string): FileHandle {
  return context.fileSystem.open(join(runPath(context, run), name), 'read');
}

/** The bytes that a region of a run kept, by their path. */
export function copyPath(
  context: TopicContext,
  run: string,
  region: Pick<QuarantinedRegion, 'copy'>,
): string {
  return join(runPath(context, run), region.copy);
}

function readRun(context: TopicContext, run: string): RecoveryRun {
  const path = runPath(context, run);
  const names = context.fileSystem.list(path) ?? [];
  const found = names.includes(MANIFEST_FILE) ? readManifest(context, run) : undefined;
  const manifest = found !== undefined && hasAllFiles(found, names) ? found : undefined;
  const bytes = names.reduce(
    (sum, name) => sum + (context.fileSystem.status(join(path, name))?.sizeBytes ?? 0),
    0,
  );
  const isTold = names.includes(TOLD_FILE);
  return { run, topic: context.topic, path, manifest, bytes, state: stateOf(names, manifest), isTold };
}

/** A power cut may leave the manifest and not yet all that it names: then nothing had been changed either. */
function hasAllFiles(manifest: QuarantineManifest | RecoverManifest, names: readonly string[]): boolean {
  const contents = isRecoverManifest(manifest) ? manifest.changes.map(({ content }) => content) : [];
  const wanted = [...manifest.regions.map(({ copy }) => copy), ...contents];
  const present = new Set(names);
  return wanted.every((name) => name === undefined || present.has(name));
}

function stateOf(names: readonly string[], manifest: QuarantineManifest | undefined): RunState {
  if (manifest === undefined) return 'unfinished';
  if (names.includes(UNDONE_FILE)) return 'undone';
  return manifest.reason !== 'recover' || names.includes(APPLIED_FILE) ? 'applied' : 'interrupted';
}

/** Undefined where the manifest was cut short by a crash: then nothing had been changed yet. */
function readManifest(context: TopicContext, run: string): QuarantineManifest | RecoverManifest | undefined {
  const file = openRunFile(context, run, MANIFEST_FILE);
  try {
    const bytes = Buffer.alloc(file.status().sizeBytes);
    return JSON.parse(bytes.toString('utf8', 0, file.read(bytes, 0))) as QuarantineManifest;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    file.close();
  }
}

async function leaveNote(context: TopicContext, run: string, name: string): Promise<void> {
  const { fileSystem } = context;
  const path = runPath(context, run);
  const file = fileSystem.open(join(path, name), 'create');
  try {
    await file.sync();
  } finally {
    file.close();
  }
  await fileSystem.syncDirectory(path);
}
