/**
 * A data directory: which topics there are, and the way to each. Opens nothing until asked.
 */
import { randomUUID } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { unexpectedOffset } from './append-errors.ts';
import { commandLine, type CommandPlace } from './command-line.ts';
import { FastQueueError } from './errors.ts';
import { isValidName, NAME_RULE, temporaryFileName } from './format/file-names.ts';
import type { FileSystem } from './io/file-system.ts';
import { NodeFileSystem } from './io/node-file-system.ts';
import { sharedKernel } from './kernel/index.ts';
import { DEFAULT_LOCK_TIMEOUT_MS } from './limits.ts';
import type { AppendOptions, BatchReport } from './log.ts';
import { writeWhole } from './io/write-whole.ts';
import { retainIfDue, type RetentionReport } from './retention.ts';
import type { TopicSettings } from './settings.ts';
import { Topic } from './topic.ts';
import { topicNotFound, type TopicContext } from './topic-directory.ts';
import {
  createTopic,
  deleteTopic,
  finishDeletion,
  listDeletedDirectories,
  makeDirectories,
  removeDeletedDirectories,
  renameDeleted,
  topicStanding,
  type TopicStanding,
} from './topic-lifecycle.ts';
import {
  readDataDirectoryDefaults,
  resolveTopicSettings,
  settingsForNewTopic,
  type DataDirectoryDefaults,
} from './topic-settings.ts';

const ROOM_PROOF = '.room';
const ROOM_PROOF_PREFIX = temporaryFileName(ROOM_PROOF, '');

export interface DataDirectoryOptions extends CommandPlace {
  /** How long to wait for a topic that another process holds. Default 10 s. */
  readonly lockTimeoutMs?: number;
  /** False: never map index files into memory. Default true. */
  readonly map?: boolean;
  /** Told in a sentence what does not fail a call but should be known. Default: a process warning. */
  readonly onWarning?: (sentence: string) => void;
  /** Told what retention deleted from a topic, whoever made it run. Default: nobody. */
  readonly onRetention?: (topic: string, report: RetentionReport) => void;
  /** Told of every batch that was written and synced. Default: nobody. */
  readonly onBatch?: (topic: string, batch: BatchReport) => void;
  /**
   * False: no append waits for the disk on the calling thread. Default true: where syncs take less than two milliseconds, one
   * small append after another does, which saves a quarter of its time; nothing else of the thread runs meanwhile, and if
   * the disk gets stuck, not until it answers.
   */
  readonly blockingSync?: boolean;
  /** For tests: the disk to work on. */
  readonly fileSystem?: FileSystem;
}

export interface OpenTopicOptions {
  readonly mode: 'append' | 'read';
  /** Settings for a topic that has to be made, or false: it must exist. Default false. */
  readonly create?: false | Partial<TopicSettings>;
}

/** What `maintain` did. */
export interface MaintenanceReport {
  /** Topics whose deletion had been interrupted and is finished now. */
  readonly deletionsFinished: number;
  /** Topics from which retention deleted something, and what. */
  readonly retained: readonly ({ readonly topic: string } & RetentionReport)[];
  /** What could not be done; the next call tries again. Without a topic: deletions could not be finished. */
  readonly failures: readonly { readonly topic: string | undefined; readonly error: FastQueueError }[];
}

/** The data directory at `path`, which need not exist until something is stored in it. */
export function openDataDirectory(path: string, options: DataDirectoryOptions = {}): DataDirectory {
  return new DataDirectory(resolve(path), options);
}

export class DataDirectory {
  /** Absolute path. */
  readonly path: string;
  /** As `DataDirectoryOptions` has it. */
  readonly commandSuffix: string | undefined;
  readonly #fileSystem: FileSystem;
  readonly #lockTimeoutMs: number;
  readonly #onWarning: (sentence: string) => void;
  readonly #onRetention: (topic: string, report: RetentionReport) => void;
  readonly #onBatch: (topic: string, batch: BatchReport) => void;
  readonly #blockingSync: boolean;

  constructor(path: string, options: DataDirectoryOptions) {
    this.path = path;
    this.commandSuffix = options.commandSuffix;
    this.#fileSystem =
      options.fileSystem ?? new NodeFileSystem(options.map === undefined ? {} : { map: options.map });
    this.#lockTimeoutMs = options.lockTimeoutMs ?? DEFAULT_LOCK_TIMEOUT_MS;
    this.#onRetention = options.onRetention ?? (() => undefined);
    this.#onBatch = options.onBatch ?? (() => undefined);
    this.#blockingSync = options.blockingSync ?? true;
    this.#onWarning =
      options.onWarning ??
      ((sentence) => {
        process.emitWarning(sentence, 'FastQueueWarning');
      });
  }

  /** How long to wait for a topic that another process holds. */
  get lockTimeoutMs(): number {
    return this.#lockTimeoutMs;
  }

  /**
   * Names of the topics, sorted; of directories that may be topics and cannot be looked into, too.
   *
   * @throws FastQueueError `data_directory_not_found`
   */
  listTopics(): string[] {
    const names = this.#fileSystem.list(this.path);
    if (names === undefined) {
      throw new FastQueueError(
        'data_directory_not_found',
        `There is no data directory ${this.path}. Name another with --data-dir or FASTQUEUE_DATA_DIR; "fastqueue produce" creates one.`,
        { path: this.path },
      );
    }
    return names.filter(
      (name) => this.#mayHoldTopic(name) && (this.#standingOf(name) ?? 'topic') === 'topic',
    );
  }

  /** A link to a volume that is not mounted may hold one, too: it must not be missing without a word. */
  #mayHoldTopic(name: string): boolean {
    const status = isValidName(name) ? this.#fileSystem.status(join(this.path, name)) : undefined;
    return status?.isDirectory === true || status?.isBrokenLink === true;
  }

  /** Undefined where the disk does not let it be looked at: then it may be a topic, and who opens it is told why. */
  #standingOf(name: string): TopicStanding | undefined {
    try {
      return topicStanding(this.context(name));
    } catch (error) {
      if (error instanceof FastQueueError) return undefined;
      throw error;
    }
  }

  /**
   * Opens a topic. For append: takes the lock once and settles what a dead writer left. Close it.
   *
   * @throws FastQueueError `invalid_topic_name`, `topic_not_found`, `data_directory_not_found`, `locked`, `damaged`, …
   */
  async openTopic(name: string, options: OpenTopicOptions): Promise<Topic> {
    const context = this.context(name);
    if (topicStanding(context) !== 'topic') {
      if (options.create === undefined || options.create === false) throw this.#notFound(context);
      await this.#create(context, options.create);
    }
    return Topic.open(context, {
      mode: options.mode,
      lockTimeoutMs: this.#lockTimeoutMs,
      onWarning: this.#onWarning,
      onRetention: this.#onRetention,
      onBatch: this.#onBatch,
      blockingSync: this.#blockingSync,
    });
  }

  /**
   * Refuses the condition of an append that a topic which is still to be made could not meet: then none is made.
   *
   * @throws FastQueueError `condition_failed`
   */
  refuseUnmet(name: string, { expectedOffset = 0 }: AppendOptions): void {
    const context = this.context(name);
    if (expectedOffset > 0 && topicStanding(context) !== 'topic')
      throw unexpectedOffset(context, expectedOffset, 0);
  }

  /**
   * Makes a topic. Durable when it resolves.
   *
   * @throws FastQueueError `condition_failed` when there is one of that name
   */
  async createTopic(name: string, settings: Partial<TopicSettings> = {}): Promise<Topic> {
    const context = this.context(name);
    if (topicStanding(context) === 'topic' || !(await this.#create(context, settings))) {
      throw new FastQueueError(
        'condition_failed',
        `There is a topic "${name}" already. "${commandLine(this, `topics set ${name}`)}" changes its settings.`,
        { topic: name, path: context.directory },
      );
    }
    return this.openTopic(name, { mode: 'append' });
  }

  /**
   * What a topic made now would be given, and from where: `given`, else the environment, else fastqueue.json, else the
   * default.
   *
   * @throws FastQueueError `invalid_argument` for a value that is wrong, wherever it stands
   */
  resolveSettings(given: Partial<TopicSettings>): ReturnType<typeof resolveTopicSettings> {
    return resolveTopicSettings({ fileSystem: this.#fileSystem, dataDirectory: this.path, settings: given });
  }

  /**
   * What fastqueue.json sets for commands, in bytes and milliseconds.
   *
   * @throws FastQueueError `invalid_argument` when it is not what it should be
   */
  commandSettings(): DataDirectoryDefaults['command'] {
    return readDataDirectoryDefaults(this.#fileSystem, this.path).command;
  }

  /** @throws FastQueueError `topic_not_found`, `locked` */
  async deleteTopic(name: string): Promise<void> {
    const context = this.context(name);
    if (topicStanding(context) === 'deleted') await finishDeletion(context, this.#lockTimeoutMs);
    if (topicStanding(context) !== 'topic') throw this.#notFound(context);
    await deleteTopic(context, this.#lockTimeoutMs);
  }

  /** Makes the directory, its entry durable. Of one that is there, what killed proofs of room left is removed. */
  async make(): Promise<void> {
    await makeDirectories(this.#fileSystem, this.path);
    for (const name of this.#fileSystem.list(this.path) ?? []) {
      if (name.startsWith(ROOM_PROOF_PREFIX)) this.#fileSystem.unlink(join(this.path, name));
    }
  }

  /**
   * Whether this process may write here and how many bytes there is room for. Changes nothing.
   *
   * @throws FastQueueError disk errors as themselves, a missing directory included
   */
  room(): { isWritable: boolean; freeBytes: number } {
    return {
      isWritable: this.#fileSystem.isWritable(this.path),
      freeBytes: this.#fileSystem.freeBytes(this.path),
    };
  }

  /**
   * Writes so many bytes to a file of its own, syncs and removes it: the proof that there is room again.
   *
   * @throws FastQueueError `disk_full`, `permission_denied`, `io_error`
   */
  async proveRoom(byteCount: number): Promise<void> {
    const path = join(this.path, temporaryFileName(ROOM_PROOF, randomUUID()));
    const file = this.#fileSystem.open(path, 'create-new');
    try {
      writeWhole(file, Buffer.alloc(byteCount), 0);
      await file.datasync();
    } finally {
      file.close();
      this.#fileSystem.unlink(path);
    }
  }

  /**
   * What keeps a data directory in order without anybody's care, for `serve` to run each minute: finishes deletions that
   * were killed, and applies the retention of every topic. Takes a topic's lock only where there is something to delete,
   * settles and rewrites nothing, and works on a full disk. What fails in one topic is told and keeps no other from it.
   * Retention that deleted something is told to `onRetention` besides.
   */
  async maintain(): Promise<MaintenanceReport> {
    const retained: MaintenanceReport['retained'][number][] = [];
    const failures: MaintenanceReport['failures'][number][] = [];
    const attempt = async (topic: string | undefined, work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof FastQueueError)) throw error;
        // Deleted by somebody else meanwhile.
        if (error.code !== 'topic_not_found') failures.push({ topic, error });
      }
    };
    let deletionsFinished = 0;
    await attempt(undefined, async () => {
      deletionsFinished = await this.finishDeletions();
    });
    for (const topic of this.#fileSystem.list(this.path) === undefined ? [] : this.listTopics()) {
      await attempt(topic, async () => {
        const report = await retainIfDue(this.context(topic), { lockTimeoutMs: this.#lockTimeoutMs });
        if (report === undefined || report.segments === 0) return;
        retained.push({ topic, ...report });
        this.#onRetention(topic, report);
      });
    }
    return { deletionsFinished, retained, failures };
  }

  /** Paths of what deletions of topics that were killed have left. */
  listDeletions(): string[] {
    const flagged = (this.#fileSystem.list(this.path) ?? []).filter((name) => this.#isDeletedTopic(name));
    const removed = listDeletedDirectories(this.#fileSystem, this.path);
    return [...removed, ...flagged.map((name) => join(this.path, name))];
  }

  #isDeletedTopic(name: string): boolean {
    const isDirectory = isValidName(name) && this.#fileSystem.status(join(this.path, name))?.isDirectory;
    return isDirectory === true && this.#standingOf(name) === 'deleted';
  }

  /** Removes what deletions of topics that were killed have left. Returns how many there were. */
  async finishDeletions(): Promise<number> {
    for (const name of this.#fileSystem.list(this.path) ?? []) {
      if (this.#isDeletedTopic(name)) await renameDeleted(this.context(name), this.#lockTimeoutMs);
    }
    return removeDeletedDirectories(this.#fileSystem, this.path);
  }

  /**
   * What the engine's own use-cases (verify, recover, compact) are given to work on a topic.
   *
   * @throws FastQueueError `invalid_topic_name`
   */
  context(name: string): TopicContext {
    if (!isValidName(name)) throw invalidTopicName(name);
    return {
      fileSystem: this.#fileSystem,
      // Made when it is first used: a command that only looks at marks does without.
      get kernel() {
        return sharedKernel();
      },
      directory: join(this.path, name),
      topic: name,
      commandSuffix: this.commandSuffix,
    };
  }

  async #create(context: TopicContext, settings: Partial<TopicSettings>): Promise<boolean> {
    return createTopic(context, {
      settings: settingsForNewTopic({ fileSystem: this.#fileSystem, dataDirectory: this.path, settings }),
      lockTimeoutMs: this.#lockTimeoutMs,
    });
  }

  #notFound(context: TopicContext): FastQueueError {
    if (this.#fileSystem.status(dirname(context.directory)) === undefined) {
      return new FastQueueError(
        'data_directory_not_found',
        `There is no data directory ${this.path}, so there is no topic "${context.topic}". ` +
          'Name another with --data-dir or FASTQUEUE_DATA_DIR; "fastqueue produce" creates one.',
        { topic: context.topic, path: this.path },
      );
    }
    return topicNotFound(context);
  }
}

function invalidTopicName(name: string): FastQueueError {
  return new FastQueueError(
    'invalid_topic_name',
    `${JSON.stringify(name)} is not a topic name: ${NAME_RULE}`,
    { topic: name },
  );
}
