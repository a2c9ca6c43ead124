/**
 * What recover promises besides the table: it refuses a plan that no longer fits and an undo that would overwrite newer
 * records, leaves a disk error a disk error, leaves a log that goes on as before, and keeps what it must.
 */
import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDataDirectory } from '../../../src/engine/data-directory.ts';
import { FastQueueError, type ErrorCode } from '../../../src/engine/errors.ts';
import type { FileHandle, FileSystem } from '../../../src/engine/io/file-system.ts';
import { peekMark } from '../../../src/engine/mark-file.ts';
import {
  listRecoveryRuns,
  purgeRecovery,
  recoverTopic,
  undoRecovery,
} from '../../../src/engine/recovery/recover.ts';
import { QuarantineRun } from '../../../src/engine/quarantine.ts';
import { applyPlan } from '../../../src/engine/recovery/apply.ts';
import { listDamage } from '../../../src/engine/recovery/damage-list.ts';
import type { UndoReport } from '../../../src/engine/recovery/undo.ts';
import { withRecoveryLock } from '../../../src/engine/recovery/lock.ts';
import { planRecovery, type RecoveryPlan } from '../../../src/engine/recovery/plan.ts';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  type HighWatermark,
} from '../../../src/engine/format/high-watermark.ts';
import { openSegmentReaders } from '../../../src/engine/recovery/segment-readers.ts';
import {
  framePositions,
  growingPayload,
  RecoveryScene,
  snapshotOf,
  unsyncedFileSystem,
} from '../../support/recovery-scene.ts';

const FIRST = '00000000000000000000.store';
const SEALED = '00000000000000000003.store';
const ACTIVE = '00000000000000000007.store';
const MARK = 'high-watermark';

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | 'none'> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof FastQueueError) return error.code;
    throw error;
  }
}

describe('recover', () => {
  const scene = new RecoveryScene();
  const context = () => scene.scratch.context(scene.fileSystem);

  before(async () => {
    await scene.fill(
      [
        [2, 1],
        [1, 1, 2],
        [3, 1],
      ],
      { payload: growingPayload },
    );
  });

  after(() => {
    scene.remove();
  });

  function damage(name: string, position: number): Map<string, Buffer> {
    const bytes = Buffer.from(scene.healthy.get(name) as Buffer);
    bytes[position] = (bytes[position] as number) ^ 1;
    const changes = new Map([[name, bytes]]);
    scene.reset(changes);
    return changes;
  }

  async function planNow(tryBitFlip = false): Promise<RecoveryPlan> {
    const mark = await withRecoveryLock(context(), 2000, (hold) =>
      Promise.resolve(peekMark(hold.markFile) as HighWatermark),
    );
    const readers = openSegmentReaders(context(), undefined);
    const options = { readers, tryBitFlip, onBytes: () => undefined };
    return planRecovery(await listDamage(context(), mark, options));
  }

  const apply = (plan: RecoveryPlan): Promise<unknown> =>
    withRecoveryLock(context(), 2000, (hold) => applyPlan(context(), hold, plan));

  it('gives runs names that sort in the order in which they were made, however fast that is', () => {
    scene.reset(new Map());
    const runs = Array.from({ length: 20 }, () => QuarantineRun.create(context(), 'recover').id);
    expect(runs.toSorted()).to.deep.equal(runs);
  });

  it('changes no byte of a healthy log', async () => {
    scene.reset();
    const before = snapshotOf(scene.directory);
    const report = await scene.recover();
    expect([...report.repairs]).to.deep.equal([]);
    expect(snapshotOf(scene.directory)).to.deep.equal(before);
  });

  it('changes no byte in a dry run, and says the same as the run that follows', async () => {
    damage(SEALED, 20);
    const before = snapshotOf(scene.directory);
    const planned = await scene.recover({ dryRun: true });
    expect(snapshotOf(scene.directory)).to.deep.equal(before);
    const done = await scene.recover();
    expect([...planned.repairs]).to.deep.equal([...done.repairs]);
    expect([...planned.lost]).to.deep.equal([...done.lost]);
  });

  /** With a bit of each frame's checksum flipped, or of the first one's only. */
  function damagedFrames(name: string, options: { first?: true } = {}): Buffer {
    const bytes = Buffer.from(scene.healthy.get(name) as Buffer);
    for (const position of framePositions(bytes).slice(0, options.first === true ? 1 : -1))
      bytes[position + 13] = (bytes[position + 13] as number) ^ 1;
    return bytes;
  }

  for (const [what, changes, survivor] of [
    ['is lost whole', () => [[FIRST, damagedFrames(FIRST)]], 3],
    ['and the second are lost whole', () => [FIRST, SEALED].map((name) => [name, damagedFrames(name)]), 7],
    [
      'is missing, and the next begins with damage',
      () => [
        [FIRST, undefined],
        [SEALED, damagedFrames(SEALED, { first: true })],
      ],
      4,
    ],
  ] as const) {
    it(`dates the gap by the first record behind it where the first segment ${what}: retention leaves it alone`, async () => {
      scene.reset(new Map(changes() as [string, Buffer | undefined][]));
      const damaged = scene.stores();
      await scene.recover();
      const [timestamp] = (scene.seen.get(survivor) as string).split(' ');
      const topic = await scene.scratch.open();
      expect((await topic.status()).firstTimestamp).to.equal(Number(timestamp));
      expect((await topic.retain())?.segments).to.equal(0);
      await topic.close();
      expect([...(await scene.scratch.everyOffset()).keys()]).to.deep.equal([...scene.seen.keys()]);
      await scene.undoAll();
      expect(scene.stores()).to.deep.equal(damaged);
    });
  }

  for (const sizeBytes of [0, 15])
    for (const [what, indexBytes] of [
      ['is missing', undefined],
      ['is empty', Buffer.alloc(0)],
      ['is zeros', Buffer.alloc(48)],
    ] as const)
      it(`makes the index that ${what} beside an active store of ${sizeBytes} bytes with the gap, and so does --out`, async () => {
        const index = ACTIVE.replace('store', 'index');
        const options = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 2000 };
        const out = join(scene.scratch.directory, `out-${sizeBytes}-${what.replace(' ', '-')}`);
        scene.reset(
          new Map([
            [ACTIVE, (scene.healthy.get(ACTIVE) as Buffer).subarray(0, sizeBytes)],
            [index, indexBytes],
          ]),
        );
        await recoverTopic(context(), { ...options, out });
        await scene.recover();
        for (const topic of [context(), openDataDirectory(out).context('t')]) {
          expect(readFileSync(join(topic.directory, index)).length, topic.directory).to.equal(24);
          expect([...(await recoverTopic(topic, options)).repairs], topic.directory).to.deep.equal([]);
        }
      });

  it('refuses a mark that says fewer than the stores hold, and what it says to do then loses nothing', async () => {
    const healthy = decodeHighWatermark(scene.healthy.get(MARK) as Buffer) as HighWatermark;
    const fewer = encodeHighWatermark({ ...healthy, nextOffset: healthy.nextOffset - 1 });
    scene.reset(new Map([[MARK, fewer]]));
    const before = snapshotOf(scene.directory);
    const refusal = await scene.recover().then(
      () => undefined,
      (error: unknown) => error as FastQueueError,
    );
    expect(refusal?.code).to.equal('recovery_incomplete');
    expect(refusal?.message).to.contain(`Move the topic's file ${MARK} away and run recover again`);
    expect(snapshotOf(scene.directory)).to.deep.equal(before);
    scene.reset(new Map([[MARK, undefined]]));
    expect([...(await scene.recover()).lost]).to.deep.equal([]);
    expect(await scene.scratch.everyOffset()).to.deep.equal(scene.seen);
  });

  it('refuses a plan once another recover has run, and changes nothing', async () => {
    damage(SEALED, 20);
    const plan = await planNow();
    await scene.recover();
    const before = snapshotOf(scene.directory);
    expect(await codeOf(apply(plan))).to.equal('condition_failed');
    expect(snapshotOf(scene.directory)).to.deep.equal(before);
  });

  it('names with the refusal the command that makes such a plan again', async () => {
    for (const tryBitFlip of [false, true]) {
      damage(SEALED, 20);
      const plan = await planNow(tryBitFlip);
      await scene.recover();
      const refusal = await apply(plan).catch((error: unknown) => (error as Error).message);
      const flag = tryBitFlip ? ' --try-bitflip' : '';
      expect(refusal).to.include(`Run "fastqueue recover t${flag}" again.`);
    }
  });

  it('refuses a plan that goes beyond the mark once the store ends elsewhere, and changes nothing', async () => {
    const active = [...scene.healthy.keys()].filter((name) => name.endsWith('.store')).at(-1) as string;
    const store = Buffer.concat([Buffer.alloc(20, 'x'), scene.healthy.get(active) as Buffer]);
    for (const meanwhile of [Buffer.concat([store, store]), store.subarray(0, -1)]) {
      scene.reset(new Map([[active, store]]));
      const plan = await planNow();
      writeFileSync(join(scene.directory, active), meanwhile);
      const before = snapshotOf(scene.directory);
      expect(await codeOf(apply(plan))).to.equal('condition_failed');
      expect(snapshotOf(scene.directory)).to.deep.equal(before);
    }
  });

  it('refuses a plan whose region holds other bytes by now, and changes nothing', async () => {
    damage(SEALED, 20);
    const plan = await planNow();
    const path = join(scene.directory, SEALED);
    const bytes = readFileSync(path);
    bytes[25] = (bytes[25] as number) ^ 1;
    writeFileSync(path, bytes);
    const before = snapshotOf(scene.directory);
    expect(await codeOf(apply(plan))).to.equal('condition_failed');
    expect(snapshotOf(scene.directory)).to.deep.equal(before);
  });

  it('refuses to undo a repaired tail once newer records stand behind it, naming what was kept', async () => {
    const bytes = scene.healthy.get(ACTIVE) as Buffer;
    scene.reset(new Map([[ACTIVE, bytes.subarray(0, framePositions(bytes)[3])]]));
    const { runs } = await scene.recover();
    const topic = await scene.scratch.open();
    expect((await topic.append([Buffer.from('newer')])).offset).to.equal(scene.seen.size);
    await topic.close();
    const before = snapshotOf(scene.directory);
    const run = runs[0]?.run ?? '';
    try {
      await undoRecovery(context(), { run, lockTimeoutMs: 2000 });
      expect.fail('the undo was not refused');
    } catch (error) {
      expect(error).to.be.instanceOf(FastQueueError);
      expect((error as FastQueueError).code).to.equal('recovery_incomplete');
      expect((error as FastQueueError).message)
        .to.contain(run)
        .and.to.contain('fastqueue produce t');
    }
    expect(snapshotOf(scene.directory)).to.deep.equal(before);
  });

  for (const [title, isOlder] of [
    ['gives an empty store back with an undo', false],
    ['undoes a run of an older version, which did not note that a store was empty, without it', true],
  ] as const)
    it(title, async () => {
      scene.reset(new Map([[SEALED, Buffer.alloc(0)]]));
      const [made] = (await scene.recover()).runs;
      const { run, path } = made as { run: string; path: string };
      const manifest = join(path, 'manifest.json');
      const words = readFileSync(manifest, 'utf8');
      expect(words).to.include('"wasEmpty":true');
      if (isOlder) writeFileSync(manifest, words.replace(/,\s*"wasEmpty":true/, ''));
      const undo = (): Promise<UndoReport> => undoRecovery(context(), { run, lockTimeoutMs: 2000 });
      for (const expected of [
        { restored: 1, wasUndone: false },
        { restored: 0, wasUndone: true },
      ]) {
        expect(await undo()).to.include(expected);
        expect(scene.stores().get(SEALED)).to.equal(isOlder ? undefined : '');
      }
    });

  it('undoes an older run after the newer one that overlaps it, and refuses the other order', async () => {
    damage(SEALED, 20);
    const first = (await scene.recover()).runs[0]?.run ?? '';
    const path = join(scene.directory, SEALED);
    const bytes = readFileSync(path);
    bytes[13] = (bytes[13] as number) ^ 1;
    writeFileSync(path, bytes);
    const damaged = scene.stores();
    const second = (await scene.recover()).runs[0]?.run ?? '';
    const undo = (run: string): Promise<unknown> => undoRecovery(context(), { run, lockTimeoutMs: 2000 });
    expect(await codeOf(undo(first))).to.equal('recovery_incomplete');
    await undo(second);
    expect(scene.stores()).to.deep.equal(damaged);
  });

  it('leaves a log that can be appended to, whose follower is told the gap once and goes on', async () => {
    damage(SEALED, 20);
    const topic = await scene.scratch.open();
    const seen: string[] = [];
    const stop = new AbortController();
    await scene.recover();
    const following = (async () => {
      for await (const entry of topic.records({ follow: true, signal: stop.signal })) {
        seen.push(entry.type === 'gap' ? `gap ${entry.offset}+${entry.count}` : String(entry.offset));
        if (entry.type === 'record' && entry.payload.toString() === 'last') stop.abort();
      }
    })();
    await topic.append([Buffer.from('more')]);
    await topic.append([Buffer.from('last')]);
    await following;
    await topic.close();
    const offsets = [...scene.seen.keys()].map((offset) => (offset === 3 ? 'gap 3+1' : String(offset)));
    expect(seen).to.deep.equal([...offsets, '11', '12']);
  });

  it('repairs beside a writer that keeps the topic open: no append fails, no offset is given twice', async () => {
    damage(SEALED, 20);
    const topic = await scene.scratch.open();
    const offsets: number[] = [];
    const appending = (async () => {
      for (let number = 0; number < 60; number++)
        offsets.push((await topic.append([Buffer.from(`beside ${number}`)])).offset);
    })();
    const report = await scene.recover();
    await appending;
    await topic.close();
    expect([...report.lost]).to.deep.equal([{ from: 3, to: 4 }]);
    expect(offsets).to.deep.equal(offsets.map((_, number) => 11 + number));
    expect(await scene.differences(new Set([3]))).to.deep.equal(
      offsets.map((offset) => `${offset}: invented`),
    );
  });

  it('removes a run that is purged, and nothing else', async () => {
    damage(SEALED, 20);
    const { runs } = await scene.recover();
    const stores = scene.stores();
    const [run] = runs;
    expect(listRecoveryRuns(context()).map(({ run: id, state }) => `${id} ${state}`)).to.deep.equal([
      `${run?.run ?? ''} applied`,
    ]);
    await purgeRecovery(context(), { run: run?.run ?? '', lockTimeoutMs: 2000 });
    expect(existsSync(run?.path ?? '')).to.equal(false);
    expect(listRecoveryRuns(context())).to.deep.equal([]);
    expect(scene.stores()).to.deep.equal(stores);
  });

  describe('where a sector cannot be read', () => {
    /** The test's disk, which gives up no byte of the sealed store's second half. */
    function failingDisk(): FileSystem {
      const disk = unsyncedFileSystem();
      const open = disk.open.bind(disk);
      const from = framePositions(scene.healthy.get(SEALED) as Buffer)[2] as number;
      const fail = (handle: FileHandle): FileHandle => {
        const read = handle.read.bind(handle);
        return Object.assign(handle, {
          read: (target: Uint8Array, position: number) => {
            if (position + target.length > from && handle.status().sizeBytes > position)
              throw new FastQueueError('io_error', 'EIO', { errno: 'EIO', path: handle.path });
            return read(target, position);
          },
        });
      };
      return Object.assign(disk, {
        open: (path: string, mode: Parameters<FileSystem['open']>[1]) =>
          path === join(scene.directory, SEALED) ? fail(open(path, mode)) : open(path, mode),
      });
    }

    const options = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 2000 };

    it('reports the disk error and repairs nothing in place', async () => {
      scene.reset();
      const before = snapshotOf(scene.directory);
      expect(await codeOf(recoverTopic(scene.scratch.context(failingDisk()), options))).to.equal('io_error');
      expect(snapshotOf(scene.directory)).to.deep.equal(before);
    });

    it('does not take it as damage with --out alone', async () => {
      scene.reset();
      const out = join(scene.scratch.directory, 'out-1');
      const work = recoverTopic(scene.scratch.context(failingDisk()), { ...options, out });
      expect(await codeOf(work)).to.equal('io_error');
    });

    it('salvages every other segment with --out --unreadable-as-damage, and leaves the source alone', async () => {
      scene.reset();
      const before = snapshotOf(scene.directory);
      const out = join(scene.scratch.directory, 'out-2');
      const report = await recoverTopic(scene.scratch.context(failingDisk()), {
        ...options,
        out,
        unreadableAsDamage: true,
      });
      expect([...report.lost]).to.deep.equal([{ from: 3, to: 7 }]);
      expect([...report.repairs].map(({ code }) => code)).to.include('io_error');
      expect(snapshotOf(scene.directory)).to.deep.equal(before);
    });
  });
});
