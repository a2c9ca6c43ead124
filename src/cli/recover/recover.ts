/**
 * What the recover command calls: which topics are meant, and one of the engine's use-cases for each.
 */
import { resolve } from 'node:path';
import {
  commandLine,
  FastQueueError,
  listRecoveryRuns,
  purgeRecovery,
  recoverTopic,
  undoRecovery,
  type DataDirectory,
  type RecoverReport,
  type RecoveryRun,
  type UndoReport,
} from '../../engine/index.ts';
import { defaultJobs, storeBytes } from '../jobs.ts';
import type { Progress } from '../views/progress.ts';

export interface RecoverWork {
  readonly directory: DataDirectory;
  /** Names as given; none: all topics. */
  readonly topics: readonly string[];
}

const topicsOf = (work: RecoverWork): readonly string[] =>
  work.topics.length > 0 ? work.topics : work.directory.listTopics();

/** Recovers one topic after the other. One that fails does not keep the others from being recovered. */
export async function* recoverTopics(
  work: RecoverWork,
  options: {
    dryRun: boolean;
    tryBitFlip: boolean;
    out: string | undefined;
    unreadableAsDamage: boolean;
    progress: Progress;
    onFailure: (error: unknown) => void;
  },
): AsyncGenerator<RecoverReport> {
  options.progress.totalBytes = storeBytes(work.directory, topicsOf(work));
  for (const topic of topicsOf(work)) {
    try {
      yield await recoverTopic(work.directory.context(topic), {
        dryRun: options.dryRun,
        tryBitFlip: options.tryBitFlip,
        out: options.out === undefined ? undefined : resolve(options.out),
        unreadableAsDamage: options.unreadableAsDamage,
        lockTimeoutMs: work.directory.lockTimeoutMs,
        jobs: defaultJobs(),
        onBytes: (byteCount) => {
          options.progress.doneBytes += byteCount;
        },
      });
    } catch (error) {
      options.onFailure(error);
    }
  }
}

/** All runs of the topics that are meant. */
export function listRuns(work: RecoverWork): RecoveryRun[] {
  return topicsOf(work).flatMap((topic) => listRecoveryRuns(work.directory.context(topic)));
}

/** @throws FastQueueError `recovery_incomplete`, `invalid_argument` */
export function undoRun(work: RecoverWork, run: string): Promise<UndoReport> {
  const { directory } = work;
  const context = directory.context(topicOfRun(work, run));
  return undoRecovery(context, { run, lockTimeoutMs: directory.lockTimeoutMs });
}

/** @throws FastQueueError `invalid_argument` */
export function purgeRun(work: RecoverWork, run: string): Promise<RecoveryRun> {
  const { directory } = work;
  const context = directory.context(topicOfRun(work, run));
  return purgeRecovery(context, { run, lockTimeoutMs: directory.lockTimeoutMs });
}

function topicOfRun(work: RecoverWork, run: string): string {
  const found = listRuns(work).find((candidate) => candidate.run === run);
  if (found !== undefined) return found.topic;
  throw new FastQueueError(
    'invalid_argument',
    `There is no recovery run ${JSON.stringify(run)}. "${commandLine(work.directory, 'recover --list-runs')}" lists them.`,
  );
}
