/**
 * An active store into which bytes came, or from which some went: no frame ends at the mark any more. What a dry run, a
 * repaired copy and recover itself say and do is the same, and nothing that is good behind the mark's byte is lost.
 */
import { expect } from 'chai';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  MARK_FLAG,
  type HighWatermark,
} from '../../../src/engine/format/high-watermark.ts';
import type { FastQueueError } from '../../../src/engine/errors.ts';
import { recoverTopic, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import type { TopicContext } from '../../../src/engine/topic-directory.ts';
import { verifyTopic, type VerifyReport } from '../../../src/engine/verification/verify.ts';
import {
  framePositions,
  lostOffsets,
  RecoveryScene,
  snapshotOf,
  storesOf,
} from '../../support/recovery-scene.ts';
import { ScratchTopic } from '../../support/scratch-topic.ts';

const SEALED = '00000000000000000003.store';
const ACTIVE = '00000000000000000007.store';

/** All different, but for two of the sealed and the active segment. */
const lengthOf = (offset: number): number => 40 + (((offset === 10 ? 5 : offset) * 7) % 29);

describe('an active store whose frames were moved', () => {
  const scene = new RecoveryScene();
  const outDirectory = join(scene.scratch.directory, 'out');

  before(async () => {
    await scene.fillInTime(
      [
        [2, 1],
        [1, 1, 2],
        [3, 1, 1],
      ],
      { payload: (offset) => Buffer.from(`record ${offset} `.padEnd(lengthOf(offset), '.')) },
    );
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
  const verify = (): Promise<VerifyReport> =>
    verifyTopic(context(), { quick: false, onBytes: () => undefined });
  const recover = (
    more: { dryRun?: boolean; out?: string; tryBitFlip?: boolean } = {},
  ): Promise<RecoverReport> =>
    recoverTopic(context(), { dryRun: false, tryBitFlip: false, lockTimeoutMs: 2000, ...more });

  /**
   * What verify, a dry run and a copy say of a damage, held against what recover does. Returns what is lost.
   *
   * @param unproven a record that nothing says was ever written: no mark, and no frame behind it
   */
  async function expectOneAnswer(
    title: string,
    changes: ReadonlyMap<string, Buffer | undefined>,
    unproven?: string,
  ): Promise<ReadonlySet<number>> {
    scene.reset(changes);
    const before = snapshotOf(scene.directory);
    const verified = await verify();
    const preview = await recover({ dryRun: true });
    rmSync(outDirectory, { recursive: true, force: true });
    const copied = await recover({ out: outDirectory });
    expect(snapshotOf(scene.directory), title).to.deep.equal(before);
    const done = await recover();
    expect([...verified.lost], `${title}: verify`).to.deep.equal([...done.lost]);
    expect([...preview.lost], `${title}: dry run`).to.deep.equal([...done.lost]);
    expect([...preview.repairs], `${title}: dry run`).to.deep.equal([...done.repairs]);
    expect([...copied.lost], `${title}: --out`).to.deep.equal([...done.lost]);
    const copies = storesOf(snapshotOf(join(outDirectory, 't')));
    expect(copies, `${title}: --out`).to.deep.equal(scene.stores());
    const lost = lostOffsets(done);
    const differences = await scene.differences(lost);
    expect(
      differences.filter((difference) => difference !== unproven),
      title,
    ).to.deep.equal([]);
    const repaired = snapshotOf(scene.directory);
    expect([...(await recover()).repairs], `${title}: again`).to.deep.equal([]);
    expect(snapshotOf(scene.directory), `${title}: again`).to.deep.equal(repaired);
    await scene.undoAll();
    // A store that was begun behind one that had to be written again stays, empty.
    for (const [name, bytes] of storesOf(before))
      expect(scene.stores().get(name), `${title}: ${name}, undone`).to.equal(bytes);
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
      expect([[...preview.lost], [...copied.lost], [...done.lost]]).to.deep.equal([lost, lost, lost]);
      const copies = storesOf(snapshotOf(join(outDirectory, 't')));
      expect(copies).to.deep.equal(scene.stores());
      const [run] = done.runs;
      const kept = [...snapshotOf(run?.path ?? '')].filter(([name]) => name.startsWith(ACTIVE));
      expect(kept.map(([, bytes]) => bytes.toString('hex'))).to.deep.equal([
        moved.subarray(position, last + inserted).toString('hex'),
      ]);
    }
  });

  for (const withIndexes of [true, false])
    it(`gives each frame back that was exchanged with a sealed segment, whichever is longer, ${withIndexes ? 'with' : 'without'} indexes`, async () => {
      const indexes = [...scene.healthy.keys()].filter((name) => name.endsWith('.index'));
      const [sealedFrames, activeFrames] = [SEALED, ACTIVE].map((name) =>
        framesOf(scene.healthy.get(name) as Buffer),
      ) as [Buffer[], Buffer[]];
      for (const [one, inSealed] of sealedFrames.entries())
        for (const [other, inActive] of activeFrames.entries()) {
          const title = `${one} of the sealed and ${other} of the active one`;
          const lost = await expectOneAnswer(
            title,
            new Map<string, Buffer | undefined>([
              [SEALED, Buffer.concat(sealedFrames.with(one, inActive))],
              [ACTIVE, Buffer.concat(activeFrames.with(other, inSealed))],
              ...(withIndexes ? [] : indexes.map((name) => [name, undefined] as const)),
            ]),
          );
          expect([...lost], title).to.deep.equal([]);
        }
    });

  it('gives frames back that were exchanged with a sealed segment where others are damaged besides', async () => {
    const [sealedFrames, activeFrames] = [SEALED, ACTIVE].map((name) =>
      framesOf(scene.healthy.get(name) as Buffer),
    ) as [Buffer[], Buffer[]];
    // The one of 68 bytes stands where that of 45 stood, and the other way round.
    const [one, other] = [1, 2];
    const sealed = sealedFrames.with(one, activeFrames[other] as Buffer);
    const active = activeFrames.with(other, sealedFrames[one] as Buffer);
    for (const number of [0, 1, 3, 4]) {
      const flipped = Buffer.from(active[number] as Buffer);
      flipped[20] = (flipped[20] as number) ^ 1;
      const lost = await expectOneAnswer(
        `and ${number}`,
        new Map([
          [SEALED, Buffer.concat(sealed)],
          [ACTIVE, Buffer.concat(active.with(number, flipped))],
        ]),
      );
      expect([...lost], `and ${number}`).to.deep.equal([7 + number]);
    }
    const swapped = active.with(3, active[4] as Buffer).with(4, active[3] as Buffer);
    const lost = await expectOneAnswer(
      'and two neighbours swapped',
      new Map([
        [SEALED, Buffer.concat(sealed)],
        [ACTIVE, Buffer.concat(swapped)],
      ]),
    );
    expect([...lost]).to.deep.equal([]);
  });

  it('gets a flipped bit back too, with --try-bitflip, be there room for padding or not', async () => {
    const active = framesOf(scene.healthy.get(ACTIVE) as Buffer);
    for (const count of [1, 61])
      for (const at of [2, 6, 20]) {
        const flipped = Buffer.from(active[3] as Buffer);
        flipped[at] = (flipped[at] as number) ^ 4;
        const store = Buffer.concat([
          ...active.slice(0, 1),
          Buffer.alloc(count, 'x'),
          ...active.slice(1).with(2, flipped),
        ]);
        scene.reset(new Map([[ACTIVE, store]]));
        const preview = await recover({ dryRun: true, tryBitFlip: true });
        const done = await recover({ tryBitFlip: true });
        expect([...preview.repairs]).to.deep.equal([...done.repairs]);
        expect(
          [[...preview.lost], [...done.lost]],
          `${count} bytes inserted, a bit of byte ${at} flipped`,
        ).to.deep.equal([[], []]);
        expect(await scene.differences(new Set())).to.deep.equal([]);
        await scene.undoAll();
        expect(scene.stores().get(ACTIVE)).to.equal(store.toString('hex'));
      }
  });

  it('is cut by no writer and no reader for a torn tail: appending is refused, and recover gives all of it back', async () => {
    const indexName = ACTIVE.replace('.store', '.index');
    const { length } = scene.healthy.get(ACTIVE) as Buffer;
    // What comes in behind the last frame moves none.
    const inserted = damages([1, 16]).filter(([title]) => title.includes('inserted'));
    for (const [title, store] of inserted.filter((damage) => !damage[0].endsWith(` at ${length}`)))
      for (const index of [scene.healthy.get(indexName), undefined]) {
        scene.reset(
          new Map([
            [ACTIVE, store],
            [indexName, index],
          ]),
        );
        const directory = scene.scratch.dataDirectory(scene.fileSystem);
        const refused = await directory.openTopic('t', { mode: 'append' }).catch((error: unknown) => error);
        expect((refused as FastQueueError).code, title).to.equal('damaged');
        const reader = await directory.openTopic('t', { mode: 'read' });
        const records = await reader.openReader({ from: 0, onDamage: 'skip' });
        records.close();
        await reader.close();
        expect(scene.stores().get(ACTIVE), title).to.equal(store.toString('hex'));
      }
  });

  it('keeps what a dead writer left unfinished behind its frames, and is appended to there', async () => {
    const healthy = scene.healthy.get(ACTIVE) as Buffer;
    for (const count of [1, 61]) {
      const store = Buffer.concat([Buffer.alloc(count, 'x'), healthy, healthy.subarray(0, 30)]);
      const lost = await expectOneAnswer(`${count} bytes inserted`, new Map([[ACTIVE, store]]));
      expect([...lost]).to.deep.equal([]);
      await recover();
      const topic = await scene.scratch.dataDirectory(scene.fileSystem).openTopic('t', { mode: 'append' });
      const { offset } = await topic.append([Buffer.from('one more')]);
      await topic.close();
      expect(offset).to.equal(12);
      const differences = await scene.differences(new Set());
      expect(differences).to.deep.equal(['12: invented']);
      expect([...(await verify()).findings].filter(({ severity }) => severity === 'error')).to.deep.equal([]);
    }
  });

  it('has nothing but a mark that is wrong, where all of its frames are there', async () => {
    const mark = decodeHighWatermark(scene.healthy.get('high-watermark') as Buffer) as HighWatermark;
    const wrong = encodeHighWatermark({ ...mark, position: mark.position - 5 });
    const lost = await expectOneAnswer('5 bytes before its end', new Map([['high-watermark', wrong]]));
    expect([...lost]).to.deep.equal([]);
    scene.reset(new Map([['high-watermark', wrong]]));
    expect([...(await verify()).findings].map(({ code }) => code)).to.deep.equal(['mark_unsound']);
    await recover();
    expect([...(await verify()).findings]).to.deep.equal([]);
  });
});

function framesOf(store: Buffer): Buffer[] {
  const starts = framePositions(store);
  return starts.slice(0, -1).map((start, number) => store.subarray(start, starts[number + 1]));
}

describe('an active store whose last two records changed places, behind bytes that came in', () => {
  it('ends where it did: a checksum fits one offset of every 2^32, and those far ahead are none of its', async () => {
    for (const count of [3, 4, 5, 6, 8, 13, 21]) {
      const scratch = new ScratchTopic();
      const topic = await scratch.open();
      await topic.append(Array.from({ length: count }, (_, number) => Buffer.from(`record ${number}`)));
      await topic.close();
      const path = scratch.path('00000000000000000000.store');
      const store = readFileSync(path);
      const [before, last] = framePositions(store).slice(-3) as [number, number];
      const swapped = [store.subarray(last), store.subarray(before, last)];
      writeFileSync(path, Buffer.concat([Buffer.alloc(20, 7), store.subarray(0, before), ...swapped]));
      for (const dryRun of [true, false]) {
        const options = { dryRun, tryBitFlip: false, lockTimeoutMs: 1000 };
        const { lost } = await recoverTopic(scratch.context(), options);
        expect([...lost], `${count} records`).to.deep.equal(count === 3 ? [{ from: 0, to: 3 }] : []);
      }
      const seen = await scratch.everyOffset();
      expect([...seen.keys()].at(-1), `${count} records`).to.equal(count - 1);
      scratch.remove();
    }
  });
});
