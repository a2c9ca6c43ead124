/**
 * recover and undo of stores that bear the names of others, ended at every one of their changes of the disk: whatever is
 * left, no store stays in quarantine, and who looks in between is told of no record that it is lost.
 */
import { expect } from 'chai';
import { join } from 'node:path';
import { storeFileName } from '../../../src/engine/format/file-names.ts';
import {
  purgeRecovery,
  recoverTopic,
  undoRecovery,
  type RecoverReport,
} from '../../../src/engine/recovery/recover.ts';
import { listRuns } from '../../../src/engine/recovery/runs.ts';
import { halfExchanged } from '../../../src/engine/recovery/interrupted-runs.ts';
import type { TopicContext } from '../../../src/engine/topic-directory.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { endAnywhere, type Work } from '../../support/ended-anywhere.ts';
import { ForgetfulFileSystem } from '../../support/forgetful-file-system.ts';
import { FOUR_SEGMENTS, growingPayload, RecoveryScene, storesOf } from '../../support/recovery-scene.ts';

/** Names of stores, and the base offset of the one that each is given to. */
const CASES: Readonly<Record<string, Readonly<Record<number, number | undefined>>>> = {
  'two exchanged stores': { 0: 3, 3: 0 },
  'a sealed and the active store, exchanged': { 3: 10, 10: 3 },
  'two pairs of exchanged stores': { 0: 7, 3: 10, 7: 0, 10: 3 },
  'a ring of three stores': { 0: 3, 3: 7, 7: 0 },
  'a row of renamed stores': { 3: undefined, 7: 3, 8: 7 },
};

describe('stores that were being renamed when recover or undo was ended', () => {
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fill(FOUR_SEGMENTS, { payload: growingPayload });
  });

  after(() => {
    scene.remove();
  });

  function diskWith(names: Readonly<Record<number, number | undefined>>): ForgetfulFileSystem {
    const files = new Map(scene.healthy);
    for (const [name, base] of Object.entries(names)) {
      if (base === undefined) files.delete(storeFileName(Number(name)));
      else files.set(storeFileName(Number(name)), scene.healthy.get(storeFileName(base)) as Buffer);
    }
    return ForgetfulFileSystem.holding(
      new Map([...files].map(([name, bytes]) => [join(scene.directory, name), bytes])),
    );
  }

  const storesUnder = (disk: ForgetfulFileSystem, directory: string): Map<string, string> =>
    storesOf(new Map([...disk.files()].map(([path, bytes]) => [path.slice(directory.length + 1), bytes])));

  const contextOn = (disk: ForgetfulFileSystem): TopicContext => scene.scratch.context(disk);
  const recoverOn = (
    disk: ForgetfulFileSystem,
    more: { dryRun?: boolean; out?: string } = {},
  ): Promise<RecoverReport> =>
    recoverTopic(contextOn(disk), { dryRun: false, tryBitFlip: false, lockTimeoutMs: 1000, ...more });
  const undoAll = async (disk: ForgetfulFileSystem): Promise<void> => {
    for (const { run, manifest } of listRuns(contextOn(disk)).reverse())
      if (manifest !== undefined) await undoRecovery(contextOn(disk), { run, lockTimeoutMs: 1000 });
  };

  /** Whatever state it is in: nothing is said to be lost, nothing is lost, and all of it can be taken back. */
  async function expectNothingLost(
    disk: ForgetfulFileSystem,
    damaged: ReadonlyMap<string, string>,
  ): Promise<void> {
    for (const { run } of halfExchanged(contextOn(disk), listRuns(contextOn(disk)))) {
      const purged = purgeRecovery(contextOn(disk), { run, lockTimeoutMs: 1000 });
      const refusal: unknown = await purged.catch((error: unknown) => error);
      expect(refusal).to.have.property('code', 'recovery_incomplete');
    }
    const { lost, findings } = await verifyTopic(contextOn(disk), { quick: false, onBytes: () => undefined });
    const codes = [...findings].filter(({ severity }) => severity === 'error').map(({ code }) => code);
    expect([[...lost], codes.filter((code) => code !== 'misplaced_frames')], 'verify').to.deep.equal([
      [],
      [],
    ]);
    const preview = await recoverOn(disk, { dryRun: true });
    expect([...preview.lost], 'dry run').to.deep.equal([]);
    const out = `${scene.scratch.directory}/salvaged`;
    expect([...(await recoverOn(disk, { out })).lost], '--out').to.deep.equal([]);
    const done = await recoverOn(disk);
    expect([...done.lost]).to.deep.equal([]);
    expect([...preview.repairs].slice(0, 1), 'dry run').to.deep.equal([...done.repairs].slice(0, 1));
    expect(storesUnder(disk, join(out, 't')), '--out').to.deep.equal(storesUnder(disk, scene.directory));
    expect(await scene.differences(new Set(), disk)).to.deep.equal([]);
    expect([...(await recoverOn(disk)).repairs], 'again').to.deep.equal([]);
    await undoAll(disk);
    expect(storesUnder(disk, scene.directory), 'undone').to.deep.equal(damaged);
  }

  const everyEnd = (work: Work): Promise<number> => endAnywhere(['failed', 'killed'], work);

  for (const [title, names] of Object.entries(CASES)) {
    const damaged = (): Map<string, string> => storesUnder(diskWith(names), scene.directory);
    const prepare = (): Promise<ForgetfulFileSystem> => Promise.resolve(diskWith(names));
    const check = (disk: ForgetfulFileSystem): Promise<void> => expectNothingLost(disk, damaged());
    const repaired = async (): Promise<ForgetfulFileSystem> => {
      const disk = diskWith(names);
      await recoverOn(disk);
      return disk;
    };

    it(`loses nothing of ${title} to a recover that was ended anywhere`, async () => {
      await everyEnd({ prepare, run: recoverOn, check });
    });

    it(`loses nothing of ${title} to an undo that was ended anywhere`, async () => {
      await everyEnd({ prepare: repaired, run: undoAll, check });
    });

    it(`takes back the repair of ${title} at once, wherever recover or an undo was ended`, async () => {
      const expectUndone = async (disk: ForgetfulFileSystem): Promise<void> => {
        await undoAll(disk);
        expect(storesUnder(disk, scene.directory)).to.deep.equal(damaged());
      };
      await everyEnd({ prepare, run: recoverOn, check: expectUndone });
      await everyEnd({ prepare: repaired, run: undoAll, check: expectUndone });
    });
  }

  it('loses nothing of a ring of three stores to a recover that was ended after one that was', async () => {
    const ring = CASES['a ring of three stores'] as (typeof CASES)[string];
    const damaged = storesUnder(diskWith(ring), scene.directory);
    let halfCount = 0;
    await everyEnd({
      prepare: () => Promise.resolve(diskWith(ring)),
      run: recoverOn,
      check: async (disk) => {
        if (halfExchanged(contextOn(disk), listRuns(contextOn(disk))).length === 0) return;
        halfCount += 1;
        await everyEnd({
          prepare: () => Promise.resolve(disk.afterCrash('killed')),
          run: recoverOn,
          check: (left) => expectNothingLost(left, damaged),
        });
      },
    });
    expect(halfCount).to.be.greaterThan(0);
  });
});
