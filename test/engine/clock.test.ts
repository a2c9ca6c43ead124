/** Waits are as long as they were said to be, whatever is done to the clock meanwhile. */
import { expect } from 'chai';
import { BatchWriter } from '../../src/cli/produce/batch-writer.ts';
import { createKernel, openDataDirectory } from '../../src/engine/index.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const HOUR_MS = 3_600_000;

describe('where the clock is set back by an hour', () => {
  const { now } = Date;
  const scratch = ScratchTopic.forEach(1);

  const setBack = (): void => {
    Date.now = () => now() - HOUR_MS;
  };

  afterEach(() => {
    Date.now = now;
  });

  it('a wait for records ends when its time is over', async () => {
    const topic = await scratch.open();
    const reader = await topic.openReader({ from: 1 });
    const waited = reader.waitForMore({ timeoutMs: 30 });
    setBack();
    expect(await waited).to.equal('timeout');
    reader.close();
    await topic.close();
  });

  it('a wait for a group is given up when its time is over', async () => {
    const hasty = openDataDirectory(scratch.directory, { lockTimeoutMs: 50 });
    const topic = await hasty.openTopic(TOPIC, { mode: 'read' });
    const first = await topic.openGroup('g');
    const second = topic.openGroup('g').catch((error: unknown) => error);
    setBack();
    expect(await second).to.have.property('code', 'locked');
    first.close();
    await topic.close();
  });

  it('a batch lingers no longer than it was told to', async () => {
    const topic = await scratch.open();
    const kernel = createKernel();
    let acknowledge: (() => void) | undefined;
    const acknowledged = new Promise<void>((resolve) => (acknowledge = resolve));
    const writer = new BatchWriter(kernel, {
      topic,
      batchBytes: 1024,
      lingerMs: 20,
      expectedOffset: undefined,
      onAck: () => Promise.resolve(acknowledge?.()),
      onFailure: () => undefined,
      start: { path: undefined, byte: 0 },
    });
    const input = { start: 0, end: kernel.memory.write('record\n') };
    const delimiter = Buffer.from('\n');
    const { outputEnd } = kernel.frameLines({
      input,
      framing: { delimiter },
      isFinal: true,
      maxRecordBytes: 100,
      ...writer.nextTarget(),
    });
    writer.add({ recordCount: 1, outputEnd, inputPosition: { path: undefined, byte: 7 } });
    setBack();
    writer.pause();
    await acknowledged;
    await writer.finish();
    await topic.close();
  });
});
