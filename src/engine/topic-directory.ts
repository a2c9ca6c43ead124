/**
 * Where the files of one topic are, and what is there now. Owns paths and listings; opens nothing and judges nothing.
 */
import { join } from 'node:path';
import {
  classifyTopicFile,
  GROUPS_DIRECTORY,
  HIGH_WATERMARK_FILE,
  HOLDER_FILE,
  indexFileName,
  QUARANTINE_DIRECTORY,
  storeFileName,
  TOPIC_SETTINGS_FILE,
} from './format/file-names.ts';
import type { FileSystem } from './io/file-system.ts';
import type { Kernel } from './kernel/kernel.ts';
import { commandLine, type CommandPlace } from './command-line.ts';
import { FastQueueError } from './errors.ts';

/** What every part of the engine that works on one topic is given. */
export interface TopicContext extends CommandPlace {
  readonly fileSystem: FileSystem;
  /** Shared by the process: its memory belongs to whoever runs now, and only until that yields. */
  readonly kernel: Kernel;
  /** Path of the topic directory. */
  readonly directory: string;
  /** Name of the topic, for messages. */
  readonly topic: string;
}

export const storePath = (context: TopicContext, baseOffset: number): string =>
  join(context.directory, storeFileName(baseOffset));
export const indexPath = (context: TopicContext, baseOffset: number): string =>
  join(context.directory, indexFileName(baseOffset));
/** Bytes of the store of that base; undefined where there is none. */
export const storeBytes = (context: TopicContext, baseOffset: number): number | undefined =>
  context.fileSystem.status(storePath(context, baseOffset))?.sizeBytes;
export const markPath = (context: TopicContext): string => join(context.directory, HIGH_WATERMARK_FILE);
export const settingsPath = (context: TopicContext): string => join(context.directory, TOPIC_SETTINGS_FILE);
export const holderPath = (context: TopicContext): string => join(context.directory, HOLDER_FILE);
export const groupsPath = (context: TopicContext): string => join(context.directory, GROUPS_DIRECTORY);
export const quarantinePath = (context: TopicContext): string =>
  join(context.directory, QUARANTINE_DIRECTORY);

/**
 * Base offsets of all stores in the directory, ascending: leftovers and superseded ones included.
 *
 * @throws FastQueueError `topic_not_found` when there is no such directory
 */
export function listStoreBases(context: TopicContext): number[] {
  const bases: number[] = [];
  for (const name of listTopicFiles(context)) {
    const file = classifyTopicFile(name);
    if (file.type === 'store') bases.push(file.baseOffset);
  }
  return bases;
}

/**
 * Names of all files in the directory, sorted.
 *
 * @throws FastQueueError `topic_not_found` when there is no such directory
 */
export function listTopicFiles(context: TopicContext): string[] {
  const names = context.fileSystem.list(context.directory);
  if (names === undefined) throw topicNotFound(context);
  return names;
}

export function topicNotFound(
  context: Pick<TopicContext, 'topic' | 'directory' | 'commandSuffix'>,
): FastQueueError {
  return new FastQueueError(
    'topic_not_found',
    `There is no topic "${context.topic}" (looked in ${context.directory}). "${commandLine(context, 'topics')}" lists those there are.`,
    { topic: context.topic, path: context.directory },
  );
}
