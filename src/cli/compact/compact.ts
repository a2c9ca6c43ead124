/**
 * What the compact command calls: which topics are meant, and the engine's use-case for each.
 */
import {
  compactTopic,
  parseOffsetSpec,
  type CompactOptions,
  type CompactReport,
  type DataDirectory,
} from '../../engine/index.ts';
import { EXIT } from '../exit-status.ts';
import { usageError } from '../report-error.ts';
import type { Progress } from '../views/progress.ts';

export interface CompactWork {
  readonly directory: DataDirectory;
  /** Names as given; none: all topics. */
  readonly topics: readonly string[];
}

/** Deletions of topics that were finished, or the report of a topic. */
export type CompactDone =
  | { readonly type: 'deletions'; readonly count: number }
  | { readonly type: 'topic'; readonly report: CompactReport };

/**
 * Finishes deletions that were interrupted, then compacts one topic after the other. One that fails does not keep the
 * others from being compacted.
 */
export async function* compactTopics(
  work: CompactWork,
  options: Pick<CompactOptions, 'dryRun' | 'retainAgeMs' | 'retainBytes' | 'before' | 'mergeBelowBytes'> & {
    progress: Progress;
    onFailure: (error: unknown) => void;
  },
): AsyncGenerator<CompactDone> {
  const { directory } = work;
  const { progress, onFailure, ...rest } = options;
  const topics = work.topics.length > 0 ? work.topics : directory.listTopics();
  try {
    const count = options.dryRun ? directory.listDeletions().length : await directory.finishDeletions();
    yield { type: 'deletions', count };
  } catch (error) {
    onFailure(error);
  }
  for (const topic of topics) {
    try {
      const report = await compactTopic(directory.context(topic), {
        ...rest,
        lockTimeoutMs: directory.lockTimeoutMs,
        onTotal: (byteCount) => {
          progress.totalBytes = (progress.totalBytes ?? 0) + byteCount;
        },
        onBytes: (byteCount) => {
          progress.doneBytes += byteCount;
        },
      });
      yield { type: 'topic', report };
    } catch (error) {
      onFailure(error);
    }
  }
}

/** `--before`: an offset or `@TIME`. @throws FastQueueError `invalid_argument` */
export function parseBefore(text: string): { offset: number } | { timestamp: number } {
  const { from, until } = parseOffsetSpec(text, Date.now());
  if (until === undefined && from?.type === 'offset') return { offset: from.offset };
  if (until === undefined && from?.type === 'time') return { timestamp: from.timestamp };
  throw usageError(`${JSON.stringify(text)} is not one place in the log: write an offset like 42, or @TIME.`);
}

/** Damage outranks a disk without room. */
export function statusOfCompact(report: CompactReport): number {
  if (report.damaged.length > 0 || !report.isSettingsSound) return EXIT.damage;
  return report.noRoom.length > 0 ? EXIT.failed : EXIT.done;
}
