/**
 * What is known of a topic as JSON says it, on the command line and over HTTP: `null` for what is not known. Pure.
 */
import type { TopicStatus } from './topic.ts';

/** Each field as in `TopicStatus`. */
export interface TopicReport {
  readonly topic: string;
  readonly id: string | null;
  readonly count: number;
  readonly startOffset: number;
  readonly nextOffset: number;
  readonly segments: number;
  readonly bytes: number;
  readonly firstTimestamp: number | null;
  readonly lastTimestamp: number | null;
  readonly generation: number;
  readonly settings: TopicStatus['settings'];
  readonly groups: readonly {
    readonly name: string;
    readonly nextOffset: number | null;
    readonly behind: number | null;
    readonly storedAt: number | null;
  }[];
}

export function topicReport(status: TopicStatus): TopicReport {
  return {
    topic: status.topic,
    id: status.id ?? null,
    count: status.count,
    startOffset: status.startOffset,
    nextOffset: status.nextOffset,
    segments: status.segments,
    bytes: status.bytes,
    firstTimestamp: status.firstTimestamp ?? null,
    lastTimestamp: status.lastTimestamp ?? null,
    generation: status.generation,
    settings: status.settings,
    groups: status.groups.map(({ name, nextOffset = null, behind = null, storedAt = null }) => ({
      name,
      nextOffset,
      behind,
      storedAt,
    })),
  };
}
