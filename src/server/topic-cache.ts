/**
 * Topics that are open for append, by name, so that posts share batches and syncs. A topic outlives what other processes
 * do to it: its log follows settings and replaced files by itself, and one that was deleted is opened anew by name.
 */
import {
  FastQueueError,
  type Ack,
  type AppendOptions,
  type DataDirectory,
  type Topic,
} from '../engine/index.ts';
import { MAX_APPEND_ATTEMPTS, MAX_OPEN_TOPICS } from './limits.ts';

interface OpenTopic {
  readonly opening: Promise<Topic>;
  /** Once it is open. */
  topic: Topic | undefined;
  /** Appends under way: it must not be closed. */
  appendCount: number;
  lastUse: number;
}

export class TopicCache {
  readonly #dataDirectory: DataDirectory;
  readonly #mayCreate: boolean;
  readonly #maxOpenTopics: number;
  readonly #open = new Map<string, OpenTopic>();
  #useCount = 0;

  constructor(options: { dataDirectory: DataDirectory; mayCreate: boolean; maxOpenTopics?: number }) {
    this.#maxOpenTopics = options.maxOpenTopics ?? MAX_OPEN_TOPICS;
    this.#dataDirectory = options.dataDirectory;
    this.#mayCreate = options.mayCreate;
  }

  /**
   * Appends to the topic of that name, making it if there is none and that is allowed.
   *
   * @param run called once more each time that the topic was deleted meanwhile
   * @param condition that `run` goes by
   * @throws FastQueueError whatever opening and appending throw; `closed` where the topic is deleted again and again
   */
  async append(
    name: string,
    run: (topic: Topic) => Promise<Ack>,
    condition: AppendOptions = {},
  ): Promise<Ack> {
    for (let attempt = 0; attempt < MAX_APPEND_ATTEMPTS; attempt++) {
      const entry = this.#open.get(name) ?? this.#openTopic(name, condition);
      try {
        return await this.#appendTo(entry, run);
      } catch (error) {
        if (!isGone(error)) throw error;
        await this.#close(name, entry);
        if (error.code === 'topic_not_found' && !this.#mayCreate) throw error;
      }
    }
    throw new FastQueueError(
      'closed',
      `The topic "${name}" was deleted again and again meanwhile. Nothing was written; try again.`,
      { topic: name, sideEffects: 'none' },
    );
  }

  /** Whether there is a topic of that name, open for append, so that none has to be made. */
  isOpen(name: string): boolean {
    return this.#open.get(name)?.topic !== undefined;
  }

  async #appendTo(entry: OpenTopic, run: (topic: Topic) => Promise<Ack>): Promise<Ack> {
    entry.lastUse = ++this.#useCount;
    entry.appendCount += 1;
    try {
      return await run(entry.topic ?? (await entry.opening));
    } finally {
      entry.appendCount -= 1;
    }
  }

  #openTopic(name: string, condition: AppendOptions): OpenTopic {
    if (this.#mayCreate) this.#dataDirectory.refuseUnmet(name, condition);
    this.#makeRoom();
    const opening = this.#dataDirectory.openTopic(name, {
      mode: 'append',
      create: this.#mayCreate ? {} : false,
    });
    const entry: OpenTopic = { opening, topic: undefined, appendCount: 0, lastUse: 0 };
    this.#open.set(name, entry);
    opening.then(
      (topic) => {
        entry.topic = topic;
      },
      () => {
        // What could not be opened is asked for again by the next who wants it.
        if (this.#open.get(name) === entry) this.#open.delete(name);
      },
    );
    return entry;
  }

  /** The one that was used longest ago is closed for another. */
  #makeRoom(): void {
    if (this.#open.size < this.#maxOpenTopics) return;
    let oldest: [string, OpenTopic] | undefined;
    for (const candidate of this.#open) {
      const isIdle = candidate[1].appendCount === 0 && candidate[1].topic !== undefined;
      if (isIdle && candidate[1].lastUse < (oldest?.[1].lastUse ?? Infinity)) oldest = candidate;
    }
    // One that cannot be closed properly is forgotten all the same.
    if (oldest !== undefined) this.forget(oldest[0]).catch(() => undefined);
  }

  /** Closes the topic if it is open: appends under way finish first. */
  async forget(name: string): Promise<void> {
    const entry = this.#open.get(name);
    if (entry !== undefined) await this.#close(name, entry);
  }

  /** Lets every append finish, syncs every mark and closes every topic. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map(([name, entry]) => this.#close(name, entry)));
  }

  async #close(name: string, entry: OpenTopic): Promise<void> {
    if (this.#open.get(name) === entry) this.#open.delete(name);
    const topic = await entry.opening.catch(() => undefined);
    await topic?.close();
  }
}

/** The topic was deleted, or closed here in favour of another, between being looked up and being appended to. */
function isGone(error: unknown): error is FastQueueError {
  return error instanceof FastQueueError && (error.code === 'topic_not_found' || error.code === 'closed');
}
