/**
 * The one table of settings: validation, `--help`, `--print-config`, `topics set` and docs/CONFIGURATION.md are made
 * from it. A topic's settings are stored in it when it is created and changed by `topics set` only; a command's hold
 * for one run.
 */
import { FastQueueError } from './errors.ts';
import {
  DEFAULT_BATCH_BYTES,
  DEFAULT_INDEX_INTERVAL_BYTES,
  DEFAULT_LOCK_TIMEOUT_MS,
  DEFAULT_MAX_RECORD_BYTES,
  DEFAULT_MERGE_BELOW_BYTES,
  DEFAULT_REQUEST_TIMEOUT_MS,
  DEFAULT_RETENTION_AGE_MS,
  DEFAULT_SEGMENT_BYTES,
  MAX_BATCH_BYTES,
} from './limits.ts';
import { MAX_RECORD_BYTES } from './format/frame.ts';
import { nearestName } from './nearest-name.ts';
import { formatDuration, formatExactSize, parseDuration, parseSize } from './quantities.ts';

export type SettingType = 'size' | 'duration' | 'boolean';

export interface Setting {
  /** Name in topic.json, fastqueue.json, `topics set` and `--print-config`. */
  readonly name: string;
  readonly type: SettingType;
  /** Bytes, milliseconds, or 0 and 1. */
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** True when 0 or `none` switches it off. */
  readonly mayBeOff: boolean;
  /** `topic`: stored in the topic. `command`: holds for one run. */
  readonly scope: 'topic' | 'command';
  readonly environmentVariable: string;
  /** The flag that sets it, where a command has one. */
  readonly flag: string | undefined;
  /** One sentence. */
  readonly summary: string;
}

const HUNDRED_YEARS_MS = 100 * 365 * 86_400_000;

export const SETTINGS = [
  {
    name: 'segmentBytes',
    type: 'size',
    default: DEFAULT_SEGMENT_BYTES,
    min: 1024,
    max: 2 ** 40,
    mayBeOff: false,
    scope: 'topic',
    environmentVariable: 'FASTQUEUE_SEGMENT_BYTES',
    flag: undefined,
    summary: 'A store rolls when the next batch would take it past this many bytes.',
  },
  {
    name: 'indexIntervalBytes',
    type: 'size',
    default: DEFAULT_INDEX_INTERVAL_BYTES,
    min: 64,
    max: 1024 ** 3,
    mayBeOff: false,
    scope: 'topic',
    environmentVariable: 'FASTQUEUE_INDEX_INTERVAL_BYTES',
    flag: undefined,
    summary: 'The index gets an entry for the first record this many store bytes behind the last entry.',
  },
  {
    name: 'retentionAgeMs',
    type: 'duration',
    default: DEFAULT_RETENTION_AGE_MS,
    min: 1,
    max: HUNDRED_YEARS_MS,
    mayBeOff: true,
    scope: 'topic',
    environmentVariable: 'FASTQUEUE_RETENTION_AGE',
    flag: 'retain-age',
    summary: 'Whole segments whose last record is older than this are deleted; 0 or none keeps for ever.',
  },
  {
    name: 'retentionBytes',
    type: 'size',
    default: 0,
    min: 1024,
    max: Number.MAX_SAFE_INTEGER,
    mayBeOff: true,
    scope: 'topic',
    environmentVariable: 'FASTQUEUE_RETENTION_BYTES',
    flag: 'retain-bytes',
    summary:
      'Whole oldest segments are deleted while the topic has more bytes than this; 0 or none sets no bound.',
  },
  {
    name: 'batchBytes',
    type: 'size',
    default: DEFAULT_BATCH_BYTES,
    min: 1,
    max: MAX_BATCH_BYTES,
    mayBeOff: false,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_BATCH_BYTES',
    flag: 'batch-bytes',
    summary:
      'produce: framed bytes that are written and synced at once at the most; no more than segmentBytes where that is over 1 MiB.',
  },
  {
    name: 'lingerMs',
    type: 'duration',
    default: 0,
    min: 0,
    max: 3_600_000,
    mayBeOff: true,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_LINGER',
    flag: 'linger',
    summary: 'produce: how long to wait for a batch to fill before it is stored.',
  },
  {
    name: 'maxRecordBytes',
    type: 'size',
    default: DEFAULT_MAX_RECORD_BYTES,
    min: 0,
    max: MAX_RECORD_BYTES,
    mayBeOff: false,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_MAX_RECORD_BYTES',
    flag: 'max-record-bytes',
    summary: 'produce: a larger record is refused.',
  },
  {
    name: 'maxBodyBytes',
    type: 'size',
    default: MAX_BATCH_BYTES,
    min: 1,
    max: MAX_BATCH_BYTES,
    mayBeOff: false,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_MAX_BODY',
    flag: 'max-body',
    summary: 'serve: a request with a larger body is refused.',
  },
  {
    name: 'requestTimeoutMs',
    type: 'duration',
    default: DEFAULT_REQUEST_TIMEOUT_MS,
    min: 100,
    max: 3_600_000,
    mayBeOff: false,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_REQUEST_TIMEOUT',
    flag: 'request-timeout',
    summary:
      'serve: a request that has not come wholly by then, or a reader that takes nothing for so long, is cut.',
  },
  {
    name: 'lockTimeoutMs',
    type: 'duration',
    default: DEFAULT_LOCK_TIMEOUT_MS,
    min: 0,
    max: 86_400_000,
    mayBeOff: true,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_LOCK_TIMEOUT',
    flag: 'lock-timeout',
    summary: 'How long to wait for a topic that another process holds.',
  },
  {
    name: 'mergeBelowBytes',
    type: 'size',
    default: DEFAULT_MERGE_BELOW_BYTES,
    min: 1024,
    max: 2 ** 40,
    mayBeOff: true,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_MERGE_BELOW',
    flag: 'merge-below',
    summary: 'compact: neighbouring segments smaller than this are merged; 0 or none merges nothing.',
  },
  {
    name: 'map',
    type: 'boolean',
    default: 1,
    min: 0,
    max: 1,
    mayBeOff: true,
    scope: 'command',
    environmentVariable: 'FASTQUEUE_MAP',
    flag: undefined,
    summary: 'serve and the library: map the indexes of sealed segments into memory.',
  },
] as const satisfies readonly Setting[];

export type SettingName = (typeof SETTINGS)[number]['name'];

/** The settings that are stored in topic.json. Bytes and milliseconds; 0 where one is off. */
export interface TopicSettings {
  readonly segmentBytes: number;
  readonly indexIntervalBytes: number;
  readonly retentionAgeMs: number;
  readonly retentionBytes: number;
}

export const TOPIC_SETTING_NAMES = [
  'segmentBytes',
  'indexIntervalBytes',
  'retentionAgeMs',
  'retentionBytes',
] as const satisfies readonly (keyof TopicSettings)[];

export const DEFAULT_TOPIC_SETTINGS: TopicSettings = {
  segmentBytes: DEFAULT_SEGMENT_BYTES,
  indexIntervalBytes: DEFAULT_INDEX_INTERVAL_BYTES,
  retentionAgeMs: DEFAULT_RETENTION_AGE_MS,
  retentionBytes: 0,
};

/**
 * The row of the table for a name.
 *
 * @param scope where only settings of one are meant
 * @throws FastQueueError `invalid_argument`, naming the nearest right one
 */
export function settingNamed(name: string, scope?: Setting['scope']): Setting {
  const rows: readonly Setting[] = SETTINGS.filter((row) => scope === undefined || row.scope === scope);
  const row = rows.find((candidate) => candidate.name === name);
  if (row !== undefined) return row;
  const names = rows.map((candidate) => candidate.name);
  const nearest = nearestName(name, names);
  const hint = nearest === undefined ? `There are: ${names.join(', ')}.` : `Did you mean ${nearest}?`;
  throw new FastQueueError(
    'invalid_argument',
    `There is no ${scope === undefined ? '' : `${scope} `}setting ${JSON.stringify(name)}. ${hint}`,
  );
}

/**
 * A value as text (flag, environment, `topics set`) or as JSON (a number in bytes or milliseconds, a boolean, or text).
 *
 * @throws FastQueueError `invalid_argument`, naming the bounds
 */
export function parseSetting(setting: Setting, value: unknown): number {
  const number = readValue(setting, value);
  if (number === 0 && setting.mayBeOff) return 0;
  if (!Number.isSafeInteger(number) || number < setting.min || number > setting.max) {
    const bounds = { ...setting, mayBeOff: false };
    throw new FastQueueError(
      'invalid_argument',
      `${setting.name} must be between ${formatSettingValue(bounds, setting.min)} and ${formatSettingValue(setting, setting.max)}` +
        `${orOff(setting)}; ${JSON.stringify(value)} is not.`,
    );
  }
  return number;
}

function orOff({ mayBeOff, min }: Setting): string {
  if (!mayBeOff) return '';
  return min === 0 ? ', or none' : ', or 0 or none';
}

function readValue(setting: Setting, value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean' && setting.type === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string') return NaN;
  if (value === 'none' && setting.mayBeOff) return 0;
  switch (setting.type) {
    case 'size':
      return parseSize(value, `value of ${setting.name}`);
    case 'duration':
      return parseDuration(value, `value of ${setting.name}`);
    case 'boolean':
      return { true: 1, on: 1, '1': 1, false: 0, off: 0, '0': 0 }[value] ?? NaN;
  }
}

/** A value as people read it, with its unit. */
export function formatSettingValue(setting: Setting, value: number): string {
  switch (setting.type) {
    case 'size':
      return value === 0 && setting.mayBeOff ? 'none' : formatExactSize(value);
    case 'duration':
      return value === 0 && setting.mayBeOff ? 'none' : formatDuration(value);
    case 'boolean':
      return value === 1 ? 'on' : 'off';
  }
}
