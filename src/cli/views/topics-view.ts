/**
 * Topics as tables and as JSON: what there is, from where to where, how large, and how far its groups are.
 */
import {
  commandLine,
  formatSettingValue,
  formatSize,
  formatTime,
  SETTINGS,
  topicReport,
  type CommandPlace,
  type TopicStatus,
} from '../../engine/index.ts';
import { alignColumns } from './columns.ts';

/** One line a topic, with a heading. */
export function topicsTable(topics: readonly TopicStatus[]): string {
  const heading = ['TOPIC', 'RECORDS', 'START', 'NEXT', 'SEGMENTS', 'BYTES', 'FIRST', 'LAST'];
  const rows = topics.map((topic) => [
    topic.topic,
    String(topic.count),
    String(topic.startOffset),
    String(topic.nextOffset),
    String(topic.segments),
    formatSize(topic.bytes),
    timeOf(topic.firstTimestamp),
    timeOf(topic.lastTimestamp),
  ]);
  return alignColumns([heading, ...rows], { right: [1, 2, 3, 4] });
}

/** Everything about one topic. */
export function topicDetails(topic: TopicStatus, place: CommandPlace): string {
  const facts = [
    ['topic', topic.topic],
    ['id', topic.id ?? 'unknown (topic.json is missing or unsound)'],
    ['records', `${topic.count} (offsets ${topic.startOffset} to before ${topic.nextOffset})`],
    ['segments', `${topic.segments}, ${formatSize(topic.bytes)}`],
    ['first record', timeOf(topic.firstTimestamp)],
    ['last record', timeOf(topic.lastTimestamp)],
    ['generation', String(topic.generation)],
    ...settingRows(topic),
    ...topic.groups.map(({ name, nextOffset, behind, storedAt }) => [
      `group ${name}`,
      nextOffset === undefined
        ? `unsound: set it with "${commandLine(place, `topics reset ${topic.topic} --group ${name} --to OFFSET`)}"`
        : `next offset ${nextOffset}, ${behind ?? 0} behind, stored ${timeOf(storedAt)}`,
    ]),
  ];
  return alignColumns(facts, { right: [] });
}

/** The same as an object; field names are stable. */
export function topicAsJson(topic: TopicStatus): object {
  return { type: 'topic', ...topicReport(topic) };
}

function settingRows(topic: TopicStatus): string[][] {
  return Object.entries(topic.settings).map(([name, value]: [string, number]) => {
    const setting = SETTINGS.find((row) => row.name === name);
    return [name, setting === undefined ? String(value) : formatSettingValue(setting, value)];
  });
}

const timeOf = (timestampMs: number | undefined): string =>
  timestampMs === undefined ? '-' : formatTime(timestampMs);
