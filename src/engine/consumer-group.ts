/**
 * Consumer groups: where each consumer of a topic stands, in `groups/<name>` beside the log. At least once: the position
 * is stored after its records were taken. A group has one consumer at a time, which holds an exclusive lock on the file.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { commandLine } from './command-line.ts';
import { FastQueueError } from './errors.ts';
import {
  decodeGroupPosition,
  encodeGroupPosition,
  GROUP_POSITION_BYTES,
  type GroupPosition,
} from './format/group-position.ts';
import { isValidName, NAME_RULE } from './format/file-names.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { isAllZeros } from './format/zeros.ts';
import type { FileHandle } from './io/file-system.ts';
import { isGone, openIfThere } from './io/open-if-there.ts';
import { monotonicMs } from './monotonic.ts';
import { refuseNoOffset } from './offset-argument.ts';
import { groupsPath, topicNotFound, type TopicContext } from './topic-directory.ts';

export interface GroupStatus {
  readonly name: string;
  /** The first offset the group has not taken; undefined where its file is unsound. */
  readonly nextOffset: number | undefined;
  /** Milliseconds since 1970. */
  readonly storedAt: number | undefined;
  /** Offsets between where it stands and the end of the topic. */
  readonly behind: number | undefined;
}

/** A group, locked for one consumer until it is closed. */
export class ConsumerGroup {
  readonly name: string;
  readonly #context: TopicContext;
  readonly #file: FileHandle;
  #position: GroupPosition | undefined;

  constructor(context: TopicContext, name: string, file: FileHandle, position: GroupPosition | undefined) {
    this.#context = context;
    this.name = name;
    this.#file = file;
    this.#position = position;
  }

  /** The first offset the group has not taken; undefined while it has taken none. */
  get nextOffset(): number | undefined {
    return this.#position?.nextOffset;
  }

  /**
   * Stores where the group stands. Durable when it resolves.
   *
   * @throws FastQueueError `invalid_argument` for what is no offset; `closed`; disk errors as themselves
   */
  async commit(nextOffset: number): Promise<void> {
    refuseNoOffset('The next offset of a group', nextOffset);
    const position = { nextOffset, storedAt: Date.now() };
    const written = this.#file.write(encodeGroupPosition(position), 0);
    if (written !== GROUP_POSITION_BYTES) {
      throw new FastQueueError(
        'disk_full',
        `Only ${written} of ${GROUP_POSITION_BYTES} bytes could be written to ${this.#file.path}.`,
        {
          path: this.#file.path,
        },
      );
    }
    await this.#file.datasync();
    this.#position = position;
  }

  /**
   * What was opened by the topic's name before this is of the group's own topic, and of none made anew since.
   *
   * @throws FastQueueError `topic_not_found` where the group went with its topic
   */
  refuseGone(): void {
    if (this.#file.sizeIfNamed() === undefined) throw topicNotFound(this.#context);
  }

  close(): void {
    this.#file.close();
  }
}

/** How often a group that somebody else consumes is tried again. A closed descriptor ends a wait; a kernel wait could not be ended. */
const GROUP_RETRY_MS = 20;

/**
 * Opens a group, made if missing, and takes its lock.
 *
 * @param options.repair true for `topics reset`, which may replace an unsound position
 * @throws FastQueueError `invalid_argument` for a bad name, `locked`, `damaged` when the position is unsound,
 *   `topic_not_found` when the topic is gone, `locking_unavailable`
 */
export async function openGroup(
  context: TopicContext,
  name: string,
  options: { lockTimeoutMs: number; repair?: boolean },
): Promise<ConsumerGroup> {
  if (!isValidName(name)) {
    throw new FastQueueError('invalid_argument', `${JSON.stringify(name)} is not a group name: ${NAME_RULE}`);
  }
  const refusal = context.fileSystem.appendRefusal;
  if (refusal !== undefined) {
    throw new FastQueueError('locking_unavailable', `A group needs a lock and a durable place. ${refusal}`, {
      topic: context.topic,
    });
  }
  const file = await lockGroupFile(context, { name, lockTimeoutMs: options.lockTimeoutMs });
  try {
    const position = options.repair === true ? undefined : readPosition(context, file, name);
    return new ConsumerGroup(context, name, file, position);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The group's file, locked, and still the one of that name: its topic may have been deleted and made anew meanwhile. */
async function lockGroupFile(
  context: TopicContext,
  options: { name: string; lockTimeoutMs: number },
): Promise<FileHandle> {
  for (;;) {
    const file = await openGroupFile(context, options.name);
    try {
      await lockGroup(context, file, options);
      if (file.sizeIfNamed() !== undefined) return file;
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

async function openGroupFile(context: TopicContext, name: string): Promise<FileHandle> {
  try {
    return await makeGroupFile(context, name);
  } catch (error) {
    // The topic was deleted between two of these steps.
    if (isGone(error) && context.fileSystem.status(context.directory) === undefined)
      throw topicNotFound(context);
    throw error;
  }
}

/** The file's directory entries are durable before its first position can be, whoever made them. */
async function makeGroupFile(context: TopicContext, name: string): Promise<FileHandle> {
  const { fileSystem, directory } = context;
  const groups = groupsPath(context);
  if (fileSystem.status(directory) === undefined) throw topicNotFound(context);
  fileSystem.makeDirectory(groups);
  const file = fileSystem.open(join(groups, name), 'create');
  try {
    if (file.status().sizeBytes === 0) {
      await fileSystem.syncDirectory(groups);
      await fileSystem.syncDirectory(directory);
    }
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

async function lockGroup(
  context: TopicContext,
  file: FileHandle,
  options: { name: string; lockTimeoutMs: number },
): Promise<void> {
  const deadline = monotonicMs() + options.lockTimeoutMs;
  while (!file.tryLock()) {
    if (monotonicMs() >= deadline) {
      throw new FastQueueError(
        'locked',
        `The group "${options.name}" of "${context.topic}" has a consumer already, and it was not free within ${options.lockTimeoutMs} ms. ` +
          'Use another group, or wait longer with --lock-timeout.',
        { topic: context.topic },
      );
    }
    await delay(Math.min(GROUP_RETRY_MS, Math.max(1, deadline - monotonicMs())));
  }
}

function readPosition(context: TopicContext, file: FileHandle, name: string): GroupPosition | undefined {
  const bytes = readGroupFile(file);
  if (bytes === undefined) return undefined;
  const position = decodeGroupPosition(bytes);
  if (position === undefined) throw positionUnsound(context, name);
  return position;
}

/**
 * Undefined where no position was stored yet: the file is empty, or all zeros, which a power cut may leave of one whose
 * first position was not synced.
 */
function readGroupFile(file: FileHandle): Buffer | undefined {
  const bytes = Buffer.alloc(GROUP_POSITION_BYTES + 1);
  const read = bytes.subarray(0, file.read(bytes, 0));
  return read.length === 0 || isAllZeros(read) ? undefined : read;
}

function positionUnsound(context: TopicContext, name: string): FastQueueError {
  return new FastQueueError(
    'damaged',
    `The group "${name}" of "${context.topic}" cannot go on: its file is damaged. ` +
      `Set it with "${commandLine(context, `topics reset ${context.topic} --group ${name} --to OFFSET`)}".`,
    { topic: context.topic },
  );
}

/** All groups of a topic that have begun, and how far behind its end they are. */
export function listGroups(context: TopicContext, mark: HighWatermark): GroupStatus[] {
  const names = (context.fileSystem.list(groupsPath(context)) ?? []).filter(isValidName);
  return names.flatMap((name): GroupStatus[] => {
    const file = openIfThere(context.fileSystem, join(groupsPath(context), name));
    // Gone with its topic.
    if (file === undefined) return [];
    try {
      const bytes = readGroupFile(file);
      // A consumer has opened it and taken nothing yet.
      if (bytes === undefined) return [];
      const position = decodeGroupPosition(bytes);
      if (position === undefined)
        return [{ name, nextOffset: undefined, storedAt: undefined, behind: undefined }];
      const behind = Math.max(0, mark.nextOffset - Math.max(position.nextOffset, mark.startOffset));
      return [{ name, ...position, behind }];
    } finally {
      file.close();
    }
  });
}
