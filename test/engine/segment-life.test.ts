/** From active to full to deleted: when a segment is sealed, and how a writer at work learns of other settings. */
import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { ScratchTopic } from '../support/scratch-topic.ts';

const HOUR_MS = 3_600_000;

describe('the life of a segment', () => {
  const now = Date.now;
  let scratch: ScratchTopic;

  beforeEach(() => {
    scratch = new ScratchTopic();
  });

  afterEach(() => {
    Date.now = now;
    scratch.remove();
  });

  const later = (ms: number): void => {
    Date.now = () => now() + ms;
  };

  it('ends when its first record is older than a tenth of the retention age, however slow the topic', async () => {
    const topic = await scratch.open({ retentionAgeMs: 10 * HOUR_MS });
    await topic.append([Buffer.from('a')]);
    later(HOUR_MS - 60_000);
    await topic.append([Buffer.from('b')]);
    expect(scratch.files('.store')).to.have.lengthOf(1);
    later(HOUR_MS + 60_000);
    await topic.append([Buffer.from('c')]);
    expect(scratch.files('.store')).to.have.lengthOf(2);
    await topic.close();
  });

  it('does not end early because a dead writer has left half a record of another time at its beginning', async () => {
    await (await scratch.open()).close();
    const torn = Buffer.alloc(40);
    torn.writeUInt32BE(100);
    writeFileSync(scratch.path('00000000000000000000.store'), torn);
    const topic = await scratch.open();
    await topic.append([Buffer.from('a')]);
    await topic.append([Buffer.from('b')]);
    expect(scratch.files('.store')).to.have.lengthOf(1);
    await topic.close();
  });

  it('does not end by age where records are kept for ever', async () => {
    const topic = await scratch.open({ retentionAgeMs: 0 });
    await topic.append([Buffer.from('a')]);
    later(1000 * 24 * HOUR_MS);
    await topic.append([Buffer.from('b')]);
    expect(scratch.files('.store')).to.have.lengthOf(1);
    await topic.close();
  });

  it('ends by the size that another process has set meanwhile: a writer at work sees it at its next append', async () => {
    const topic = await scratch.open();
    await topic.append([Buffer.alloc(600)]);
    await topic.append([Buffer.alloc(600)]);
    expect(scratch.files('.store')).to.have.lengthOf(1);
    const other = await scratch.open();
    await other.changeSettings({ segmentBytes: 1024, retentionBytes: 1024 });
    await other.close();
    await topic.append([Buffer.alloc(600)]);
    // The first segment, of 1232 bytes, went by the retention that was set with it.
    expect((await topic.mark()).startOffset).to.equal(2);
    await topic.close();
  });

  it('is told when it ends by retention: which topic, how many, how many bytes, and where the log begins now', async () => {
    const told: unknown[] = [];
    const data = openDataDirectory(scratch.directory, {
      onRetention: (topic, report) => told.push({ topic, ...report }),
    });
    const topic = await data.openTopic('t', {
      mode: 'append',
      create: { segmentBytes: 1024, retentionBytes: 1024 },
    });
    for (let number = 0; number < 3; number++) await topic.append([Buffer.alloc(800)]);
    await topic.close();
    expect(told).to.deep.equal([
      { topic: 't', segments: 1, bytes: 816, startOffset: { before: 0, after: 1 } },
    ]);
  });
});
