/**
 * compact and retention, ended at every change of the disk: by a kill, by a disk that fails once, by a power cut that
 * forgets what was not synced, and by one that keeps some of it. The log is whole, and the next compact finishes.
 */
import { expect } from 'chai';
import { join } from 'node:path';
import { CompactScene, indexName, storeName } from '../../support/compact-scene.ts';
import { retainTopic } from '../../../src/engine/retention.ts';
import { endAnywhere, POWER_CUTS } from '../../support/ended-anywhere.ts';
import { ForgetfulFileSystem } from '../../support/forgetful-file-system.ts';
import { snapshotOf } from '../../support/recovery-scene.ts';
import { TOPIC, type Seen } from '../../support/scratch-topic.ts';

/** Three merges, filler in one of them, two segments to drop, an index and two leftovers besides. */
const OPTIONS = { mergeBelowBytes: 3000, before: { offset: 8 } } as const;

describe('compact, ended at every change of the disk', function () {
  this.timeout(120_000);
  const scene = new CompactScene();
  const files = new Map<string, Buffer>();
  let seen = new Map<number, Seen>();
  let runCount = 0;

  before(async () => {
    await scene.fillSegments(46);
    await scene.loseRecords([
      { baseOffset: 12, number: 1 },
      { baseOffset: 12, number: 2 },
    ]);
    seen = await scene.everyOffset();
    scene.put(`${storeName(20)}.tmp-dead`, 'xyz');
    for (const [name, bytes] of snapshotOf(scene.path('')))
      if (name !== indexName(40)) files.set(join(scene.directory, TOPIC, name), bytes);
  });

  after(() => {
    scene.remove();
    console.log(`        ${runCount} interrupted runs`);
  });

  const freshDisk = (): ForgetfulFileSystem => ForgetfulFileSystem.holding(files);

  /** Nothing but what was to be dropped is missing, and nothing has changed its meaning. */
  async function expectWhole(disk: ForgetfulFileSystem): Promise<number> {
    const now = new Map([...(await scene.everyOffset(disk))].filter(([offset]) => offset < 46));
    const [startOffset = 0] = now.keys();
    expect(startOffset).to.be.at.most(8);
    expect([...now]).to.deep.equal([...seen].filter(([offset]) => offset >= startOffset));
    return startOffset;
  }

  async function append(disk: ForgetfulFileSystem): Promise<number> {
    const topic = await scene.dataDirectory(disk).openTopic(TOPIC, { mode: 'append' });
    const { offset } = await topic.append([Buffer.from('behind')]);
    await topic.close();
    return offset;
  }

  async function expectFinished(disk: ForgetfulFileSystem): Promise<void> {
    const report = await scene.compact(OPTIONS, disk);
    expect(report.damaged).to.deep.equal([]);
    expect(await expectWhole(disk)).to.equal(8);
    await scene.expectClean(disk);
    expect(storesOn(disk)).to.equal(storesWhole);
  }

  const storesOn = (disk: ForgetfulFileSystem): string =>
    [...disk.files()]
      .filter(([path]) => /\.(store|index)/.test(path))
      .map(([path, bytes]) => `${path} ${bytes.toString('hex')}`)
      .sort()
      .join('\n');
  let storesWhole = '';

  it('leaves a log that reads as before, and that the next compact makes what it was to be', async () => {
    const whole = freshDisk();
    const report = await scene.compact(OPTIONS, whole);
    expect(report.rewrites).to.have.lengthOf(3);
    expect(report.dropped.segments).to.equal(2);
    expect(report.leftovers).to.have.lengthOf(1);
    storesWhole = storesOn(whole);
    runCount += await endAnywhere(['failed', 'killed', ...POWER_CUTS], {
      prepare: () => Promise.resolve(freshDisk()),
      run: (disk) => scene.compact(OPTIONS, disk),
      check: async (left) => {
        await expectWhole(left);
        expect(await scene.findings(left, ['error'])).to.deep.equal([]);
        await expectFinished(left);
      },
    });
  });

  it('leaves it behind the next process, too, where the power is cut then', async () => {
    runCount += await endAnywhere(['failed'], {
      prepare: () => Promise.resolve(freshDisk()),
      run: (disk) => scene.compact(OPTIONS, disk),
      check: async (left) => {
        await expectWhole(left);
        expect((await scene.compact(OPTIONS, left)).damaged).to.deep.equal([]);
        expect(await expectWhole(left)).to.equal(8);
        expect(await scene.findings(left, ['error'])).to.deep.equal([]);
      },
      next: {
        compact: (disk) => scene.compact(OPTIONS, disk),
        retention: (disk) =>
          retainTopic(scene.context(disk), { policy: { beforeOffset: 8 }, lockTimeoutMs: 2000 }),
        recover: (disk) => scene.recover(disk),
        append: (disk) => append(disk),
      },
    });
  });

  it('has made everything durable when it ends', async () => {
    for (const crash of ['killed', ...POWER_CUTS] as const) {
      const disk = freshDisk();
      await scene.compact(OPTIONS, disk);
      const left = disk.afterCrash(crash);
      expect(storesOn(left)).to.equal(storesWhole);
      expect(await expectWhole(left)).to.equal(8);
    }
  });

  it('leaves a log that can be appended to, wherever it was killed', async () => {
    const whole = freshDisk();
    await scene.compact(OPTIONS, whole);
    for (let at = 1; at <= whole.changeCount; at++) {
      const disk = freshDisk();
      disk.fault = { at, type: 'die' };
      await scene.compact(OPTIONS, disk).catch(() => undefined);
      const left = disk.afterCrash('killed');
      const offset = await append(left);
      expect(offset).to.equal(46);
      const now = await scene.everyOffset(left);
      expect(now.get(46)).to.match(/behind$/);
      expect(now.get(45)).to.equal(seen.get(45));
    }
  });
});
