/** Commands that wait or look for their place while their topic is deleted and made anew. */
import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { resetGroup } from '../../src/cli/topics/topics.ts';
import { nextRefusedLock } from '../support/refused-lock.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

describe('topics reset', () => {
  const scratch = ScratchTopic.forEach(30);

  it('goes by where the log ends once what lies behind an old mark is settled', async () => {
    const old = readFileSync(scratch.path('high-watermark'));
    await scratch.fill(5);
    writeFileSync(scratch.path('high-watermark'), old);
    const request = { topic: TOPIC, group: 'g', to: 'end', nowMs: Date.now() };
    expect((await resetGroup(scratch.dataDirectory(), request)).nextOffset).to.equal(35);
  });

  it('means the topic whose group it sets: another than when it began to wait for the consumer', async () => {
    const data = scratch.dataDirectory();
    const topic = await scratch.open();
    const group = await topic.openGroup('g');
    const isWaiting = nextRefusedLock();
    const resetting = resetGroup(data, { topic: TOPIC, group: 'g', to: 'end', nowMs: Date.now() });
    await isWaiting;
    await topic.close();
    await data.deleteTopic(TOPIC);
    await scratch.fill(3);
    group.close();
    expect((await resetting).nextOffset).to.equal(3);
    const remade = await data.openTopic(TOPIC, { mode: 'read' });
    const [status] = (await remade.status()).groups;
    expect(status).to.include({ name: 'g', nextOffset: 3, behind: 0 });
    await remade.close();
  });
});
