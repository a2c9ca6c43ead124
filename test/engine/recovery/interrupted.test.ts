/**
 * recover and undo, ended at every one of their changes of the disk: by an error, by a kill, by a power cut that forgets
 * what was not synced, and by one that keeps some of it. Whatever is left can be recovered, and no good record is touched.
 */
import { expect } from 'chai';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recoverTopic, undoRecovery, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import type { LostOffsets } from '../../../src/engine/recovery/plan.ts';
import { listRuns, type RecoveryRun } from '../../../src/engine/recovery/runs.ts';
import { halfExchanged } from '../../../src/engine/recovery/interrupted-runs.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import type { TopicContext } from '../../../src/engine/topic-directory.ts';
import { endAnywhere, POWER_CUTS, type Work } from '../../support/ended-anywhere.ts';
import { FaultyFileSystem } from '../../support/faulty-file-system.ts';
import type { ForgetfulFileSystem } from '../../support/forgetful-file-system.ts';
import type { Crash } from '../../support/power-loss.ts';
import {
  diskWith,
  SCENARIO_LOG,
  scenarioPayload,
  SCENARIOS,
  RENAMES,
  storesOnDisk,
  TWO_FLIPPED_BITS,
  type Scenario,
} from '../../support/interrupted-scenarios.ts';
import { lostOffsets, RecoveryScene, storesOf } from '../../support/recovery-scene.ts';
import { ScratchTopic } from '../../support/scratch-topic.ts';

const OPTIONS = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 1000 };

/** Whatever else may be gone, these files' bytes are what the process died with, or what was synced. */
const CRASHES: readonly Crash[] = ['killed', ...POWER_CUTS];

describe('recover and undo, ended at every change of the disk', () => {
  const scene = new RecoveryScene();
  let runCount = 0;

  before(async () => {
    await scene.fill(SCENARIO_LOG, { payload: scenarioPayload });
  });

  after(() => {
    scene.remove();
    console.log(`        ${runCount} interrupted runs`);
  });

  const damagedDisk = (scenario: Scenario): ForgetfulFileSystem => diskWith(scene, scenario);
  const contextOn = (disk: ForgetfulFileSystem): TopicContext => scene.scratch.context(disk);
  const recoverOn = (disk: ForgetfulFileSystem): Promise<RecoverReport> =>
    recoverTopic(contextOn(disk), OPTIONS);

  const storesOn = (disk: ForgetfulFileSystem): Map<string, string> => storesOnDisk(scene, disk);

  async function expectRecovered(disk: ForgetfulFileSystem, scenario: Scenario): Promise<void> {
    await recoverOn(disk);
    expect(await scene.differences(new Set(scenario.lost), disk)).to.deep.equal([]);
  }

  async function everyEnd(work: Work): Promise<void> {
    runCount += await endAnywhere(['failed', ...CRASHES], work);
  }

  const undoAll = async (disk: ForgetfulFileSystem): Promise<void> => {
    const runs = listRuns(contextOn(disk)).reverse();
    for (const { run } of runs) await undoRecovery(contextOn(disk), { run, lockTimeoutMs: 1000 });
  };

  function expectStores(disk: ForgetfulFileSystem, expected: ReadonlyMap<string, string>): void {
    const stores = storesOn(disk);
    for (const [name, bytes] of expected) expect(stores.get(name), name).to.equal(bytes);
  }

  for (const scenario of [...SCENARIOS, ...RENAMES]) {
    it(`recovers ${scenario.title} after a recover that was ended anywhere`, async () => {
      await everyEnd({
        prepare: () => Promise.resolve(damagedDisk(scenario)),
        run: recoverOn,
        check: (disk) => expectRecovered(disk, scenario),
      });
    });

    it(`tells of what was lost with ${scenario.title}, though the recover that lost it was ended anywhere`, async () => {
      let isTold = false;
      await endAnywhere(['failed', ...CRASHES], {
        prepare: () => {
          isTold = false;
          return Promise.resolve(damagedDisk(scenario));
        },
        run: async (disk) => {
          await recoverOn(disk);
          isTold = true;
        },
        note: () => isTold,
        check: async (disk, wasTold) => {
          // One that had carried everything through may have been about to tell.
          const isApplied = listRuns(contextOn(disk)).some(({ state }) => state === 'applied');
          const preview = await recoverTopic(contextOn(disk), { ...OPTIONS, dryRun: true });
          const report = await recoverOn(disk);
          if (!isApplied) expect(lostOffsets(report)).to.deep.equal(new Set(wasTold ? [] : scenario.lost));
          if ([...preview.repairs].some(({ code }) => code === 'recovery_interrupted'))
            expect(lostOffsets(preview)).to.deep.equal(lostOffsets(report));
          const again = await recoverOn(disk);
          expect([...again.repairs, ...again.lost]).to.deep.equal([]);
        },
      });
    });

    it(`has repaired ${scenario.title} durably once recover has ended, with all that undo needs`, async () => {
      const damaged = storesOn(damagedDisk(scenario));
      for (const crash of CRASHES) {
        const disk = damagedDisk(scenario);
        await recoverOn(disk);
        const left = disk.afterCrash(crash);
        expect(await scene.differences(new Set(scenario.lost), left), String(crash)).to.deep.equal([]);
        const again = await recoverOn(left);
        expect([...again.repairs], String(crash)).to.deep.equal([]);
        await undoAll(left);
        expectStores(left, damaged);
        expectStores(left.afterCrash(crash), damaged);
      }
    });

    it(`undoes the repair of ${scenario.title} after an undo that was ended anywhere`, async () => {
      const damaged = storesOn(damagedDisk(scenario));
      await everyEnd({
        prepare: async () => {
          const disk = damagedDisk(scenario);
          await recoverOn(disk);
          return disk.afterCrash('killed');
        },
        run: undoAll,
        check: async (disk) => {
          await undoAll(disk);
          expectStores(disk, damaged);
          await expectRecovered(disk, scenario);
        },
      });
    });
  }

  it('tells of no more than was lost by a recover that was killed, where the next one can do better', async () => {
    let partlyCount = 0;
    await endAnywhere(['killed'], {
      prepare: () => Promise.resolve(damagedDisk(TWO_FLIPPED_BITS)),
      run: recoverOn,
      check: async (disk) => {
        const isApplied = listRuns(contextOn(disk)).some(({ state }) => state === 'applied');
        const report = await recoverTopic(contextOn(disk), { ...OPTIONS, tryBitFlip: true });
        const seen = await scene.scratch.everyOffset(disk);
        const gaps = [...seen].flatMap(([offset, what]) => (what.startsWith('gap') ? [offset] : []));
        if (!isApplied) expect(lostOffsets(report)).to.deep.equal(new Set(gaps));
        partlyCount += gaps.length === 1 ? 1 : 0;
      },
    });
    expect(partlyCount).to.be.greaterThan(0);
  });

  it('tells of what was lost by a recover that was killed, though a writer has gone on since', async () => {
    const [scenario] = SCENARIOS.filter(({ title }) => title === 'a cut active store') as [Scenario];
    let appendedCount = 0;
    await endAnywhere(['killed'], {
      prepare: () => Promise.resolve(damagedDisk(scenario)),
      run: recoverOn,
      check: async (disk) => {
        const data = scene.scratch.dataDirectory(disk);
        const isAppended = await data
          .openTopic('t', { mode: 'append' })
          .then((topic) => topic.append([Buffer.from('later')]).finally(() => topic.close()))
          .then(
            () => true,
            () => false,
          );
        const runs = listRuns(contextOn(disk));
        if (runs.some(({ state }) => state === 'applied')) return;
        expect(lostOffsets(await recoverOn(disk))).to.deep.equal(new Set(scenario.lost));
        appendedCount += isAppended && runs.length > 0 ? 1 : 0;
      },
    });
    expect(appendedCount).to.be.greaterThan(0);
  });

  /** What did not end is told by a dry run, and by verify if anything is wrong, and is settled in a copy as in place. */
  async function expectTold(left: ForgetfulFileSystem): Promise<void> {
    const isWhole = (await scene.differences(new Set(), left).catch(() => ['damage'])).length === 0;
    const { findings } = await verifyTopic(contextOn(left), { quick: false, onBytes: () => undefined });
    const errors = [...findings].filter(({ severity }) => severity === 'error');
    expect(errors.map(({ code }) => code)).to.deep.equal(isWhole ? [] : ['misplaced_frames']);
    if (!isWhole) expect(errors[0]?.message).to.include('interrupted');
    const before = storesOn(left);
    const preview = await recoverTopic(contextOn(left), { ...OPTIONS, dryRun: true });
    expect([...preview.repairs].map(({ repair }) => repair).join()).to.include(
      'this recovery was interrupted',
    );
    expect(storesOn(left)).to.deep.equal(before);
    // A copy gets what the killed run kept, and is repaired as the topic itself is.
    const out = `${scene.scratch.directory}/salvaged`;
    const salvaged = await recoverTopic(contextOn(left), { ...OPTIONS, out });
    expect([...salvaged.lost]).to.deep.equal([]);
    expect(storesOn(left), 'the source').to.deep.equal(before);
    await recoverOn(left);
    const copied = [...left.files()].filter(([path]) => path.startsWith(out));
    const copies = storesOf(new Map(copied.map(([path, bytes]) => [path.slice(`${out}/t/`.length), bytes])));
    expect(copies).to.deep.equal(storesOn(left));
  }

  for (const [name, work] of [
    ['recover', recoverOn],
    ['undo', undoAll],
  ] as const)
    it(`is told by verify and by a dry run where ${name} was ended while frames were in neither place`, async () => {
      const scenario = SCENARIOS.find(({ title }) => title.includes('of one length exchanged')) as Scenario;
      let halfCount = 0;
      await endAnywhere(['killed'], {
        prepare: async () => {
          const disk = damagedDisk(scenario);
          if (name === 'undo') await recoverOn(disk);
          return disk;
        },
        run: work,
        check: async (left) => {
          if (halfExchanged(contextOn(left), listRuns(contextOn(left))).length === 0) return;
          halfCount += 1;
          await expectTold(left);
        },
      });
      expect(halfCount).to.be.at.least(2);
    });

  it('says how many lost offsets there are', async () => {
    const disk = damagedDisk(SCENARIOS[4] as Scenario);
    expect([...lostOffsets(await recoverOn(disk))]).to.deep.equal([3, 4, 5, 6]);
  });
});

describe('a recover that was killed before it could tell', () => {
  const scratch = ScratchTopic.forEach(30);

  it('is told of once more where that cannot be noted, and then no more', async () => {
    const [store] = scratch.files('.store') as [string];
    const bytes = readFileSync(scratch.path(store));
    bytes[bytes.indexOf('7:xxx')]! ^= 1;
    writeFileSync(scratch.path(store), bytes);
    await recoverTopic(scratch.context(), OPTIONS);
    const [run] = listRuns(scratch.context()) as [RecoveryRun];
    rmSync(join(run.path, 'applied'));
    const disk = new FaultyFileSystem();
    disk.failNext('create', 'told');
    const lost: LostOffsets[][] = [];
    for (const fileSystem of [disk, undefined, undefined]) {
      const report = await recoverTopic(scratch.context(fileSystem), OPTIONS);
      lost.push([...report.lost]);
    }
    expect(disk.changes).to.include('create told');
    expect(lost).to.deep.equal([[{ from: 7, to: 8 }], [{ from: 7, to: 8 }], []]);
  });
});
