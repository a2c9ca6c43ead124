/**
 * An active store into which bytes came, or from which some went: no frame ends at the mark any more. What a dry run, a
 * repaired copy and recover itself say and do is the same, and nothing that is good behind the mark's byte is lost.
 */
import { expect } from 'chai';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  MARK_FLAG,
  type HighWatermark,
} from '../../../src/engine/format/high-watermark.ts';
import { recoverTopic, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import type { RepairReport } from '../../../src/engine/recovery/report.ts';
import type { TopicContext } from '../../../src/engine/topic-directory.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import {
  framePositions,
  lostOffsets,
  RecoveryScene,
  snapshotOf,
  storesOf,
} from '../../support/recovery-scene.ts';

const SEALED = '00000000000000000003.store';
const ACTIVE = '00000000000000000007.store';

describe('an active store whose frames were moved', () => {
  const scene = new RecoveryScene();
  const outDirectory = join(scene.scratch.directory, 'out');

  before(async () => {
    const now = Date.now;
    let clock = now();
    // No two batches of one time: what fills a place must not go back in time.
    Date.now = () => (clock += 10);
    try {
      await scene.fill(
        [
          [2, 1],
          [1, 1, 2],
          [3, 1, 1],
        ],
        { payload: (offset) => Buffer.from(`record ${offset} `.padEnd(40 + ((offset * 7) % 29), '.')) },
      );
    } finally {
      Date.now = now;
    }
  });

  after(() => {
    scene.remove();
  });

  /** Bytes that came into the active store or went, at frames' beginnings, and within their headers. */
  function damages(counts: readonly number[]): (readonly [string, Buffer])[] {
    const healthy = scene.healthy.get(ACTIVE) as Buffer;
    const places = framePositions(healthy).flatMap((start) => [start, start + 14]);
    return places
      .filter((place) => place <= healthy.length)
      .flatMap((place) => {
        const [before, behind] = [healthy.subarray(0, place), healthy.subarray(place)];
        const withInserted = (bytes: Buffer): Buffer => Buffer.concat([before, bytes, behind]);
        return counts.flatMap((count) => [
          [`${count} bytes inserted at ${place}`, withInserted(Buffer.alloc(count, 'x'))] as const,
          [`${count} bytes removed at ${place}`, Buffer.concat([before, behind.subarray(count)])] as const,
        ]);
      });
  }

  /** The mark as a writer left it that died before it could move it on: one record lies behind it. */
  function markBehind(flags: number): Buffer {
    const mark = decodeHighWatermark(scene.healthy.get('high-watermark') as Buffer) as HighWatermark;
    const position = framePositions(scene.healthy.get(ACTIVE) as Buffer).at(-2) as number;
    return encodeHighWatermark({ ...mark, nextOffset: mark.nextOffset - 1, position, flags });
  }

  const context = (): TopicContext => scene.scratch.context(scene.fileSystem);
  const recover = (more: { dryRun?: boolean; out?: string } = {}): Promise<RecoverReport> =>
    recoverTopic(context(), { dryRun: false, tryBitFlip: false, lockTimeoutMs: 2000, ...more });

  /** A tail that is cut is what every writer does, and no work of a plan. */
  const planned = ({ repairs }: RecoverReport): RepairReport[] =>
    repairs.filter(({ code }) => code !== 'torn_tail');

  /**
   * What verify, a dry run and a copy say of a damage, held against what recover does. Returns what is lost.
   *
   * @param unproven a record that nothing says was ever written: no mark, and no frame behind it
   */
  async function expectOneAnswer(
    title: string,
    changes: ReadonlyMap<string, Buffer>,
    unproven?: string,
  ): Promise<ReadonlySet<number>> {
    scene.reset(changes);
    const before = snapshotOf(scene.directory);
    const verified = await verifyTopic(context(), { quick: false, onBytes: () => undefined });
    const preview = await recover({ dryRun: true });
    rmSync(outDirectory, { recursive: true, force: true });
    const copied = await recover({ out: outDirectory });
    expect(snapshotOf(scene.directory), title).to.deep.equal(before);
    const done = await recover();
    expect(verified.lost, `${title}: verify`).to.deep.equal(done.lost);
    expect(preview.lost, `${title}: dry run`).to.deep.equal(done.lost);
    expect(planned(preview), `${title}: dry run`).to.deep.equal(planned(done));
    expect(copied.lost, `${title}: --out`).to.deep.equal(done.lost);
    const copies = storesOf(snapshotOf(join(outDirectory, 't')));
    expect(copies, `${title}: --out`).to.deep.equal(scene.stores());
    const lost = lostOffsets(done);
    const differences = await scene.differences(lost);
    expect(
      differences.filter((difference) => difference !== unproven),
      title,
    ).to.deep.equal([]);
    expect((await recover()).repairs, `${title}: again`).to.deep.equal([]);
    return lost;
  }

  it('is said by verify and by a dry run to lose what recover loses, in place and in a copy', async () => {
    const lossless: string[] = [];
    for (const [title, store] of damages([1, 61])) {
      const lost = await expectOneAnswer(title, new Map([[ACTIVE, store]]));
      if (lost.size === 0) lossless.push(title);
    }
    // Whatever is inserted between two frames costs none, in place and in a copy.
    const starts = framePositions(scene.healthy.get(ACTIVE) as Buffer);
    for (const start of starts.slice(0, -1))
      for (const count of [1, 61]) expect(lossless).to.include(`${count} bytes inserted at ${start}`);
  });

  it('is repaired to where a dead writer came, where its mark is behind', async () => {
    const mark = markBehind(0);
    const markedBytes = framePositions(scene.healthy.get(ACTIVE) as Buffer).at(-2) as number;
    const longer = damages([16, 61]).filter(([, store]) => store.length > markedBytes);
    for (const [title, store] of longer) {
      const changes = new Map([
        [ACTIVE, store],
        ['high-watermark', mark],
      ]);
      await expectOneAnswer(title, changes, '11: nothing');
    }
  });

  it('is repaired beside a damaged sealed segment in one go', async () => {
    const sealed = Buffer.from(scene.healthy.get(SEALED) as Buffer);
    sealed[20] = (sealed[20] as number) ^ 1;
    for (const [title, store] of damages([16]).filter((_, number) => number % 4 === 0)) {
      const lost = await expectOneAnswer(
        title,
        new Map([
          [ACTIVE, store],
          [SEALED, sealed],
        ]),
      );
      expect(lost.has(3), title).to.equal(true);
    }
  });

  it('loses what lies behind the mark after a failed sync, which is kept and never believed', async () => {
    const store = scene.healthy.get(ACTIVE) as Buffer;
    const [position, last] = [framePositions(store).at(-2) as number, store.length];
    for (const inserted of [0, 16]) {
      const moved = Buffer.concat([Buffer.alloc(inserted, 'x'), store]);
      scene.reset(
        new Map([
          [ACTIVE, moved],
          ['high-watermark', markBehind(MARK_FLAG.failed)],
        ]),
      );
      rmSync(outDirectory, { recursive: true, force: true });
      const preview = await recover({ dryRun: true });
      const copied = await recover({ out: outDirectory });
      const done = await recover();
      const lost = inserted === 0 ? [] : [{ from: 10, to: 11 }];
      expect([preview.lost, copied.lost, done.lost]).to.deep.equal([lost, lost, lost]);
      const copies = storesOf(snapshotOf(join(outDirectory, 't')));
      expect(copies).to.deep.equal(scene.stores());
      const [run] = done.runs;
      const kept = [...snapshotOf(run?.path ?? '')].filter(([name]) => name.startsWith(ACTIVE));
      expect(kept.map(([, bytes]) => bytes.toString('hex'))).to.deep.equal([
        moved.subarray(position, last + inserted).toString('hex'),
      ]);
    }
  });

  it('loses both frames that were exchanged with a sealed segment, the longer into the active one: both are kept', async () => {
    const [sealed, active] = [SEALED, ACTIVE].map((name) => scene.healthy.get(name) as Buffer) as [
      Buffer,
      Buffer,
    ];
    const [sealedFrames, activeFrames] = [framesOf(sealed), framesOf(active)];
    let caseCount = 0;
    for (const [one, longer] of sealedFrames.entries())
      for (const [other, shorter] of activeFrames.entries()) {
        if (longer.length <= shorter.length) continue;
        caseCount += 1;
        const title = `${one} of the sealed and ${other} of the active one`;
        const damaged = new Map([
          [SEALED, Buffer.concat(sealedFrames.with(one, shorter))],
          [ACTIVE, Buffer.concat(activeFrames.with(other, longer))],
        ]);
        const lost = await expectOneAnswer(title, damaged);
        expect([...lost], title).to.deep.equal([3 + one, 7 + other]);
        const kept = [...snapshotOf(join(scene.directory, 'quarantine'))]
          .filter(([name]) => name.includes('.store'))
          .map(([, bytes]) => bytes);
        for (const frame of [longer, shorter])
          expect(
            kept.some((bytes) => bytes.includes(frame)),
            title,
          ).to.equal(true);
        await scene.undoAll();
        for (const [name, bytes] of damaged)
          expect(scene.stores().get(name), `${title}: ${name}`).to.equal(bytes.toString('hex'));
      }
    expect(caseCount).to.be.greaterThan(5);
  });
});

function framesOf(store: Buffer): Buffer[] {
  const starts = framePositions(store);
  return starts.slice(0, -1).map((start, number) => store.subarray(start, starts[number + 1]));
}
