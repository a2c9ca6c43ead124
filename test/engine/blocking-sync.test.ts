/**
 * Which thread waits for the sync of an append, on a disk whose syncs take as long as the test says.
 */
import { expect } from 'chai';
import { setTimeout as delay } from 'node:timers/promises';
import { openDataDirectory, type DataDirectoryOptions } from '../../src/engine/data-directory.ts';
import type { FastQueueError } from '../../src/engine/errors.ts';
import type { FileHandle, OpenMode } from '../../src/engine/io/file-system.ts';
import { SyncPlace } from '../../src/engine/sync-place.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** Syncs of stores, by who waited for each. */
class TimedDisk extends FaultyFileSystem {
  readonly waiters: ('here' | 'aside')[] = [];
  syncMs = 0;

  override open(path: string, mode: OpenMode): FileHandle {
    const handle = super.open(path, mode);
    if (!path.endsWith('.store')) return handle;
    const timed = {
      datasync: async (): Promise<void> => {
        this.waiters.push('aside');
        this.change('sync', path);
        if (this.syncMs > 0) await delay(this.syncMs);
      },
      datasyncHere: (): void => {
        this.waiters.push('here');
        this.change('sync', path);
        const end = performance.now() + this.syncMs;
        while (performance.now() < end);
      },
    };
    return new Proxy(handle, {
      get: (target, name: keyof FileHandle) => {
        if (name === 'datasync' || name === 'datasyncHere') return timed[name];
        const member: unknown = Reflect.get(target, name);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      },
    });
  }

  /** How many of the syncs from here on were waited for by the thread that appends. */
  async hereOf(run: () => Promise<unknown>): Promise<{ here: number; aside: number }> {
    this.waiters.length = 0;
    await run();
    const here = this.waiters.filter((who) => who === 'here').length;
    return { here, aside: this.waiters.length - here };
  }
}

const RECORD = [Buffer.alloc(100, 'x')];
/** So many short syncs come first. */
const TRUSTED_AFTER = 8;

async function appendInTurn(topic: Topic, count: number): Promise<void> {
  for (let number = 0; number < count; number++) await topic.append(RECORD);
}

describe('SyncPlace', () => {
  const place = (...syncs: [durationMs: number, isHere: boolean][]): SyncPlace => {
    const made = new SyncPlace();
    for (const [durationMs, isHere] of syncs) made.note({ durationMs, isHere });
    return made;
  };
  const short = (count: number, isHere = false): [number, boolean][] =>
    Array.from({ length: count }, () => [0.9, isHere]);

  it('trusts a disk after eight short syncs in a row', () => {
    expect(place().isHere).to.equal(false);
    expect(place(...short(7)).isHere).to.equal(false);
    expect(place(...short(8)).isHere).to.equal(true);
    expect(place(...short(7), [2, false], ...short(7)).isHere).to.equal(false);
    expect(place(...short(8), [2, true], ...short(7)).isHere).to.equal(false);
    expect(place(...short(8), [2, true], ...short(8)).isHere).to.equal(true);
  });

  it('waits five milliseconds before another thread has its turn', () => {
    expect(place(...short(8), ...short(5, true)).isHere).to.equal(true);
    expect(place(...short(8), ...short(6, true)).isHere).to.equal(false);
    expect(place(...short(8), ...short(6, true), ...short(1)).isHere).to.equal(true);
  });
});

describe('An append’s sync', () => {
  let scratch: ScratchTopic;
  let disk: TimedDisk;
  const opened: Topic[] = [];

  const open = async (name = TOPIC, options: DataDirectoryOptions = {}): Promise<Topic> => {
    const data = openDataDirectory(scratch.directory, { fileSystem: disk, ...options });
    const topic = await data.openTopic(name, { mode: 'append', create: {} });
    opened.push(topic);
    return topic;
  };

  beforeEach(() => {
    scratch = new ScratchTopic();
    disk = new TimedDisk();
  });

  afterEach(async () => {
    for (const topic of opened.splice(0)) await topic.close();
    scratch.remove();
  });

  it('is waited for by the thread that appends, once syncs were short, where one append follows another', async () => {
    const topic = await open();
    expect(await disk.hereOf(() => appendInTurn(topic, TRUSTED_AFTER))).to.deep.equal({
      here: 0,
      aside: TRUSTED_AFTER,
    });
    expect((await disk.hereOf(() => appendInTurn(topic, 200))).here).to.be.greaterThan(0);
    expect((await scratch.everyOffset()).size).to.equal(TRUSTED_AFTER + 200);
  });

  it('is left to another thread after a long one, until syncs are short again', async () => {
    const topic = await open();
    await appendInTurn(topic, 2 * TRUSTED_AFTER);
    disk.syncMs = 20;
    await appendInTurn(topic, 1);
    expect(await disk.hereOf(() => appendInTurn(topic, 3))).to.deep.equal({ here: 0, aside: 3 });
    disk.syncMs = 0;
    expect((await disk.hereOf(() => appendInTurn(topic, TRUSTED_AFTER))).here).to.equal(0);
    expect((await disk.hereOf(() => appendInTurn(topic, 200))).here).to.be.greaterThan(0);
  });

  it('lets everything else in the process have its turn', async () => {
    const topic = await open();
    disk.syncMs = 0;
    await appendInTurn(topic, TRUSTED_AFTER);
    disk.syncMs = 0.2;
    let turns = 0;
    const ticking = setInterval(() => {
      turns += 1;
    }, 1);
    const { here } = await disk.hereOf(() => appendInTurn(topic, 400));
    clearInterval(ticking);
    expect(here).to.be.greaterThan(0);
    expect(turns).to.be.greaterThan(5);
  });

  it('is left to another thread where others append to the topic, too', async () => {
    const topic = await open();
    await appendInTurn(topic, 2 * TRUSTED_AFTER);
    await Promise.all([appendInTurn(topic, 10), appendInTurn(topic, 10)]);
    const both = (): Promise<unknown> => Promise.all([appendInTurn(topic, 20), appendInTurn(topic, 20)]);
    expect((await disk.hereOf(both)).here).to.be.at.most(1);
  });

  it('is left to another thread where others append to other topics', async () => {
    const topics = [await open('one'), await open('two')];
    for (const topic of topics) await appendInTurn(topic, 2 * TRUSTED_AFTER);
    const all = (): Promise<unknown> => Promise.all(topics.map((topic) => appendInTurn(topic, 20)));
    expect((await disk.hereOf(all)).here).to.be.at.most(1);
    expect((await disk.hereOf(() => appendInTurn(topics[0] as Topic, 200))).here).to.be.greaterThan(0);
  });

  it('is left to another thread for a large batch, and wherever that is asked for', async () => {
    const topic = await open();
    await appendInTurn(topic, 2 * TRUSTED_AFTER);
    const large = (): Promise<unknown> => topic.append([Buffer.alloc(64 * 1024)]);
    expect((await disk.hereOf(large)).here).to.equal(0);
    await topic.close();
    const polite = await open(TOPIC, { blockingSync: false });
    expect((await disk.hereOf(() => appendInTurn(polite, 50))).here).to.equal(0);
  });

  it('fails as any other: nothing of the batch is there, and the next append goes on', async () => {
    const topic = await open();
    let nextOffset = 0;
    for (let failedHere = 0; failedHere < 3;) {
      await appendInTurn(topic, 2 * TRUSTED_AFTER);
      nextOffset += 2 * TRUSTED_AFTER;
      disk.failNext('sync', '.store');
      const { here } = await disk.hereOf(async () => {
        const error = await topic.append([Buffer.from('lost')]).catch((thrown: unknown) => thrown);
        expect((error as FastQueueError).details).to.include({ errno: 'EIO', sideEffects: 'none' });
      });
      failedHere += here;
      const ack = await topic.append([Buffer.from(`kept ${nextOffset}`)]);
      expect(ack.offset).to.equal(nextOffset++);
    }
    const seen = [...(await scratch.everyOffset()).values()];
    expect(seen.length).to.equal(nextOffset);
    expect(seen.filter((payload) => payload.includes('lost'))).to.deep.equal([]);
    expect(seen.at(-1)).to.include(`kept ${nextOffset - 1}`);
  });
});
