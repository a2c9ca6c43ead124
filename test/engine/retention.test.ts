import { expect } from 'chai';
import { mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { planRetention, retainTopic, type RetainableSegment } from '../../src/engine/retention.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const DAY_MS = 86_400_000;
const KEEP = { ageMs: 0, bytes: 0, beforeOffset: 0 };

/** Ten offsets and 100 bytes a segment; the last is the active one. */
function segments(...lastTimestamps: (number | undefined)[]): RetainableSegment[] {
  return lastTimestamps.map((timestamp, number) => ({
    baseOffset: number * 10,
    endOffset: (number + 1) * 10,
    sizeBytes: 100,
    isActive: number === lastTimestamps.length - 1,
    lastTimestamp: () => timestamp,
  }));
}

function removed(list: RetainableSegment[], policy: Partial<typeof KEEP>, nowMs: number): number[] {
  return planRetention(list, { ...KEEP, ...policy }, nowMs).map(({ baseOffset }) => baseOffset);
}

describe('planRetention', () => {
  it('gives up segments whose last record is older than the age', () => {
    expect(removed(segments(0, 100, 200, 300), { ageMs: 150 }, 300)).to.deep.equal([0, 10]);
  });

  it('keeps a segment whose last record is exactly as old as the age', () => {
    expect(removed(segments(100, 200, 300), { ageMs: 200 }, 300)).to.deep.equal([]);
  });

  it('never gives up the active segment, however old and large', () => {
    expect(removed(segments(0), { ageMs: 1, bytes: 1, beforeOffset: 99 }, DAY_MS)).to.deep.equal([]);
  });

  it('stops at the first segment that is to stay, whatever stands behind it', () => {
    expect(removed(segments(0, 500, 0, 500), { ageMs: 100 }, 500)).to.deep.equal([0]);
  });

  it('counts a timestamp more than a day ahead as now', () => {
    expect(removed(segments(3 * DAY_MS, 0), { ageMs: 1 }, DAY_MS)).to.deep.equal([]);
  });

  it('keeps by age what nobody can tell the age of', () => {
    expect(removed(segments(undefined, 0), { ageMs: 1 }, DAY_MS)).to.deep.equal([]);
  });

  it('gives up oldest segments until the topic is within its bytes', () => {
    expect(removed(segments(0, 0, 0, 0), { bytes: 250 }, 0)).to.deep.equal([0, 10]);
    expect(removed(segments(0, 0, 0, 0), { bytes: 400 }, 0)).to.deep.equal([]);
  });

  it('gives up what ends at or before an offset', () => {
    expect(removed(segments(0, 0, 0, 0), { beforeOffset: 20 }, 0)).to.deep.equal([0, 10]);
    expect(removed(segments(0, 0, 0, 0), { beforeOffset: 19 }, 0)).to.deep.equal([0]);
  });

  it('gives up nothing where everything is switched off', () => {
    expect(removed(segments(0, 0, 0), {}, Number.MAX_SAFE_INTEGER)).to.deep.equal([]);
  });
});

describe('retention', () => {
  let scratch: ScratchTopic;

  beforeEach(() => {
    scratch = new ScratchTopic();
  });

  afterEach(() => {
    scratch.remove();
  });

  const forgetOld = (fileSystem?: FaultyFileSystem): ReturnType<typeof retainTopic> =>
    retainTopic(scratch.context(fileSystem), {
      lockTimeoutMs: 1000,
      policy: { ageMs: 1 },
      nowMs: Date.now() + DAY_MS / 2,
    });

  it('moves the start offset and nothing else', async () => {
    await scratch.fill(40, { segmentBytes: 1024 });
    const before = await scratch.everyOffset();
    const report = await forgetOld();
    const after = await scratch.everyOffset();
    expect(report?.segments).to.equal(9);
    expect(report?.startOffset).to.deep.equal({ before: 0, after: 36 });
    expect([...after]).to.deep.equal([...before].filter(([offset]) => offset >= 36));
    expect(scratch.files('.store')).to.have.lengthOf(1);
    expect(scratch.files('.index')).to.have.lengthOf(1);
  });

  it('runs when an append rolls, by the settings in topic.json', async () => {
    await scratch.fill(40, { segmentBytes: 1024, retentionBytes: 3000 });
    expect(scratch.storeBytes()).to.be.at.most(3000 + 1024);
    expect([...(await scratch.everyOffset()).keys()].at(-1)).to.equal(39);
  });

  it('deletes nothing from a topic whose topic.json is missing or unsound', async () => {
    await scratch.fill(20, { segmentBytes: 1024 });
    writeFileSync(scratch.path('topic.json'), '{}');
    expect(await forgetOld()).to.equal(undefined);
    rmSync(scratch.path('topic.json'));
    expect(await forgetOld()).to.equal(undefined);
    expect((await scratch.everyOffset()).size).to.equal(20);
  });

  it('deletes a segment beside what is called its index and is a directory, which stays', async () => {
    await scratch.fill(20, { segmentBytes: 1024 });
    const path = scratch.path('00000000000000000000.index');
    rmSync(path);
    mkdirSync(path);
    expect((await forgetOld())?.segments).to.equal(4);
    expect(statSync(path).isDirectory()).to.equal(true);
  });

  it('keeps everything where both settings are none', async () => {
    await scratch.fill(20, { segmentBytes: 1024, retentionAgeMs: 0, retentionBytes: 0 });
    const report = await retainTopic(scratch.context(), {
      lockTimeoutMs: 1000,
      nowMs: Date.now() + 1e12,
    });
    expect(report?.segments).to.equal(0);
  });

  it('judges a segment with a damaged end by the beginning of the next', async () => {
    await scratch.fill(12, { segmentBytes: 1024 });
    truncateSync(scratch.path('00000000000000000000.store'), 500);
    const kept = await retainTopic(scratch.context(), { lockTimeoutMs: 1000, policy: { ageMs: DAY_MS } });
    expect(kept?.segments).to.equal(0);
    expect((await forgetOld())?.segments).to.equal(2);
  });

  it('needs no write but the one of the mark, so a full disk is no obstacle', async () => {
    await scratch.fill(20, { segmentBytes: 1024 });
    const fileSystem = new FaultyFileSystem();
    fileSystem.freeBytesAnswer = 0;
    await forgetOld(fileSystem);
    // Mark, its sync, two files for each of four segments, the sync of the directory.
    expect(fileSystem.changeCount).to.equal(2 + 4 * 2 + 1);
  });

  it('tells a reader in the middle of a deleted segment where the log begins, after the end of that segment', async () => {
    await scratch.fill(20, { segmentBytes: 1024 });
    const topic = await scratch.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    const entries: string[] = [];
    for await (const entry of topic.records()) {
      if (entry.offset === 1) await forgetOld();
      entries.push(`${entry.type} ${entry.offset}`);
    }
    await topic.close();
    expect(entries).to.deep.equal([
      ...[0, 1, 2, 3].map((offset) => `record ${offset}`),
      'gap 4',
      ...[16, 17, 18, 19].map((offset) => `record ${offset}`),
    ]);
  });

  for (const type of ['die', 'fail'] as const) {
    it(`leaves a sound log that the next run finishes, when it is to ${type} at any change of the disk`, async () => {
      for (let at = 1; ; at++) {
        const one = new ScratchTopic();
        try {
          await one.fill(12, { segmentBytes: 1024 });
          const before = await one.everyOffset();
          const fileSystem = new FaultyFileSystem({ at, type });
          const options = { lockTimeoutMs: 1000, policy: { bytes: 1 } };
          const failed = await retainTopic(one.context(fileSystem), options).then(
            () => false,
            () => true,
          );
          if (!failed) {
            expect(at).to.be.greaterThan(6);
            return;
          }
          const between = await one.everyOffset();
          expect([...between]).to.deep.equal([...before].filter(([offset]) => between.has(offset)));
          await retainTopic(one.context(), options);
          expect([...(await one.everyOffset()).keys()]).to.deep.equal([8, 9, 10, 11]);
          expect(one.files('.store')).to.have.lengthOf(1);
          expect(one.files('.index')).to.have.lengthOf(1);
        } finally {
          one.remove();
        }
      }
    });
  }
});
