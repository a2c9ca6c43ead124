/**
 * The power cut at every change of the disk that recover, its undo and a purge make, and behind the next process that
 * goes on where one of them was killed: no good record is lost, whoever recovers next ends with a sound log, and what it
 * took out can be put back.
 */
import { expect } from 'chai';
import { compactTopic } from '../../../src/engine/compaction/compact.ts';
import {
  purgeRecovery,
  recoverTopic,
  undoRecovery,
  type RecoverReport,
} from '../../../src/engine/recovery/recover.ts';
import { listRuns } from '../../../src/engine/recovery/runs.ts';
import type { TopicContext } from '../../../src/engine/topic-directory.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { endAnywhere, POWER_CUTS } from '../../support/ended-anywhere.ts';
import type { ForgetfulFileSystem } from '../../support/forgetful-file-system.ts';
import {
  diskWith,
  RENAMES,
  SCENARIO_LOG,
  scenarioPayload,
  SCENARIOS,
  storesOnDisk,
  type Scenario,
} from '../../support/interrupted-scenarios.ts';
import { RecoveryScene } from '../../support/recovery-scene.ts';

describe('recover, undo and purge, cut off from power anywhere', () => {
  const scene = new RecoveryScene();
  let endCount = 0;

  before(async () => {
    await scene.fill(SCENARIO_LOG, { payload: scenarioPayload });
  });

  after(() => {
    scene.remove();
    console.log(`        ${endCount} ends`);
  });

  const damagedDisk = (scenario: Scenario): ForgetfulFileSystem => diskWith(scene, scenario);
  const contextOn = (disk: ForgetfulFileSystem): TopicContext => scene.scratch.context(disk);
  const recover = (disk: ForgetfulFileSystem): Promise<RecoverReport> =>
    recoverTopic(contextOn(disk), { dryRun: false, tryBitFlip: false, lockTimeoutMs: 1000 });
  const undo = async (disk: ForgetfulFileSystem): Promise<void> => {
    for (const { run, manifest } of listRuns(contextOn(disk)).reverse())
      if (manifest !== undefined) await undoRecovery(contextOn(disk), { run, lockTimeoutMs: 1000 });
  };
  const purge = async (disk: ForgetfulFileSystem): Promise<void> => {
    for (const { run } of listRuns(contextOn(disk)))
      await purgeRecovery(contextOn(disk), { run, lockTimeoutMs: 1000 });
  };
  const compact = (disk: ForgetfulFileSystem): Promise<unknown> =>
    compactTopic(contextOn(disk), { dryRun: false, mergeBelowBytes: 4096, lockTimeoutMs: 1000 });
  const recovered = async (scenario: Scenario): Promise<ForgetfulFileSystem> => {
    const disk = damagedDisk(scenario);
    await recover(disk);
    disk.syncAll();
    return disk;
  };

  const storesOn = (disk: ForgetfulFileSystem): Map<string, string> => storesOnDisk(scene, disk);

  /** A record that was acknowledged is there after a power cut, once what it cut off was recovered. */
  async function append(disk: ForgetfulFileSystem): Promise<void> {
    const topic = await scene.scratch.dataDirectory(disk).openTopic('t', { mode: 'append' });
    const { offset } = await topic.append([Buffer.from('behind')]);
    expect(offset).to.equal(11);
    for (const cut of ['forgotten', 1] as const) {
      const left = disk.afterCrash(cut);
      await recover(left);
      expect((await scene.scratch.everyOffset(left)).get(offset), String(cut)).to.match(/ behind$/);
    }
    await topic.close();
  }

  /** One more recovery, to its end, and the log is what it is where nothing came in between. */
  async function expectRecovered(disk: ForgetfulFileSystem, scenario: Scenario): Promise<void> {
    await recover(disk);
    const differences = await scene.differences(new Set(scenario.lost), disk);
    expect(differences.filter((text) => text !== '11: invented')).to.deep.equal([]);
    const { findings } = await verifyTopic(contextOn(disk), { quick: false, onBytes: () => undefined });
    expect([...findings].filter(({ severity }) => severity === 'error')).to.deep.equal([]);
    expect([...(await recover(disk)).repairs]).to.deep.equal([]);
  }

  for (const scenario of [...SCENARIOS, ...RENAMES]) {
    const prepare = (): Promise<ForgetfulFileSystem> => Promise.resolve(damagedDisk(scenario));
    const repaired = (): Promise<ForgetfulFileSystem> => recovered(scenario);
    const check = (disk: ForgetfulFileSystem): Promise<void> => expectRecovered(disk, scenario);
    const checkUndone = (disk: ForgetfulFileSystem): Promise<void> => {
      const stores = storesOn(disk);
      for (const [name, bytes] of storesOn(damagedDisk(scenario)))
        expect(stores.get(name), `undone: ${name}`).to.equal(bytes);
      return Promise.resolve();
    };
    const checkAll = async (disk: ForgetfulFileSystem): Promise<void> => {
      await check(disk);
      await undo(disk);
      await checkUndone(disk);
    };

    it(`loses nothing but ${scenario.title} wherever recover or undo is cut off`, async () => {
      endCount += await endAnywhere(POWER_CUTS, { prepare, run: recover, check: checkAll });
      endCount += await endAnywhere(POWER_CUTS, { prepare: repaired, run: undo, check: checkAll });
    });

    if (scenario.isMoved !== true) continue;

    it(`loses nothing but ${scenario.title} behind the next process`, async () => {
      const next = { recover, undo, purge, compact, append };
      endCount += await endAnywhere(['failed'], { prepare, run: recover, check, next });
      endCount += await endAnywhere(['failed'], { prepare: repaired, run: undo, check, next });
    });

    it(`has ${scenario.title} back behind an undo that went on where another was killed`, async () => {
      endCount += await endAnywhere([], { prepare: repaired, run: undo, check: checkUndone, next: { undo } });
    });

    it(`loses nothing but ${scenario.title} wherever a purge is cut off`, async () => {
      const next = { recover, undo, purge };
      endCount += await endAnywhere(['failed', ...POWER_CUTS], {
        prepare: repaired,
        run: purge,
        check,
        next,
      });
    });
  }
});
