/** Stores that bear another store's name: what else is damaged is seen before they have their own back. */
import { expect } from 'chai';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { FastQueueError } from '../../../src/engine/errors.ts';
import { storeFileName } from '../../../src/engine/format/file-names.ts';
import { recoverTopic, undoRecovery, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import { verifyTopic, type VerifyReport } from '../../../src/engine/verification/verify.ts';
import {
  FOUR_SEGMENTS,
  growingPayload,
  RecoveryScene,
  snapshotOf,
  storesOf,
} from '../../support/recovery-scene.ts';

describe('stores that bear the names of others', () => {
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fill(FOUR_SEGMENTS, { payload: growingPayload });
  });

  after(() => {
    scene.remove();
  });

  const verify = (): Promise<VerifyReport> =>
    verifyTopic(scene.scratch.context(scene.fileSystem), { quick: false, onBytes: () => undefined });
  const recover = (dryRun: boolean): Promise<RecoverReport> =>
    recoverTopic(scene.scratch.context(scene.fileSystem), {
      dryRun,
      tryBitFlip: false,
      lockTimeoutMs: 2000,
    });

  /** A store of the healthy log whose first record has another bit. */
  function flipped(baseOffset: number): Buffer {
    const bytes = Buffer.from(scene.healthy.get(storeFileName(baseOffset)) as Buffer);
    bytes[20] = (bytes[20] as number) ^ 1;
    return bytes;
  }

  const healthy = (baseOffset: number): Buffer => scene.healthy.get(storeFileName(baseOffset)) as Buffer;

  const CASES: Readonly<
    Record<string, { changes: () => Record<string, Buffer | undefined>; lost: number[]; found: string[] }>
  > = {
    'exchanged, and another one is damaged': {
      changes: () => ({
        [storeFileName(0)]: healthy(3),
        [storeFileName(3)]: healthy(0),
        [storeFileName(7)]: flipped(7),
      }),
      lost: [7],
      found: [
        `misplaced_frames ${storeFileName(0)}`,
        `misplaced_frames ${storeFileName(3)}`,
        `bad_checksum ${storeFileName(7)}`,
      ],
    },
    'renamed, and the one before it is damaged': {
      changes: () => ({
        [storeFileName(3)]: undefined,
        [storeFileName(5)]: healthy(3),
        [storeFileName(0)]: flipped(0),
      }),
      lost: [0],
      found: [`misplaced_frames ${storeFileName(5)}`, `bad_checksum ${storeFileName(0)}`],
    },
    'renamed, the one before it missing and the active one damaged': {
      changes: () => ({
        [storeFileName(0)]: undefined,
        [storeFileName(3)]: undefined,
        [storeFileName(6)]: healthy(3),
        [storeFileName(10)]: flipped(10),
      }),
      lost: [0, 1, 2, 10],
      found: [
        `misplaced_frames ${storeFileName(6)}`,
        `bad_checksum ${storeFileName(10)}`,
        `missing_segment ${storeFileName(0)}`,
      ],
    },
    'renamed, the active one, and nothing else': {
      changes: () => ({ [storeFileName(10)]: undefined, [storeFileName(12)]: healthy(10) }),
      lost: [],
      found: [`misplaced_frames ${storeFileName(12)}`],
    },
    'renamed, the active one, to the name of the one before it, which is gone': {
      changes: () => ({ [storeFileName(7)]: healthy(10), [storeFileName(10)]: undefined }),
      lost: [7, 8, 9],
      found: [`misplaced_frames ${storeFileName(7)}`, `missing_segment ${storeFileName(7)}`],
    },
    'renamed, the active one, to the name of the first, and all others are gone': {
      changes: () => ({
        [storeFileName(0)]: healthy(10),
        [storeFileName(3)]: undefined,
        [storeFileName(7)]: undefined,
        [storeFileName(10)]: undefined,
      }),
      lost: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      found: [`misplaced_frames ${storeFileName(0)}`, `missing_segment ${storeFileName(0)}`],
    },
    'renamed and damaged itself, behind its first record': {
      changes: () => {
        const bytes = Buffer.from(healthy(3));
        bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
        return { [storeFileName(3)]: undefined, [storeFileName(4)]: bytes };
      },
      lost: [6],
      found: [`misplaced_frames ${storeFileName(4)}`, `bad_checksum ${storeFileName(4)}`],
    },
  };

  for (const [title, { changes, lost, found }] of Object.entries(CASES))
    it(`${title}: verify and a dry run say all of it at once, as recover does`, async () => {
      scene.reset(new Map(Object.entries(changes())));
      const before = snapshotOf(scene.directory);
      const verified = await verify();
      const errors = [...verified.findings].filter(({ severity }) => severity === 'error');
      const text = errors.map(({ code, path }) => `${code} ${path.slice(scene.directory.length + 1)}`);
      expect(text).to.deep.equal(found);
      const preview = await recover(true);
      expect(snapshotOf(scene.directory)).to.deep.equal(before);
      const done = await recover(false);
      expect([...preview.repairs]).to.deep.equal([...done.repairs]);
      const offsets = [...done.lost].flatMap(({ from, to }) =>
        Array.from({ length: to - from }, (_, number) => from + number),
      );
      expect(offsets).to.deep.equal(lost);
      expect([[...verified.lost], [...preview.lost]]).to.deep.equal([[...done.lost], [...done.lost]]);
      expect(await scene.differences(new Set(lost))).to.deep.equal([]);
      expect([...(await verify()).findings]).to.deep.equal([]);
      await scene.undoAll();
      for (const [name, bytes] of storesOf(before)) expect(scene.stores().get(name), name).to.equal(bytes);
    });

  it('are not renamed back over a store that has their name by then', async () => {
    scene.reset(
      new Map([
        ...[3, 7, 10].map((base) => [storeFileName(base), undefined] as const),
        [storeFileName(0), healthy(10)],
      ]),
    );
    const [renaming] = (await recover(false)).runs;
    const repaired = scene.stores();
    const context = scene.scratch.context(scene.fileSystem);
    const undone = undoRecovery(context, { run: renaming?.run as string, lockTimeoutMs: 2000 });
    const error = await undone.catch((reason: unknown) => reason as FastQueueError);
    expect(error).to.include({ code: 'recovery_incomplete' });
    expect(scene.stores()).to.deep.equal(repaired);
    await scene.undoAll();
    expect(scene.stores().get(storeFileName(0))).to.equal(healthy(10).toString('hex'));
  });

  it('get their own back beside what is called an index and is a directory, which stays', async () => {
    const changes = { [storeFileName(3)]: undefined, [storeFileName(5)]: healthy(3) };
    scene.reset(new Map(Object.entries(changes)));
    const odd = [3, 5].map((base) => join(scene.directory, storeFileName(base).replace('.store', '.index')));
    for (const path of odd) {
      rmSync(path, { force: true });
      mkdirSync(path);
    }
    expect([...(await recover(false)).lost]).to.deep.equal([]);
    expect(await scene.differences(new Set())).to.deep.equal([]);
    await scene.undoAll();
    expect(scene.stores().get(storeFileName(5))).to.equal(healthy(3).toString('hex'));
    for (const path of odd) expect(statSync(path).isDirectory(), path).to.equal(true);
  });
});
