/**
 * What the files of a data directory are called, and what a name says. One place: a name that is not recognised here is
 * an unknown file, which nothing ever removes.
 */
import { MAX_NAME_LENGTH, MAX_OFFSET } from '../limits.ts';

export const TOPIC_SETTINGS_FILE = 'topic.json';
export const DATA_DIRECTORY_SETTINGS_FILE = 'fastqueue.json';
export const HIGH_WATERMARK_FILE = 'high-watermark';
export const HOLDER_FILE = 'holder';
export const GROUPS_DIRECTORY = 'groups';
export const QUARANTINE_DIRECTORY = 'quarantine';
export const STORE_SUFFIX = '.store';
export const INDEX_SUFFIX = '.index';

const OFFSET_DIGITS = 20;

export function storeFileName(baseOffset: number): string {
  return String(baseOffset).padStart(OFFSET_DIGITS, '0') + STORE_SUFFIX;
}

export function indexFileName(baseOffset: number): string {
  return String(baseOffset).padStart(OFFSET_DIGITS, '0') + INDEX_SUFFIX;
}

/** A file written beside the one it will replace. `run` makes it unique. */
export function temporaryFileName(finalName: string, run: string): string {
  return `${finalName}.tmp-${run}`;
}

export function deletedDirectoryName(uuid: string): string {
  return `.deleted-${uuid}`;
}

/** True for the name that a deleted topic's directory was given. */
export function isDeletedDirectoryName(name: string): boolean {
  return /^\.deleted-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
}

/** The directory in which `recover --out` makes the copy of a topic, beside where it will be; no topic is called so. */
export function unfinishedCopyName(topic: string): string {
  return `.recovering-${topic}`;
}

export type TopicFileName =
  | { readonly type: 'store'; readonly baseOffset: number }
  | { readonly type: 'index'; readonly baseOffset: number }
  | { readonly type: 'settings' | 'mark' | 'holder' | 'groups' | 'quarantine' | 'temporary' | 'unknown' };

/** What a name in a topic directory says. A store named beyond 2^53 − 1 is an unknown file. */
export function classifyTopicFile(name: string): TopicFileName {
  switch (name) {
    case TOPIC_SETTINGS_FILE:
      return { type: 'settings' };
    case HIGH_WATERMARK_FILE:
      return { type: 'mark' };
    case HOLDER_FILE:
      return { type: 'holder' };
    case GROUPS_DIRECTORY:
      return { type: 'groups' };
    case QUARANTINE_DIRECTORY:
      return { type: 'quarantine' };
  }
  const match = /^(\d{20})\.(store|index)$/.exec(name);
  if (match !== null) {
    const baseOffset = Number(match[1]);
    if (baseOffset <= MAX_OFFSET) return { type: match[2] as 'store' | 'index', baseOffset };
  }
  return /\.tmp-[\w-]+$/.test(name) ? { type: 'temporary' } : { type: 'unknown' };
}

/** What a topic or a group may be called, as it is told to who named one otherwise. */
export const NAME_RULE = `use 1 to ${MAX_NAME_LENGTH} of A-Z a-z 0-9 . _ -, not beginning with . or -, and not ${DATA_DIRECTORY_SETTINGS_FILE}.`;

/** Whether a topic or a group may be called so: NAME_RULE. */
export function isValidName(name: string): boolean {
  return (
    name.length <= MAX_NAME_LENGTH &&
    /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name) &&
    name !== DATA_DIRECTORY_SETTINGS_FILE
  );
}
