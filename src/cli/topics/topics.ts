/**
 * The use-cases behind `fastqueue topics …`. Parses no flags and prints nothing.
 */
import {
  FastQueueError,
  formatSettingValue,
  parseOffsetSpec,
  parseTopicSettings,
  resolveOffset,
  settingNamed,
  type DataDirectory,
  type OffsetPoint,
  type Topic,
  type TopicSettings,
  type TopicStatus,
} from '../../engine/index.ts';
import type { SettingInForce } from '../command-settings.ts';
import { usageError } from '../report-error.ts';

/** Topics by name, and why others cannot be told of. */
export interface TopicListing {
  readonly topics: readonly TopicStatus[];
  readonly failures: readonly FastQueueError[];
}

/**
 * Every topic of a data directory. One that is damaged hides no other, and one that is deleted meanwhile is not there.
 *
 * @throws FastQueueError `data_directory_not_found`
 */
export async function listTopics(dataDirectory: DataDirectory): Promise<TopicListing> {
  const topics: TopicStatus[] = [];
  const failures: FastQueueError[] = [];
  for (const name of dataDirectory.listTopics()) {
    try {
      topics.push(await topicStatus(dataDirectory, name));
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
      if (error.code !== 'topic_not_found') failures.push(error);
    }
  }
  return { topics, failures };
}

/**
 * What the topic holds for whoever reads it now, or goes on appending.
 *
 * @throws FastQueueError `topic_not_found`, `damaged` where the mark is unsound
 */
export async function topicStatus(dataDirectory: DataDirectory, name: string): Promise<TopicStatus> {
  const topic = await dataDirectory.openTopic(name, { mode: 'read' });
  try {
    await topic.settle();
    return await topic.status();
  } finally {
    await topic.close();
  }
}

/** What a topic made now would be given, and where each value comes from. */
export function topicSettingsInForce(
  dataDirectory: DataDirectory,
  given: Partial<TopicSettings>,
): SettingInForce[] {
  return Object.entries(dataDirectory.resolveSettings(given)).map(([name, { value, origin }]) => {
    const setting = settingNamed(name, 'topic');
    const source = { given: '--set', environment: setting.environmentVariable }[origin as string] ?? origin;
    return { name, value, text: formatSettingValue(setting, value), source };
  });
}

/** Makes a topic with these settings. @throws FastQueueError `condition_failed` when there is one of that name */
export async function createTopic(
  dataDirectory: DataDirectory,
  name: string,
  settings: Partial<TopicSettings>,
): Promise<TopicStatus> {
  const topic = await dataDirectory.createTopic(name, settings);
  try {
    return await topic.status();
  } finally {
    await topic.close();
  }
}

/** Changes settings of a topic that exists; durable when it resolves. */
export async function setTopicSettings(
  dataDirectory: DataDirectory,
  name: string,
  settings: Partial<TopicSettings>,
): Promise<TopicStatus> {
  const topic = await dataDirectory.openTopic(name, { mode: 'append' });
  try {
    await topic.changeSettings(settings);
    return await topic.status();
  } finally {
    await topic.close();
  }
}

/** Where a group was moved. */
export interface GroupReset {
  readonly topic: string;
  readonly group: string;
  readonly nextOffset: number;
}

/**
 * Moves a group to the offset that a spec means now.
 *
 * @throws FastQueueError `offset_out_of_range`, `offset_removed`; `locked` while the group has a consumer
 */
export async function resetGroup(
  dataDirectory: DataDirectory,
  request: { topic: string; group: string; to: string; nowMs: number },
): Promise<GroupReset> {
  const spec = parseOffsetSpec(request.to, request.nowMs);
  if (spec.from === undefined || spec.until !== undefined) {
    throw usageError(
      `--to takes one place, like 42, -10, beginning, end or @TIME; ${JSON.stringify(request.to)} is a range.`,
    );
  }
  const topic = await dataDirectory.openTopic(request.topic, { mode: 'read' });
  try {
    // Waits for its consumer. What the spec means is known behind that: the topic may be another one by then.
    const group = await topic.openGroup(request.group, { repair: true });
    try {
      await topic.settle();
      const offset = await offsetOf(topic, spec.from);
      await group.commit(offset);
      group.refuseGone();
      return { topic: topic.name, group: request.group, nextOffset: offset };
    } finally {
      group.close();
    }
  } finally {
    await topic.close();
  }
}

/** @throws FastQueueError `offset_out_of_range`, `offset_removed` */
async function offsetOf(topic: Topic, point: OffsetPoint): Promise<number> {
  const { startOffset, nextOffset } = await topic.mark();
  const bounds = { startOffset, nextOffset, offsetAtTime: (time: number) => topic.offsetAtTime(time) };
  const offset = await resolveOffset(point, bounds);
  if (offset >= startOffset && offset <= nextOffset) return offset;
  throw new FastQueueError(
    offset < startOffset ? 'offset_removed' : 'offset_out_of_range',
    `Offset ${offset} is outside "${topic.name}", which has offsets ${startOffset} to before ${nextOffset}.`,
    { topic: topic.name, offset, startOffset, endOffset: nextOffset },
  );
}

/** `key=value` pairs as settings. @throws FastQueueError `invalid_argument`, naming the nearest right name */
export function parseSettingPairs(pairs: readonly string[]): Partial<TopicSettings> {
  const entries = pairs.map((pair) => {
    const equals = pair.indexOf('=');
    if (equals === -1)
      throw usageError(`${JSON.stringify(pair)} is not a setting: write key=value, like segmentBytes=64M.`);
    return [pair.slice(0, equals), pair.slice(equals + 1)] as const;
  });
  return parseTopicSettings(Object.fromEntries(entries));
}
