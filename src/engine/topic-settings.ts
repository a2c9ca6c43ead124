/**
 * topic.json, where the settings of a topic live, and fastqueue.json, the defaults for topics that are created in a data
 * directory. Settings come from here only once a topic exists.
 */
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import { FastQueueError } from './errors.ts';
import { DATA_DIRECTORY_SETTINGS_FILE, temporaryFileName } from './format/file-names.ts';
import type { FileSystem } from './io/file-system.ts';
import { openIfThere } from './io/open-if-there.ts';
import { writeWhole } from './io/write-whole.ts';
import {
  DEFAULT_TOPIC_SETTINGS,
  parseSetting,
  settingNamed,
  type Setting,
  type SettingName,
  TOPIC_SETTING_NAMES,
  type TopicSettings,
} from './settings.ts';
import { settingsPath, type TopicContext } from './topic-directory.ts';

export interface TopicDocument {
  readonly format: 1;
  /** UUID, new for every topic ever created. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly settings: TopicSettings;
}

const FORMAT = 1;

/** A settings file is small; more than this is not one. */
const MAX_SETTINGS_FILE_BYTES = 1024 * 1024;

const DOCUMENT_SHAPE = v.object({
  format: v.number(),
  id: v.pipe(v.string(), v.uuid()),
  created: v.string(),
  settings: v.record(v.string(), v.unknown()),
});

/**
 * The topic's document, or undefined where it is missing or unsound: then the defaults hold, and nothing may be deleted.
 *
 * @throws FastQueueError `newer_format` for a format this version does not know; disk errors as themselves
 */
export function readTopicSettings(context: TopicContext): TopicDocument | undefined {
  const json = readJson(context.fileSystem, settingsPath(context));
  if (
    typeof json === 'object' &&
    json !== null &&
    'format' in json &&
    typeof json.format === 'number' &&
    json.format > FORMAT
  ) {
    throw new FastQueueError(
      'newer_format',
      `The topic "${context.topic}" has format ${json.format}, written by a newer FastQueue. Upgrade this one.`,
      { topic: context.topic, path: settingsPath(context) },
    );
  }
  const parsed = v.safeParse(DOCUMENT_SHAPE, json);
  if (!parsed.success || parsed.output.format !== FORMAT) return undefined;
  try {
    const { id, created, settings } = parsed.output;
    return {
      format: FORMAT,
      id,
      created,
      settings: { ...DEFAULT_TOPIC_SETTINGS, ...checkTopicSettings(settings) },
    };
  } catch (error) {
    if (error instanceof FastQueueError && error.code === 'invalid_argument') return undefined;
    throw error;
  }
}

/** Replaces topic.json: temporary file, sync, rename, directory sync. Durable when it resolves. */
export async function writeTopicSettings(context: TopicContext, document: TopicDocument): Promise<void> {
  const { fileSystem, directory } = context;
  const path = settingsPath(context);
  const temporaryPath = temporaryFileName(path, randomUUID());
  const file = fileSystem.open(temporaryPath, 'create-new');
  try {
    writeWhole(file, Buffer.from(`${JSON.stringify(document, null, 2)}\n`), 0);
    await file.sync();
    fileSystem.rename(temporaryPath, path);
  } catch (error) {
    fileSystem.unlink(temporaryPath);
    throw error;
  } finally {
    file.close();
  }
  await fileSystem.syncDirectory(directory);
}

/**
 * Values for topic settings, each checked. Numbers are bytes and milliseconds; text is as `topics set` takes it.
 *
 * @throws FastQueueError `invalid_argument` for a name or value that is wrong
 */
export function checkTopicSettings(values: Readonly<Record<string, unknown>>): Partial<TopicSettings> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, parseSetting(settingNamed(name, 'topic'), value)]),
  );
}

/** Where a value in force came from. */
export type SettingOrigin = 'given' | 'environment' | 'fastqueue.json' | 'default';

/**
 * What a topic created now would be given, and from where: what the caller names, else the environment, else
 * fastqueue.json, else the default.
 */
export function resolveTopicSettings(request: {
  fileSystem: FileSystem;
  dataDirectory: string;
  settings: Partial<TopicSettings>;
}): Record<keyof TopicSettings, { value: number; origin: SettingOrigin }> {
  const fromFile = readDataDirectoryDefaults(request.fileSystem, request.dataDirectory).topic;
  const resolveOne = (name: keyof TopicSettings): { value: number; origin: SettingOrigin } => {
    const given = request.settings[name];
    if (given !== undefined)
      return { value: parseSetting(settingNamed(name, 'topic'), given), origin: 'given' };
    const setting = settingNamed(name, 'topic');
    const environment = process.env[setting.environmentVariable];
    if (environment !== undefined && environment !== '')
      return { value: parseVariable(setting, environment), origin: 'environment' };
    const inFile = fromFile[name];
    if (inFile !== undefined) return { value: inFile, origin: 'fastqueue.json' };
    return { value: setting.default, origin: 'default' };
  };
  return Object.fromEntries(TOPIC_SETTING_NAMES.map((name) => [name, resolveOne(name)])) as Record<
    keyof TopicSettings,
    { value: number; origin: SettingOrigin }
  >;
}

/** @throws FastQueueError `invalid_argument` naming the variable */
export function parseVariable(setting: Setting, text: string): number {
  try {
    return parseSetting(setting, text);
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
    throw new FastQueueError(error.code, `${setting.environmentVariable}: ${error.message}`, error.details);
  }
}

/** The values alone. @throws FastQueueError `invalid_argument` */
export function settingsForNewTopic(request: {
  fileSystem: FileSystem;
  dataDirectory: string;
  settings: Partial<TopicSettings>;
}): TopicSettings {
  const resolved = resolveTopicSettings(request);
  return Object.fromEntries(
    TOPIC_SETTING_NAMES.map((name) => [name, resolved[name].value]),
  ) as unknown as TopicSettings;
}

/** What fastqueue.json says, by scope: settings of topics that are created here, and of commands that run here. */
export interface DataDirectoryDefaults {
  readonly topic: Partial<TopicSettings>;
  readonly command: Partial<Record<SettingName, number>>;
}

/**
 * fastqueue.json, which may be missing.
 *
 * @throws FastQueueError `invalid_argument` when it is not what it should be
 */
export function readDataDirectoryDefaults(
  fileSystem: FileSystem,
  dataDirectory: string,
): DataDirectoryDefaults {
  const path = join(dataDirectory, DATA_DIRECTORY_SETTINGS_FILE);
  if (fileSystem.status(path) === undefined) return { topic: {}, command: {} };
  const parsed = v.safeParse(v.record(v.string(), v.unknown()), readJson(fileSystem, path));
  if (!parsed.success) {
    throw new FastQueueError(
      'invalid_argument',
      `${path} is not a JSON object of settings. Mend or remove it.`,
      { path },
    );
  }
  try {
    const checked = Object.entries(parsed.output).map(([name, value]) => {
      const setting = settingNamed(name);
      return [setting, parseSetting(setting, value)] as const;
    });
    const ofScope = (scope: Setting['scope']): Record<string, number> =>
      Object.fromEntries(
        checked.flatMap(([setting, value]) => (setting.scope === scope ? [[setting.name, value]] : [])),
      );
    return { topic: ofScope('topic'), command: ofScope('command') };
  } catch (error) {
    if (!(error instanceof FastQueueError)) throw error;
    throw new FastQueueError(error.code, `${path}: ${error.message}`, { path, cause: error });
  }
}

/** What the file holds, or undefined where it is missing, too large or not JSON. */
function readJson(fileSystem: FileSystem, path: string): unknown {
  const file = openIfThere(fileSystem, path);
  if (file === undefined) return undefined;
  try {
    const { sizeBytes } = file.status();
    if (sizeBytes > MAX_SETTINGS_FILE_BYTES) return undefined;
    const bytes = Buffer.alloc(sizeBytes);
    return JSON.parse(bytes.toString('utf8', 0, file.read(bytes, 0))) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    file.close();
  }
}
