/** What programs that check no types give to `append`: refused before anything is written, and nobody else's append with it. */
import { expect } from 'chai';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

describe('Topic.append', () => {
  const scratch = ScratchTopic.forEach(2);

  const WRONG: readonly (readonly [string, unknown])[] = [
    ['text', ['text']],
    ['an ArrayBuffer', [new ArrayBuffer(4)]],
    ['a DataView', [Buffer.from('good'), new DataView(new ArrayBuffer(4))]],
    ['numbers of two bytes', [new Uint16Array([1, 2])]],
    ['an array of numbers', [[1, 2]]],
    ['nothing', [undefined]],
    ['one payload for a list of them', Buffer.from('good')],
    ['no list', undefined],
  ];

  for (const [what, payloads] of WRONG) {
    it(`refuses ${what}, and stores what others append at the same time`, async () => {
      const topic = await scratch.open();
      const outcomes = await Promise.allSettled([
        topic.append([Buffer.from('before')]),
        topic.append(payloads as Uint8Array[]),
        topic.append([Buffer.from('behind')]),
      ]);
      expect(outcomes.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
      const reason: unknown = (outcomes[1] as PromiseRejectedResult).reason;
      expect(reason).to.have.property('code', 'invalid_argument');
      expect(reason).to.have.nested.property('details.sideEffects', 'none');
      await topic.close();
      expect((await payloadsFrom(2)).join()).to.equal('before,behind');
    });
  }

  it('stores what was in the list when it was called', async () => {
    const topic = await scratch.open();
    const list = ['one', 'two', 'three'].map((text) => Buffer.from(text));
    const appending = topic.append(list);
    list.length = 0;
    expect(await appending).to.include({ offset: 2, count: 3 });
    await topic.close();
    expect((await payloadsFrom(2)).join()).to.equal('one,two,three');
  });

  async function payloadsFrom(from: number): Promise<string[]> {
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    const payloads: string[] = [];
    for await (const entry of topic.records({ from }))
      payloads.push(entry.type === 'record' ? entry.payload.toString() : entry.type);
    await topic.close();
    return payloads;
  }
});
