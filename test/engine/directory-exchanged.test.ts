/**
 * A topic's directory that is moved away, and another put in its place, in the middle of what a writer does under its lock:
 * nothing is opened, cut or deleted in the wrong one, and every acknowledged record is where it was said to be.
 */
import { expect } from 'chai';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { consume } from '../../src/cli/consume/consume.ts';
import { resetGroup } from '../../src/cli/topics/topics.ts';
import type { FileHandle, OpenMode } from '../../src/engine/io/file-system.ts';
import { settleIfFree } from '../../src/engine/settle.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { deleteTopic, finishDeletion } from '../../src/engine/topic-lifecycle.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { consumeRequest } from '../support/consume-request.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';
import { outputInto } from '../support/stand-in-output.ts';

const OTHER = 'other';
const AWAY = 'away';
const SEGMENTS = { segmentBytes: 1024, retentionAgeMs: 0 };

/** Another process gets in just before what this one does next of a kind. */
class InterruptedFileSystem extends FaultyFileSystem {
  #next: { readonly doing: string; readonly meanwhile: () => void; number: number } | undefined;
  hasHappened = false;

  /**
   * @param doing as `open update *.store`, `sync high-watermark`
   * @param number which time of it, from 1
   */
  before(doing: string, meanwhile: () => void, number = 1): void {
    this.#next = { doing, meanwhile, number };
  }

  override open(path: string, mode: OpenMode): FileHandle {
    this.#interrupt(`open ${mode}`, path);
    return super.open(path, mode);
  }

  override list(path: string): string[] | undefined {
    this.#interrupt('list', path);
    return super.list(path);
  }

  override change(doing: string, path: string): void {
    this.#interrupt(doing, path);
    super.change(doing, path);
  }

  #interrupt(doing: string, path: string): void {
    const next = this.#next;
    if (next === undefined || `${doing} ${basename(path).replace(/^\d+/, '*')}` !== next.doing) return;
    next.number -= 1;
    if (next.number > 0) return;
    this.#next = undefined;
    this.hasHappened = true;
    next.meanwhile();
  }
}

describe('a directory exchanged under the lock', () => {
  const scratch = new ScratchTopic();
  let disk: InterruptedFileSystem;
  /** What was acknowledged: topic directory and offset are found out later. */
  let acknowledged: { readonly offset: number; readonly payload: string; readonly isAfter: boolean }[];

  beforeEach(async () => {
    disk = new InterruptedFileSystem();
    acknowledged = [];
    const other = await scratch.dataDirectory().openTopic(OTHER, { mode: 'append', create: SEGMENTS });
    for (let number = 0; number < 30; number++) await other.append([Buffer.from(`other ${number}`)]);
    await other.close();
  });

  afterEach(() => {
    scratch.remove();
  });

  const openTopic = (): Promise<Topic> =>
    scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'append', create: SEGMENTS });

  async function append(topic: Topic, payload: string): Promise<void> {
    const { offset } = await topic.append([Buffer.from(payload.padEnd(100, '.'))]);
    acknowledged.push({ offset, payload, isAfter: disk.hasHappened });
  }

  async function appendAll(topic: Topic, count: number): Promise<void> {
    for (let number = 0; number < count; number++) await append(topic, `mine ${number}`);
  }

  async function fill(count: number): Promise<void> {
    const topic = await openTopic();
    await appendAll(topic, count);
    await topic.close();
  }

  /** Besides those that it has, so that it has several segments. */
  async function fillOther(count: number): Promise<void> {
    const other = await scratch.dataDirectory().openTopic(OTHER, { mode: 'append' });
    for (let number = 0; number < count; number++) await other.append([Buffer.alloc(100, 'x')]);
    await other.close();
  }

  function exchange(): void {
    renameSync(join(scratch.directory, TOPIC), join(scratch.directory, AWAY));
    renameSync(join(scratch.directory, OTHER), join(scratch.directory, TOPIC));
  }

  /** Follows the topic, which has this test's records only, until it is gone. Returns how many were read. */
  async function followUntilMoved(onRecord: (readCount: number) => void): Promise<number> {
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    let refusal: unknown;
    let count = 0;
    try {
      for await (const entry of topic.records({ follow: true })) {
        expect(entry.type === 'record' && entry.payload.toString()).to.match(/^mine/);
        count += 1;
        onRecord(count);
      }
    } catch (error) {
      refusal = error;
    }
    expect(refusal).to.have.property('code', 'topic_not_found');
    return count;
  }

  /** What was acknowledged before stands in the directory that is away now, what came later in the new one. */
  async function expectAll(): Promise<void> {
    const seen = { [AWAY]: await payloadsOf(AWAY), [TOPIC]: await payloadsOf(TOPIC) };
    for (const { offset, payload, isAfter } of acknowledged)
      expect(seen[isAfter ? TOPIC : AWAY].get(offset), `offset ${offset}`).to.equal(payload);
    for (const [name, { size }] of Object.entries(seen)) {
      expect(size, name).to.equal(acknowledged.filter(({ isAfter }) => isAfter === (name === TOPIC)).length);
      const report = await verifyTopic(scratch.dataDirectory().context(name), {
        quick: false,
        onBytes: () => undefined,
      });
      expect([...report.findings].filter(({ severity }) => severity === 'error')).to.deep.equal([]);
    }
  }

  /** Those of this test, by offset. */
  async function payloadsOf(name: string): Promise<Map<number, string>> {
    const topic = await scratch.dataDirectory().openTopic(name, { mode: 'read' });
    const payloads = new Map<number, string>();
    for await (const entry of topic.records()) {
      const payload = entry.type === 'record' ? entry.payload.toString().replace(/\.+$/, '') : '';
      if (payload.startsWith('mine')) payloads.set(entry.offset, payload);
    }
    await topic.close();
    return payloads;
  }

  it('while a segment is rolled: the record goes to the topic that has the name now', async () => {
    const topic = await openTopic();
    let late: Promise<void> | undefined;
    disk.before('open create-new *.store', () => {
      exchange();
      late = append(topic, 'mine late');
    });
    for (let number = 0; number < 40; number++)
      await Promise.all(['a', 'b', 'c'].map((each) => append(topic, `mine ${number} ${each}`)));
    await late;
    await topic.close();
    expect(disk.hasHappened).to.equal(true);
    await expectAll();
    const payloads = acknowledged.filter(({ isAfter }) => isAfter).map(({ payload }) => payload);
    expect(payloads.slice(0, 4).join()).to.match(/^(mine \d+) a,\1 b,\1 c,mine late$/);
    for (const isAfter of [false, true]) {
      const those = acknowledged.filter((each) => each.isAfter === isAfter);
      const inOrder = those.map(({ offset }) => offset);
      expect(inOrder).to.deep.equal(inOrder.toSorted((one, other) => one - other));
    }
  });

  it('while the active segment is opened: no byte of the other topic is taken for a tail and cut', async () => {
    await fill(4);
    disk.before('open update *.store', exchange);
    const topic = await openTopic();
    for (let number = 4; number < 8; number++) await append(topic, `mine ${number}`);
    await topic.close();
    await expectAll();
    expect(existsSync(join(scratch.directory, TOPIC, 'quarantine'))).to.equal(false);
  });

  it('while a segment is opened that the other topic has not', async () => {
    await fill(10);
    disk.before('open read topic.json', exchange, 2);
    const topic = await openTopic();
    for (let number = 10; number < 14; number++) await append(topic, `mine ${number}`);
    await topic.close();
    expect(disk.hasHappened).to.equal(true);
    await expectAll();
  });

  it('while a reader settles: it leaves the other topic alone', async () => {
    await fill(4);
    disk.before('open update *.store', exchange);
    expect(await settleIfFree(scratch.context(disk))).to.equal(false);
    await expectAll();
    expect(existsSync(join(scratch.directory, TOPIC, 'quarantine'))).to.equal(false);
  });

  it('while retention plans: what the other topic may keep does not decide where this one begins', async () => {
    const topic = await openTopic();
    await appendAll(topic, 40);
    // In segments of the same names.
    const other = await scratch.dataDirectory().openTopic('like', { mode: 'append', create: SEGMENTS });
    for (let number = 0; number < 40; number++) await other.append([Buffer.alloc(100, 'x')]);
    await other.changeSettings({ retentionBytes: 1024 });
    await other.close();
    rmSync(join(scratch.directory, OTHER), { recursive: true });
    renameSync(join(scratch.directory, 'like'), join(scratch.directory, OTHER));
    disk.before('open read topic.json', exchange);
    let refusal: unknown;
    await topic.retain().catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'io_error');
    await topic.close();
    const moved = await scratch.dataDirectory().openTopic(AWAY, { mode: 'read' });
    expect((await moved.mark()).startOffset).to.equal(0);
    await moved.close();
  });

  it('while the topic is deleted: the other one is there still', async () => {
    await (await openTopic()).close();
    disk.before('sync high-watermark', exchange);
    let refusal: unknown;
    const deletion = deleteTopic(scratch.context(disk), 1000);
    await deletion.catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'io_error');
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    expect((await topic.mark()).nextOffset).to.equal(30);
    await topic.close();
  });

  it('while a deletion is finished for who died in it: the other one is there still', async () => {
    await (await openTopic()).close();
    const died = new FaultyFileSystem();
    died.failNext('rename', `/${TOPIC}`);
    await deleteTopic(scratch.context(died), 1000).catch(() => undefined);
    disk.before('sync high-watermark', exchange);
    await finishDeletion(scratch.context(disk), 1000);
    expect(disk.hasHappened).to.equal(true);
    expect((await scratch.everyOffset()).size).to.equal(30);
  });

  it('while retention deletes: it deletes nothing of the other topic, and says so', async () => {
    const topic = await openTopic();
    await appendAll(topic, 40);
    await topic.changeSettings({ retentionBytes: 1024 });
    // Behind the sync of the mark that says where the log begins now.
    disk.before('sync high-watermark', exchange);
    let refusal: unknown;
    await topic.retain().catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'io_error');
    expect((refusal as Error).message).to.include('moved or replaced');
    await topic.close();
    expect(existsSync(join(scratch.directory, TOPIC, '00000000000000000000.store'))).to.equal(true);
  });

  it('while an opening looks for later segments: those of the other topic are none of this one', async () => {
    await fill(2);
    await fillOther(40);
    // The first look is whether there is such a topic.
    disk.before(`list ${TOPIC}`, exchange, 2);
    const topic = await openTopic();
    expect(disk.hasHappened).to.equal(true);
    await append(topic, 'mine, behind the others');
    expect(acknowledged.at(-1)?.offset).to.equal(70);
    await topic.close();
    expect((await payloadsOf(AWAY)).size).to.equal(2);
  });

  it('while settings are changed: the other topic keeps its own, and its id', async () => {
    const topic = await openTopic();
    await appendAll(topic, 4);
    const other = await scratch.dataDirectory().openTopic(OTHER, { mode: 'read' });
    const before = await other.status();
    disk.before('sync high-watermark', exchange);
    let refusal: unknown;
    await topic.changeSettings({ segmentBytes: 4096 }).catch((error: unknown) => (refusal = error));
    expect(disk.hasHappened).to.equal(true);
    expect(refusal).to.have.property('code', 'io_error');
    await topic.close();
    const now = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    expect(await now.status()).to.deep.include({ id: before.id, settings: before.settings });
  });

  it('while a topic is made: the other one keeps its settings, and its id', async () => {
    const other = await scratch.dataDirectory().openTopic(OTHER, { mode: 'read' });
    const before = await other.status();
    disk.before('sync high-watermark', exchange);
    const making = scratch.dataDirectory(disk).createTopic(TOPIC, { segmentBytes: 4096 });
    expect(await making.catch((error: unknown) => error)).to.have.property('code', 'io_error');
    const now = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    expect(await now.status()).to.deep.include({ id: before.id, settings: before.settings });
  });

  it('while a group is reset: nobody is told that one of the other topic was', async () => {
    await fill(4);
    disk.before('write to g', exchange);
    const request = { topic: TOPIC, group: 'g', to: 'end', nowMs: Date.now() };
    const resetting = resetGroup(scratch.dataDirectory(disk), request);
    expect(await resetting.catch((error: unknown) => error)).to.have.property('code', 'topic_not_found');
    const now = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    expect((await now.status()).groups).to.deep.equal([]);
  });

  it('under a consumer that has locked its group: it reads nothing of the other topic', async () => {
    await fill(4);
    const taken: (Uint8Array | string)[] = [];
    const output = outputInto((chunk) => taken.push(chunk));
    // The first look is whether there is such a topic.
    disk.before('open read high-watermark', exchange, 2);
    const consuming = consume(
      consumeRequest({
        dataDirectory: scratch.dataDirectory(disk),
        topic: TOPIC,
        group: 'g',
        form: { framing: { delimiter: Buffer.of(10) } },
        output,
      }),
    );
    expect(await consuming.catch((error: unknown) => error)).to.have.property('code', 'topic_not_found');
    expect(taken).to.deep.equal([]);
  });

  it('under a reader: it goes on in no segment of the other topic', async () => {
    await fill(40);
    await fillOther(40);
    const count = await followUntilMoved((read) => {
      if (read === 2) exchange();
    });
    expect(count).to.be.within(2, 39);
  });

  it('under a follower that has read all of it: it does not go on in the other topic', async () => {
    await fill(4);
    const count = await followUntilMoved((read) => {
      if (read === 4) setTimeout(exchange, 50);
    });
    expect(count).to.equal(4);
  });
});
