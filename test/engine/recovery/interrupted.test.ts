/**
 * recover and undo, ended at every one of their changes of the disk: by an error, by a kill, by a power cut that forgets
 * what was not synced, and by one that keeps some of it. Whatever is left can be recovered, and no good record is touched.
 */
import { expect } from 'chai';
import { join } from 'node:path';
import { recoverTopic, undoRecovery, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import { listRuns } from '../../../src/engine/recovery/runs.ts';
import { halfExchanged } from '../../../src/engine/recovery/undo.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import type { TopicContext } from '../../../src/engine/topic-directory.ts';
import { countChanges, endAnywhere, POWER_CUTS, type Work } from '../../support/ended-anywhere.ts';
import { ForgetfulFileSystem } from '../../support/forgetful-file-system.ts';
import type { Crash } from '../../support/power-loss.ts';
import { framePositions, lostOffsets, RecoveryScene, storesOf } from '../../support/recovery-scene.ts';

const SEALED = '00000000000000000003.store';
const ACTIVE = '00000000000000000007.store';

/** Whatever else may be gone, these files' bytes are what the process died with, or what was synced. */
const CRASHES: readonly Crash[] = ['killed', ...POWER_CUTS];

function without(bytes: Buffer, number: number): Buffer {
  const frames = framePositions(bytes);
  return Buffer.concat([bytes.subarray(0, frames[number]), bytes.subarray(frames[number + 1])]);
}

function swapped(bytes: Buffer): Buffer {
  const [start, middle, end] = framePositions(bytes) as [number, number, number];
  return Buffer.concat([
    bytes.subarray(0, start),
    bytes.subarray(middle, end),
    bytes.subarray(start, middle),
    bytes.subarray(end),
  ]);
}

function frameOf(bytes: Buffer, number: number): Buffer {
  const frames = framePositions(bytes);
  return bytes.subarray(frames[number], frames[number + 1]);
}

function exchanged(bytes: Buffer, one: number, other: number): Buffer {
  const numbers = framePositions(bytes)
    .slice(0, -1)
    .map((_, number) => number);
  const partner = new Map([
    [one, other],
    [other, one],
  ]);
  return Buffer.concat(numbers.map((number) => frameOf(bytes, partner.get(number) ?? number)));
}

function replaced(bytes: Buffer, number: number, frame: Buffer): Buffer {
  const frames = framePositions(bytes);
  return Buffer.concat([bytes.subarray(0, frames[number]), frame, bytes.subarray(frames[number + 1])]);
}

function flipped(bytes: Buffer, position: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[position] = (copy[position] as number) ^ 4;
  return copy;
}

interface Scenario {
  readonly title: string;
  readonly damage: (healthy: (name: string) => Buffer) => Record<string, Buffer | undefined>;
  readonly lost: readonly number[];
}

const SCENARIOS: readonly Scenario[] = [
  { title: 'a flipped bit', damage: (of) => ({ [SEALED]: flipped(of(SEALED), 20) }), lost: [3] },
  { title: 'swapped frames', damage: (of) => ({ [SEALED]: swapped(of(SEALED)) }), lost: [] },
  { title: 'a frame removed', damage: (of) => ({ [SEALED]: without(of(SEALED), 1) }), lost: [4] },
  {
    title: 'foreign bytes and a flipped bit in one store',
    damage: (of) => ({
      [SEALED]: flipped(
        Buffer.concat([Buffer.from('abc'), of(SEALED)]),
        3 + framePositions(of(SEALED))[3]! + 1,
      ),
    }),
    lost: [6],
  },
  { title: 'a missing segment', damage: () => ({ [SEALED]: undefined }), lost: [3, 4, 5, 6] },
  { title: 'an emptied store', damage: () => ({ [SEALED]: Buffer.alloc(0) }), lost: [3, 4, 5, 6] },
  {
    title: 'a frame removed from the active store',
    damage: (of) => ({ [ACTIVE]: without(of(ACTIVE), 0) }),
    lost: [7],
  },
  {
    title: 'a cut active store',
    damage: (of) => ({ [ACTIVE]: of(ACTIVE).subarray(0, framePositions(of(ACTIVE))[3]) }),
    lost: [10],
  },
  {
    title: 'frames swapped in the active store',
    damage: (of) => ({ [ACTIVE]: swapped(of(ACTIVE)) }),
    lost: [],
  },
  {
    title: 'frames of different lengths exchanged across good ones',
    damage: (of) => ({ [SEALED]: exchanged(of(SEALED), 0, 2) }),
    lost: [],
  },
  {
    title: 'frames of different lengths exchanged in the active store',
    damage: (of) => ({ [ACTIVE]: exchanged(of(ACTIVE), 0, 3) }),
    lost: [],
  },
  {
    title: 'frames exchanged between a sealed and the active store, the longer into the active one',
    damage: (of) => ({
      [SEALED]: replaced(of(SEALED), 0, frameOf(of(ACTIVE), 0)),
      [ACTIVE]: replaced(of(ACTIVE), 0, frameOf(of(SEALED), 0)),
    }),
    lost: [],
  },
  { title: 'a missing mark', damage: () => ({ 'high-watermark': undefined }), lost: [] },
  { title: 'a damaged topic.json', damage: () => ({ 'topic.json': Buffer.from('{') }), lost: [] },
];

describe('recover and undo, ended at every change of the disk', () => {
  const scene = new RecoveryScene();
  let runCount = 0;

  before(async () => {
    await scene.fill(
      [
        [2, 1],
        [1, 1, 2],
        [3, 1],
      ],
      {
        payload: (offset) => Buffer.from(`record ${offset} `.padEnd(40 + ((offset * 7) % 29), '.')),
      },
    );
  });

  after(() => {
    scene.remove();
    console.log(`        ${runCount} interrupted runs`);
  });

  function damagedDisk(scenario: Scenario): ForgetfulFileSystem {
    const changes = scenario.damage((name) => scene.healthy.get(name) as Buffer);
    const files = new Map<string, Buffer>();
    for (const [name, bytes] of Object.entries({ ...Object.fromEntries(scene.healthy), ...changes }))
      if (bytes !== undefined) files.set(join(scene.directory, name), bytes);
    return ForgetfulFileSystem.holding(files);
  }

  const contextOn = (disk: ForgetfulFileSystem): TopicContext => scene.scratch.context(disk);
  const recoverOn = (disk: ForgetfulFileSystem): Promise<RecoverReport> =>
    recoverTopic(contextOn(disk), { dryRun: false, tryBitFlip: false, lockTimeoutMs: 1000 });

  function storesOn(disk: ForgetfulFileSystem): Map<string, string> {
    return storesOf(
      new Map([...disk.files()].map(([path, bytes]) => [path.slice(scene.directory.length + 1), bytes])),
    );
  }

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

  for (const scenario of SCENARIOS) {
    it(`recovers ${scenario.title} after a recover that was ended anywhere`, async () => {
      await everyEnd({
        prepare: () => Promise.resolve(damagedDisk(scenario)),
        run: recoverOn,
        check: (disk) => expectRecovered(disk, scenario),
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
        expect(again.repairs, String(crash)).to.deep.equal([]);
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

  it('is told by verify and by a dry run where it was ended while frames were in neither place', async () => {
    const scenario = SCENARIOS.find(({ title }) =>
      title.includes('exchanged in the active store'),
    ) as Scenario;
    const whole = damagedDisk(scenario);
    const count = await countChanges(whole, () => recoverOn(whole));
    let halfCount = 0;
    for (let at = 1; at <= count; at++) {
      const disk = damagedDisk(scenario);
      disk.fault = { at: disk.changeCount + at, type: 'die' };
      await recoverOn(disk).catch(() => undefined);
      const left = disk.afterCrash('killed');
      if (halfExchanged(contextOn(left), listRuns(contextOn(left))).length === 0) continue;
      halfCount += 1;
      const { findings } = await verifyTopic(contextOn(left), { quick: false, onBytes: () => undefined });
      const errors = findings.filter(({ severity }) => severity === 'error');
      expect(errors.map(({ code }) => code)).to.deep.equal(['misplaced_frames']);
      expect(errors[0]?.message).to.include('interrupted');
      const before = storesOn(left);
      const preview = await recoverTopic(contextOn(left), {
        dryRun: true,
        tryBitFlip: false,
        lockTimeoutMs: 1000,
      });
      expect(preview.repairs.map(({ repair }) => repair).join()).to.include('this recovery was interrupted');
      expect(storesOn(left)).to.deep.equal(before);
      // A copy gets what the killed run kept, and is repaired as the topic itself is.
      const out = `${scene.scratch.directory}/salvaged`;
      const options = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 1000 };
      const salvaged = await recoverTopic(contextOn(left), { ...options, out });
      expect(salvaged.lost).to.deep.equal([]);
      expect(storesOn(left), 'the source').to.deep.equal(before);
      await recoverOn(left);
      const copied = [...left.files()].filter(([path]) => path.startsWith(out));
      const copies = storesOf(
        new Map(copied.map(([path, bytes]) => [path.slice(`${out}/t/`.length), bytes])),
      );
      expect(copies, `ended at change ${at}`).to.deep.equal(storesOn(left));
    }
    expect(halfCount).to.be.greaterThan(0);
  });

  it('says how many lost offsets there are', async () => {
    const disk = damagedDisk(SCENARIOS[4] as Scenario);
    expect([...lostOffsets(await recoverOn(disk))]).to.deep.equal([3, 4, 5, 6]);
  });
});
