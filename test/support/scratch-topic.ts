/**
 * A data directory that exists for one test, with one topic of small segments in it, worked on through the engine.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDataDirectory, type DataDirectory } from '../../src/engine/data-directory.ts';
import type { FileSystem } from '../../src/engine/io/file-system.ts';
import type { RecordEntry } from '../../src/engine/segment-cursor.ts';
import type { TopicSettings } from '../../src/engine/settings.ts';
import type { GapEntry, Topic } from '../../src/engine/topic.ts';
import type { TopicContext } from '../../src/engine/topic-directory.ts';

export const TOPIC = 't';

/** What a reader sees at one offset: the payload, or why there is none. */
export type Seen = string;

export class ScratchTopic {
  readonly directory = mkdtempSync(join(tmpdir(), 'fastqueue-test-'));
  readonly warnings: string[] = [];

  /** One for the `describe` that this is called in, which has just so many records before each test. */
  static forEach(recordCount: number): ScratchTopic {
    const scratch = new ScratchTopic();
    beforeEach(async () => {
      mkdirSync(scratch.directory, { recursive: true });
      await scratch.fill(recordCount);
    });
    afterEach(() => {
      scratch.remove();
      scratch.warnings.length = 0;
    });
    return scratch;
  }

  /** The data directory, on the real disk unless another is given. */
  dataDirectory(fileSystem?: FileSystem): DataDirectory {
    return openDataDirectory(this.directory, {
      onWarning: (sentence) => this.warnings.push(sentence),
      lockTimeoutMs: 2000,
      ...(fileSystem === undefined ? { map: false } : { fileSystem }),
    });
  }

  context(fileSystem?: FileSystem): TopicContext {
    return this.dataDirectory(fileSystem).context(TOPIC);
  }

  async open(settings: Partial<TopicSettings> = {}): Promise<Topic> {
    return this.dataDirectory().openTopic(TOPIC, { mode: 'append', create: settings });
  }

  /** Appends records of `payloadBytes`, each its own batch, its offset at its beginning. */
  async fill(count: number, settings: Partial<TopicSettings> = {}, payloadBytes = 200): Promise<void> {
    const topic = await this.open(settings);
    for (let number = 0; number < count; number++) {
      const payload = `${topic.expectedNextOffset}:`.padEnd(payloadBytes, 'x');
      await topic.append([Buffer.from(payload)]);
    }
    await topic.close();
  }

  /** What every offset holds from the start of the log to its end: payload and timestamp, or the gap that it is in. */
  async everyOffset(fileSystem?: FileSystem): Promise<Map<number, Seen>> {
    const topic = await this.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
    const seen = new Map<number, Seen>();
    for await (const entry of topic.records()) note(seen, entry);
    await topic.close();
    return seen;
  }

  files(suffix = ''): string[] {
    return readdirSync(join(this.directory, TOPIC)).filter((name) => name.endsWith(suffix));
  }

  path(name: string): string {
    return join(this.directory, TOPIC, name);
  }

  storeBytes(): number {
    return this.files('.store').reduce((sum, name) => sum + statSync(this.path(name)).size, 0);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Notes an entry under each of its offsets. @throws Error when an offset came before */
export function note(seen: Map<number, Seen>, entry: RecordEntry | GapEntry): void {
  const count = entry.type === 'record' ? 1 : entry.count;
  for (let offset = entry.offset; offset < entry.offset + count; offset++) {
    if (seen.has(offset)) throw new Error(`offset ${offset} came twice`);
    seen.set(
      offset,
      entry.type === 'record' ? `${entry.timestamp} ${entry.payload.toString()}` : `gap ${entry.reason}`,
    );
  }
}
