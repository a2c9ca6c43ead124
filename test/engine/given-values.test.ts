/** What programs that check no types give besides payloads: refused, and nothing is changed by it. */
import { expect } from 'chai';
import { closeSync, openSync, writeSync, readFileSync } from 'node:fs';
import type { TopicSettings } from '../../src/engine/settings.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const NO_OFFSETS: readonly unknown[] = [NaN, -1, 1.5, 2 ** 53, '2', null];

async function refusalOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('what is given to a topic', () => {
  const scratch = ScratchTopic.forEach(30);

  for (const value of NO_OFFSETS) {
    it(`is no offset to read from or to, nor one of a group: ${String(value)}`, async () => {
      const topic = await scratch.open();
      const offset = value as number;
      const read = async (options: { from?: number; until?: number }): Promise<void> => {
        for await (const entry of topic.records(options)) expect(entry.type).to.equal('record');
      };
      expect(await refusalOf(read({ from: offset }))).to.have.property('code', 'invalid_argument');
      expect(await refusalOf(read({ until: offset }))).to.have.property('code', 'invalid_argument');
      const group = await topic.openGroup('g');
      await group.commit(7);
      expect(await refusalOf(group.commit(offset))).to.have.property('code', 'invalid_argument');
      group.close();
      const again = await topic.openGroup('g');
      expect(again.nextOffset).to.equal(7);
      again.close();
      await topic.close();
    });
  }

  it('is an end as far away as it may be', async () => {
    const topic = await scratch.open();
    let count = 0;
    for await (const { type } of topic.records({ from: 20, until: Infinity }))
      count += type === 'record' ? 1 : 0;
    expect(count).to.equal(10);
    await topic.close();
  });

  const WRONG: readonly object[] = [
    { segmentBytes: 5 },
    { retentionAgeMs: -1 },
    { retentionBytes: NaN },
    { nonsense: 1 },
  ];
  for (const changes of WRONG) {
    it(`are no settings: ${Object.keys(changes).join()}`, async () => {
      const topic = await scratch.open();
      const before = await topic.status();
      const refusal = await refusalOf(topic.changeSettings(changes));
      expect(refusal).to.have.property('code', 'invalid_argument');
      expect(await topic.status()).to.deep.equal(before);
      await topic.close();
    });
  }

  it('changes no setting that is undefined', async () => {
    const topic = await scratch.open();
    await topic.changeSettings({ segmentBytes: 4096 });
    const changes = { segmentBytes: undefined, retentionBytes: 8192 } as unknown as Partial<TopicSettings>;
    expect(await topic.changeSettings(changes)).to.include({ segmentBytes: 4096, retentionBytes: 8192 });
    await topic.close();
  });
});

describe('a group that was closed', () => {
  const scratch = ScratchTopic.forEach(1);

  it('writes into no file that has its descriptor by now', async () => {
    const topic = await scratch.open();
    const group = await topic.openGroup('g');
    await group.commit(1);
    group.close();
    const other = await scratch.dataDirectory().openTopic('other', { mode: 'append', create: {} });
    await other.append([Buffer.from('one')]);
    expect(await refusalOf(group.commit(1))).to.have.property('code', 'closed');
    expect((await other.append([Buffer.from('two')])).offset).to.equal(1);
    await other.close();
    await topic.close();
  });

  it('has stored what it was told to before', async () => {
    const topic = await scratch.open();
    const group = await topic.openGroup('g');
    const committing = group.commit(1);
    group.close();
    await committing;
    const again = await topic.openGroup('g');
    expect(again.nextOffset).to.equal(1);
    again.close();
    await topic.close();
  });
});

describe('a mark that is behind, as after a power cut', () => {
  const scratch = ScratchTopic.forEach(3);

  it('hides nothing from an iteration: what is behind it is settled before its end is known', async () => {
    const stale = readFileSync(scratch.path('high-watermark'));
    await scratch.fill(4);
    for (const from of [undefined, 5]) {
      const file = openSync(scratch.path('high-watermark'), 'r+');
      writeSync(file, stale, 0, stale.length, 0);
      closeSync(file);
      const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
      const offsets: number[] = [];
      for await (const { offset } of topic.records(from === undefined ? {} : { from })) offsets.push(offset);
      expect(offsets).to.deep.equal([0, 1, 2, 3, 4, 5, 6].slice(from ?? 0));
      await topic.close();
    }
  });
});
