/**
 * A topic with writers and followers at work: processes of the real command. What every writer had acknowledged is
 * written down, so that afterwards the log and what the followers saw can be held against it.
 */
import { expect } from 'chai';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { openDataDirectory, type DataDirectory } from '../../src/engine/data-directory.ts';
import type { TopicContext } from '../../src/engine/topic-directory.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { outcomeOf, Sandbox } from '../cli/fastqueue.ts';

const MEMORY = '/dev/shm';

/** Lines that a writer is ahead of its acknowledgements at the most. */
const MOST_WAITING = 100;

/** One process of `produce`, fed a few lines at a time; no line is ever written twice. */
class Writer {
  readonly #name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: ReturnType<typeof outcomeOf>;
  readonly #feed: NodeJS.Timeout;
  readonly #acknowledged: Map<number, string>;
  #written = 0;
  #taken = 0;
  #rest = '';

  constructor(
    sandbox: Sandbox,
    name: string,
    acknowledged: Map<number, string>,
    options: { feedIntervalMs: number },
  ) {
    this.#name = name;
    this.#acknowledged = acknowledged;
    this.#child = sandbox.start(['produce', 't', '--ack', 'offset', '--batch-bytes', '1k']);
    this.#child.stdin.on('error', () => undefined);
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#take(chunk.toString());
    });
    this.#ended = outcomeOf(this.#child);
    this.#feed = setInterval(() => {
      if (this.#written - this.#taken > MOST_WAITING) return;
      const lines = Array.from({ length: 10 }, () => `${this.#line(this.#written++)}\n`);
      this.#child.stdin.write(lines.join(''));
    }, options.feedIntervalMs);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  #line(number: number): string {
    return `${this.#name}:${number}`.padEnd(40 + (number % 30), '.');
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() as string;
    for (const line of lines) {
      const [first, last] = line.split('..').map(Number) as [number, number];
      for (let offset = first; offset <= last; offset++) {
        if (this.#acknowledged.has(offset)) throw new Error(`offset ${offset} was given twice`);
        this.#acknowledged.set(offset, this.#line(this.#taken++));
      }
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#feed);
    this.#child.stdin.end();
    const { status, stderr } = await this.#ended;
    expect(status, stderr).to.equal(0);
  }

  async kill(): Promise<void> {
    clearInterval(this.#feed);
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** One process of `consume --follow`, from the beginning. */
class Follower {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: ReturnType<typeof outcomeOf>;
  readonly seen: { offset: number; line: string }[] = [];
  #rest = '';

  constructor(sandbox: Sandbox) {
    this.#child = sandbox.start(['consume', 't', '-F', '-f', '%o %s\\n']);
    this.#child.stdout.on('data', (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString()).split('\n');
      this.#rest = lines.pop() as string;
      for (const line of lines) {
        const space = line.indexOf(' ');
        this.seen.push({ offset: Number(line.slice(0, space)), line: line.slice(space + 1) });
      }
    });
    this.#ended = outcomeOf(this.#child);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Waits until it has seen an offset, then ends it. */
  async stop(lastOffset: number): Promise<void> {
    for (let tries = 0; (this.seen.at(-1)?.offset ?? -1) < lastOffset; tries++) {
      if (tries > 2000 || this.#child.exitCode !== null) break;
      await wait(10);
    }
    this.#child.kill('SIGTERM');
    const { stderr } = await this.#ended;
    expect(this.seen.at(-1)?.offset, `a follower comes to the end: ${stderr}`).to.equal(lastOffset);
  }
}

export class LiveTopic {
  /** In memory where the system has a place for that: processes are killed here, not machines, and a sync costs nothing. */
  readonly sandbox = new Sandbox(existsSync(MEMORY) ? { parent: MEMORY } : {});
  /** What stands at each offset that a writer was told. */
  readonly acknowledged = new Map<number, string>();
  readonly followers: Follower[] = [];
  readonly writers: Writer[] = [];
  readonly #feedIntervalMs: number;
  #writerCount = 0;

  /** @param options.feedIntervalMs how often each writer is given lines, while it is not too far ahead */
  constructor({ feedIntervalMs = 5 }: { feedIntervalMs?: number } = {}) {
    this.#feedIntervalMs = feedIntervalMs;
  }

  /** Makes the topic; the settings are those of `topics create --set`. */
  async create(settings: readonly string[]): Promise<void> {
    const sets = settings.flatMap((setting) => ['--set', setting]);
    const { status, stderr } = await this.sandbox.run(['topics', 'create', 't', ...sets]);
    expect(status, stderr).to.equal(0);
  }

  get data(): DataDirectory {
    return openDataDirectory(this.sandbox.dataDirectory, { lockTimeoutMs: 20_000 });
  }

  get context(): TopicContext {
    return this.data.context('t');
  }

  startWriter(): Writer {
    const writer = new Writer(this.sandbox, `w${this.#writerCount++}`, this.acknowledged, {
      feedIntervalMs: this.#feedIntervalMs,
    });
    this.writers.push(writer);
    return writer;
  }

  async killWriter(writer: Writer): Promise<void> {
    this.writers.splice(this.writers.indexOf(writer), 1);
    await writer.kill();
  }

  startFollower(): void {
    this.followers.push(new Follower(this.sandbox));
  }

  /** Waits until so many more records were acknowledged. */
  async moreRecords(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count;
    for (let tries = 0; this.acknowledged.size < wanted; tries++) {
      if (tries > 6000) throw new Error('the writers stand still');
      await wait(5);
    }
  }

  /** Ends writers and followers and returns what the log holds. */
  async stop(): Promise<{ log: Map<number, string>; startOffset: number; nextOffset: number }> {
    await Promise.all(this.writers.splice(0).map((writer) => writer.stop()));
    // Settles what a killed writer left.
    const settled = await this.sandbox.run(['produce', 't'], { input: '' });
    expect(settled.status, settled.stderr).to.equal(0);
    const topic = await this.data.openTopic('t', { mode: 'read' });
    const log = new Map<number, string>();
    const { startOffset, nextOffset } = await topic.mark();
    for await (const entry of topic.records()) {
      if (entry.type === 'record') log.set(entry.offset, entry.payload.toString());
      else throw new Error(`there is a gap at ${entry.offset}`);
    }
    await topic.close();
    await Promise.all(this.followers.map((follower) => follower.stop(nextOffset - 1)));
    return { log, startOffset, nextOffset };
  }

  /** Stops everything and holds the log, and what followers saw, against what was acknowledged. */
  async check(): Promise<{ startOffset: number; nextOffset: number }> {
    const { log, startOffset, nextOffset } = await this.stop();
    expect(log.size, 'every offset from start to end has a record').to.equal(nextOffset - startOffset);
    for (const [offset, line] of this.acknowledged)
      if (offset >= startOffset && log.get(offset) !== line)
        throw new Error(`offset ${offset} holds ${log.get(offset) ?? 'nothing'}, not ${line}`);
    expect(new Set(log.values()).size, 'no record is there twice').to.equal(log.size);
    for (const { seen } of this.followers) {
      let before = -1;
      for (const { offset, line } of seen) {
        if (offset <= before) throw new Error(`a follower saw ${offset} after ${before}`);
        if (offset > before + 1 && offset > startOffset)
          throw new Error(`a follower missed ${before + 1}..${offset - 1}`);
        const expected = this.acknowledged.get(offset) ?? log.get(offset);
        // Stored by a writer that was killed before it was told, and deleted since: nobody knows what it was.
        if (expected !== undefined && line !== expected)
          throw new Error(`a follower saw ${line} at ${offset}, not ${expected}`);
        before = offset;
      }
    }
    await this.expectVerified();
    return { startOffset, nextOffset };
  }

  /** No error; and no note either, where nobody is at work. */
  async expectVerified(options: { allowsNotes?: boolean } = {}): Promise<void> {
    const { findings } = await verifyTopic(this.context, { quick: false, onBytes: () => undefined });
    const shown = [...findings].filter(
      ({ severity }) => severity === 'error' || options.allowsNotes !== true,
    );
    expect(shown, JSON.stringify(shown)).to.deep.equal([]);
  }

  async remove(): Promise<void> {
    await Promise.all([...this.writers, ...this.followers].map((each) => each.kill()));
    this.sandbox.remove();
  }
}
