/**
 * The power cut at every change of the disk that a writer, a consumer, retention, and whoever makes, sets or deletes a
 * topic make, and behind the next process that goes on where one of them was killed: what was acknowledged is there, once,
 * and nothing needs to be recovered.
 */
import { expect } from 'chai';
import { join } from 'node:path';
import { FastQueueError } from '../../src/engine/errors.ts';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  MARK_FLAG,
} from '../../src/engine/format/high-watermark.ts';
import { compactTopic } from '../../src/engine/compaction/compact.ts';
import { copyPath, listRuns } from '../../src/engine/recovery/runs.ts';
import { retainTopic } from '../../src/engine/retention.ts';
import { topicStanding } from '../../src/engine/topic-lifecycle.ts';
import { readTopicSettings } from '../../src/engine/topic-settings.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { endAnywhere, POWER_CUTS } from '../support/ended-anywhere.ts';
import { ForgetfulFileSystem } from '../support/forgetful-file-system.ts';
import { snapshotOf } from '../support/recovery-scene.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** Segments of about four records. */
const SETTINGS = { segmentBytes: 1024, indexIntervalBytes: 64 };
const BATCHES: readonly number[] = [1, 3, 2, 1, 4, 2];

const payloadOf = (offset: number): Buffer => Buffer.from(`${offset}:`.padEnd(200, 'x'));
const BEHIND = Buffer.from('behind');

type Disk = ForgetfulFileSystem;

describe('a topic, cut off from power anywhere', () => {
  const scratch = new ScratchTopic();
  /** A log of three segments. */
  const filled = new Map<string, Buffer>();

  before(async () => {
    await scratch.fill(10, SETTINGS);
    for (const [name, bytes] of snapshotOf(scratch.directory))
      filled.set(join(scratch.directory, name), bytes);
  });

  after(() => {
    scratch.remove();
  });

  /** The data directory is still to be made, in one that is there. */
  const emptyDisk = (): Promise<Disk> =>
    Promise.resolve(ForgetfulFileSystem.holding(new Map([[`${scratch.directory}.other`, Buffer.from('')]])));
  const filledDisk = (): Promise<Disk> => Promise.resolve(ForgetfulFileSystem.holding(filled));

  /** Appends one record, which is there whenever the power is cut once it was acknowledged. Returns its offset. */
  async function append(disk: Disk, settings: object = SETTINGS): Promise<number> {
    const topic = await scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'append', create: settings });
    const { offset } = await topic.append([BEHIND]);
    for (const cut of POWER_CUTS) {
      const left = disk.afterCrash(cut);
      const settled = await scratch.dataDirectory(left).openTopic(TOPIC, { mode: 'append' });
      await settled.close();
      expect((await scratch.everyOffset(left)).get(offset), cut.toString()).to.match(/behind$/);
    }
    await topic.close();
    return offset;
  }

  /** Who appends next need not recover, and the log is what was appended, from an offset on, and at least what was promised. */
  async function expectLog(
    disk: Disk,
    promised: { nextOffset: number; latestStart?: number },
    settings: object = SETTINGS,
  ): Promise<void> {
    const offset = await append(disk, settings);
    const seen = [...(await scratch.everyOffset(disk))];
    const first = seen[0]?.[0] ?? 0;
    expect(first).to.be.at.most(promised.latestStart ?? 0);
    expect(seen.map(([at]) => at)).to.deep.equal(Array.from({ length: seen.length }, (_, at) => first + at));
    for (const [at, text] of seen) {
      const [, payload] = text.split(' ');
      expect(payload).to.be.oneOf(
        at < promised.nextOffset ? [String(payloadOf(at))] : [String(payloadOf(at)), 'behind'],
      );
    }
    expect(offset).to.be.at.least(promised.nextOffset);
    const { findings } = await verifyTopic(scratch.context(disk), { quick: false, onBytes: () => undefined });
    expect([...findings].filter(({ severity }) => severity === 'error')).to.deep.equal([]);
  }

  for (const [title, settings, prepare] of [
    ['a writer that makes the topic and rolls', SETTINGS, emptyDisk],
    ['a writer that goes on and rolls', SETTINGS, filledDisk],
    ['a writer whose rolls delete old segments', { ...SETTINGS, retentionBytes: 1500 }, emptyDisk],
  ] as const)
    it(`has what was acknowledged of ${title}`, async () => {
      let nextOffset = 0;
      let latestStart = 0;
      const run = async (disk: Disk): Promise<void> => {
        nextOffset = prepare === filledDisk ? 10 : 0;
        const topic = await scratch
          .dataDirectory(disk)
          .openTopic(TOPIC, { mode: 'append', create: settings });
        for (const recordCount of BATCHES) {
          const records = Array.from({ length: recordCount }, (_, at) => payloadOf(nextOffset + at));
          const { offset } = await topic.append(records);
          expect(offset).to.equal(nextOffset);
          nextOffset += recordCount;
          latestStart = (await topic.mark()).startOffset;
        }
        await topic.close();
      };
      await run(await prepare());
      if (settings !== SETTINGS) expect(latestStart).to.be.greaterThan(4);
      const furthestStart = latestStart;
      await endAnywhere(['failed', ...POWER_CUTS], {
        prepare,
        run,
        note: () => nextOffset,
        check: (disk, promised) =>
          expectLog(disk, { nextOffset: promised, latestStart: furthestStart }, settings),
        next: {
          append: (disk) => append(disk, settings),
          'retention and compaction': (disk) =>
            compactTopic(scratch.context(disk), {
              dryRun: false,
              mergeBelowBytes: 4096,
              lockTimeoutMs: 1000,
            }),
        },
      });
    });

  it('has what was acknowledged behind a write or sync that failed', async () => {
    let failureCount = 0;
    for (let at = 1, isOver = false; !isOver; at++) {
      const disk = await filledDisk();
      const topic = await scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'append' });
      const before = disk.changeCount;
      disk.fault = { at: before + at, type: 'fail' };
      // The first rolls, behind a mark that is durable.
      for (const byteCount of [700, 200, 400]) {
        const records = [Buffer.alloc(byteCount, 'x')];
        const failure = await topic.append(records).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure === undefined) continue;
        expect(failure).to.be.instanceOf(FastQueueError);
        failureCount += 1;
        const { offset } = await topic.append([BEHIND]);
        for (const cut of [...POWER_CUTS, 3, 4, 5]) {
          const left = disk.afterCrash(cut);
          await (await scratch.dataDirectory(left).openTopic(TOPIC, { mode: 'append' })).close();
          const seen = await scratch.everyOffset(left);
          expect(seen.get(offset), `change ${at} failed, then ${cut}`).to.match(/ behind$/);
        }
      }
      await topic.close();
      isOver = disk.changeCount - before < at;
    }
    expect(failureCount).to.be.greaterThan(8);
  });

  for (const isFailed of [false, true])
    it(`keeps ${isFailed ? 'what a failed write left' : 'a torn tail'}, and every record, while it is cut`, async () => {
      const markPath = join(scratch.directory, TOPIC, 'high-watermark');
      const mark = decodeHighWatermark(filled.get(markPath) as Buffer)!;
      const storePath = scratch.path(`${String(mark.baseOffset).padStart(20, '0')}.store`);
      const tail = (filled.get(storePath) as Buffer).subarray(0, 100);
      const files = new Map(filled);
      files.set(storePath, Buffer.concat([filled.get(storePath) as Buffer, tail]));
      if (isFailed) files.set(markPath, encodeHighWatermark({ ...mark, flags: MARK_FLAG.failed }));
      await endAnywhere(POWER_CUTS, {
        prepare: () => Promise.resolve(ForgetfulFileSystem.holding(files)),
        run: async (disk) => {
          const topic = await scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'append' });
          await topic.close();
        },
        check: async (disk) => {
          const context = scratch.context(disk);
          const kept = listRuns(context).flatMap(({ run, manifest }) =>
            (manifest?.regions ?? []).map((region) => disk.files().get(copyPath(context, run, region))),
          );
          const places = [disk.files().get(storePath)?.subarray(mark.position), ...kept];
          expect(places.some((bytes) => bytes?.equals(tail))).to.equal(true);
          await expectLog(disk, { nextOffset: 10 });
        },
        next: { append },
      });
    });

  it('has every record behind its start while retention deletes segments', async () => {
    await endAnywhere(['failed', ...POWER_CUTS], {
      prepare: filledDisk,
      run: (disk) => retainTopic(scratch.context(disk), { policy: { beforeOffset: 8 }, lockTimeoutMs: 1000 }),
      check: (disk) => expectLog(disk, { nextOffset: 10, latestStart: 8 }),
      next: {
        retention: (disk) =>
          retainTopic(scratch.context(disk), { policy: { beforeOffset: 4 }, lockTimeoutMs: 1000 }),
        compaction: (disk) =>
          compactTopic(scratch.context(disk), { dryRun: false, mergeBelowBytes: 4096, lockTimeoutMs: 1000 }),
        append,
      },
    });
  });

  it('has a whole topic or none of that name while one is made, deleted and made again', async () => {
    const old = ['0:', '1:'];
    type Phase = 'making' | 'made' | 'stored' | 'deleting' | 'deleted' | 'made again';
    let phase = 'making' as Phase;
    const contentsOf = async (disk: Disk): Promise<string[] | 'none'> => {
      if (topicStanding(scratch.context(disk)) !== 'topic') return 'none';
      const topic = await scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'append' });
      await topic.close();
      return [...(await scratch.everyOffset(disk)).values()].map((text) => text.split(' ')[1] as string);
    };
    const allowed: Readonly<Record<Phase, readonly (readonly string[] | 'none')[]>> = {
      making: ['none', [], ['behind']],
      made: [[], old, ['behind'], [...old, 'behind']],
      stored: [old, [...old, 'behind']],
      deleting: ['none', old, [...old, 'behind'], ['behind']],
      deleted: ['none', [], ['behind']],
      'made again': [[], ['behind']],
    };
    const run = async (disk: Disk): Promise<void> => {
      phase = 'making';
      const data = scratch.dataDirectory(disk);
      const topic = await data.createTopic(TOPIC, SETTINGS);
      phase = 'made';
      await topic.append(old.map((text) => Buffer.from(text)));
      phase = 'stored';
      await topic.close();
      phase = 'deleting';
      await data.deleteTopic(TOPIC);
      phase = 'deleted';
      await (await data.createTopic(TOPIC, SETTINGS)).close();
      phase = 'made again';
    };
    await endAnywhere(['failed', ...POWER_CUTS], {
      prepare: emptyDisk,
      run,
      note: () => phase,
      check: async (disk, ended) => {
        const contents = await contentsOf(disk);
        expect(allowed[ended]).to.deep.include(contents);
        const { failures } = await scratch.dataDirectory(disk).maintain();
        expect(failures).to.deep.equal([]);
        expect((disk.list(scratch.directory) ?? []).filter((name) => name !== TOPIC)).to.deep.equal([]);
        expect(await append(disk)).to.equal(contents === 'none' ? 0 : contents.length);
        expect(readTopicSettings(scratch.context(disk))).to.deep.include({ format: 1 });
        await scratch.dataDirectory(disk).deleteTopic(TOPIC);
        expect(await contentsOf(disk.afterCrash('forgotten'))).to.equal('none');
      },
      next: { append, maintenance: (disk) => scratch.dataDirectory(disk).maintain() },
    });
    await endAnywhere([], {
      prepare: emptyDisk,
      run,
      check: async (disk) => {
        expect(await contentsOf(disk)).to.equal('none');
        await scratch.dataDirectory(disk).maintain();
        expect(disk.list(scratch.directory)?.filter((name) => name !== TOPIC) ?? []).to.deep.equal([]);
        expect(await append(disk)).to.equal(0);
      },
      next: { deletion: (disk) => scratch.dataDirectory(disk).deleteTopic(TOPIC) },
    });
  });

  it('has the settings of before or of after while they are changed', async () => {
    let isChanged = false;
    await endAnywhere(['failed', ...POWER_CUTS], {
      prepare: filledDisk,
      run: async (disk) => {
        isChanged = false;
        const topic = await scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'append' });
        await topic.changeSettings({ segmentBytes: 4096 });
        isChanged = true;
        await topic.close();
      },
      note: () => isChanged,
      check: async (disk, isPromised) => {
        const settings = readTopicSettings(scratch.context(disk))?.settings;
        expect(settings?.segmentBytes).to.be.oneOf(isPromised ? [4096] : [1024, 4096]);
        await expectLog(disk, { nextOffset: 10 });
      },
      next: { append },
    });
  });

  it('has the last position that a group has stored, or a later one', async () => {
    let stored = 0;
    const consume = async (disk: Disk, positions: readonly number[]): Promise<void> => {
      const topic = await scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'read' });
      const group = await topic.openGroup('g');
      for (const position of positions) {
        await group.commit(position);
        stored = position;
      }
      group.close();
      await topic.close();
    };
    const positionOf = async (disk: Disk): Promise<number> => {
      const topic = await scratch.dataDirectory(disk).openTopic(TOPIC, { mode: 'read' });
      const group = await topic.openGroup('g');
      const { nextOffset } = group;
      group.close();
      await topic.close();
      return nextOffset ?? 0;
    };
    await endAnywhere(['failed', ...POWER_CUTS], {
      prepare: filledDisk,
      run: (disk) => {
        stored = 0;
        return consume(disk, [2, 5, 7]);
      },
      note: () => stored,
      check: async (disk, promised) => {
        expect(await positionOf(disk)).to.be.within(promised, 7);
        await consume(disk, [9]);
        for (const cut of POWER_CUTS) expect(await positionOf(disk.afterCrash(cut)), String(cut)).to.equal(9);
      },
      next: { consume: positionOf },
    });
  });
});
