import { expect } from 'chai';
import fc from 'fast-check';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import type { FileSystem, OpenMode } from '../../../src/engine/io/file-system.ts';
import { FaultyFileSystem } from '../../support/faulty-file-system.ts';
import { CompactScene, indexName, storeName } from '../../support/compact-scene.ts';
import { framePositions, snapshotOf } from '../../support/recovery-scene.ts';
import { TOPIC } from '../../support/scratch-topic.ts';

describe('compact', () => {
  let scene: CompactScene;

  beforeEach(() => {
    scene = new CompactScene();
  });

  afterEach(() => {
    scene.remove();
  });

  it('merges small neighbours and leaves every offset, time and payload as it was', async () => {
    await scene.fillSegments(22);
    const before = await scene.everyOffset();
    const report = await scene.compact();
    expect(report.rewrites).to.deep.equal([
      { baseOffset: 0, endOffset: 20, segments: 5, bytesBefore: 20 * 216, bytesAfter: 20 * 216 },
    ]);
    expect(report.segments).to.equal(2);
    expect(await scene.everyOffset()).to.deep.equal(before);
    expect(scene.files('.store')).to.deep.equal([storeName(0), storeName(20)]);
    await scene.expectClean();
  });

  it('makes the index of a merged store whole', async () => {
    await scene.fillSegments(22);
    await scene.compact();
    // One entry a record: each begins more than 64 bytes behind the one before.
    expect(scene.bytesOf(indexName(0)).length).to.equal(20 * 24);
  });

  it('gives others a turn between two segments that it looks at, so that a signal is heard', async () => {
    await scene.fillSegments(22);
    let turn = 0;
    let isOver = false;
    const count = (): void => {
      turn += 1;
      if (!isOver) setImmediate(count);
    };
    count();
    const turns = new Map<string, number>();
    const fileSystem = watched((path) => {
      if (path.endsWith('.index') && !turns.has(path)) turns.set(path, turn);
      return undefined;
    });
    await scene.compact({ dryRun: true, mergeBelowBytes: 0 }, fileSystem);
    isOver = true;
    expect(turns.size).to.equal(5);
    expect(new Set(turns.values()).size).to.equal(5);
  });

  it('leaves the active segment alone', async () => {
    await scene.fillSegments(22);
    const active = (): unknown => [
      statSync(scene.path(storeName(20))).ino,
      statSync(scene.path(indexName(20))).ino,
      scene.bytesOf(storeName(20)).toString('hex'),
    ];
    const before = active();
    await scene.compact({ before: { offset: 1e9 }, retainAgeMs: 1, retainBytes: 1024, nowMs: 1e14 });
    expect(active()).to.deep.equal(before);
  });

  it('drops the filler of gaps, joins neighbouring gaps, and every offset is explained as before', async () => {
    await scene.fillSegments(22);
    await scene.loseRecords([
      { baseOffset: 4, number: 1 },
      { baseOffset: 4, number: 2 },
      { baseOffset: 12, number: 3 },
    ]);
    const before = await scene.everyOffset();
    expect(before.get(5)).to.equal('gap 1');
    const report = await scene.compact({ mergeBelowBytes: 0 });
    // 16 + 2 bytes for two offsets, 16 for one.
    expect(report.rewrites.map(({ baseOffset, bytesAfter }) => [baseOffset, bytesAfter])).to.deep.equal([
      [4, 2 * 216 + 18],
      [12, 3 * 216 + 16],
    ]);
    expect(report.freedBytes).to.equal(2 * 216 - 18 + 216 - 16);
    expect(await scene.everyOffset()).to.deep.equal(before);
    expect(framePositions(scene.bytesOf(storeName(4)))).to.deep.equal([0, 216, 234, 450]);
    await scene.expectClean();
  });

  it('joins gaps that meet where two segments did', async () => {
    await scene.fillSegments(10);
    await scene.loseRecords([
      { baseOffset: 0, number: 3 },
      { baseOffset: 4, number: 0 },
    ]);
    const before = await scene.everyOffset();
    await scene.compact();
    expect(await scene.everyOffset()).to.deep.equal(before);
    expect(scene.bytesOf(storeName(0)).length).to.equal(6 * 216 + 18);
    await scene.expectClean();
  });

  it('rewrites no damaged segment, names it, and does the rest', async () => {
    await scene.fillSegments(30);
    scene.damageFrame(12, 1);
    const damaged = scene.bytesOf(storeName(12));
    const report = await scene.compact({ before: { offset: 4 } });
    expect(report.damaged).to.deep.equal([{ path: scene.path(storeName(12)), position: 216, offset: 13 }]);
    expect(report.dropped.segments).to.equal(1);
    expect(report.rewrites.map(({ baseOffset, endOffset }) => [baseOffset, endOffset])).to.deep.equal([
      [4, 12],
      [16, 28],
    ]);
    expect(scene.bytesOf(storeName(12)).equals(damaged)).to.equal(true);
  });

  it('names a segment that is missing, and joins nothing across the hole', async () => {
    await scene.fillSegments(30);
    rmSync(scene.path(storeName(12)));
    const report = await scene.compact();
    expect(report.damaged).to.deep.equal([{ path: scene.path(storeName(8)), position: 4 * 216, offset: 12 }]);
    expect(report.rewrites.map(({ baseOffset, endOffset }) => [baseOffset, endOffset])).to.deep.equal([
      [0, 8],
      [16, 28],
    ]);
  });

  it('says in a dry run what the run then does, and changes nothing', async () => {
    await scene.fillSegments(40);
    // Two of the gaps meet where two stores do.
    await scene.loseRecords([
      { baseOffset: 20, number: 1 },
      { baseOffset: 24, number: 3 },
      { baseOffset: 28, number: 0 },
    ]);
    scene.put(`${storeName(4)}.tmp-dead`, 'xyz');
    rmSync(scene.path(indexName(36)));
    const options = { before: { offset: 10 }, mergeBelowBytes: 2048 } as const;
    const snapshot = (): unknown => [...snapshotOf(scene.path(''))].sort();
    const before = snapshot();
    const planned = await scene.compact({ ...options, dryRun: true });
    expect(snapshot()).to.deep.equal(before);
    const done = await scene.compact(options);
    expect({ ...planned, dryRun: false }).to.deep.equal(done);
    expect(planned.dropped.segments).to.equal(2);
    expect(planned.leftovers).to.have.lengthOf(1);
  });

  it('finds nothing to do a second time', async () => {
    await scene.fillSegments(40);
    await scene.loseRecords([{ baseOffset: 20, number: 1 }]);
    await scene.compact({ mergeBelowBytes: 2048 });
    const before = [...snapshotOf(scene.path(''))];
    const again = await scene.compact({ mergeBelowBytes: 2048 });
    expect(again.rewrites).to.deep.equal([]);
    expect(again.reindexed).to.deep.equal([]);
    expect([...snapshotOf(scene.path(''))]).to.deep.equal(before);
  });

  for (const [what, bytes] of [
    ['missing', undefined],
    ['of zeros', Buffer.alloc(96)],
    ['of another segment', 'another'],
    ['cut short', 'short'],
    ['without a beginning', 'late'],
  ] as const) {
    it(`makes an index anew that is ${what}, and leaves the others`, async () => {
      await scene.fillSegments(14);
      const inode = statSync(scene.path(indexName(4))).ino;
      const own = scene.bytesOf(indexName(0));
      rmSync(scene.path(indexName(0)));
      if (bytes === 'another') scene.put(indexName(0), scene.bytesOf(indexName(8)));
      else if (bytes === 'short') scene.put(indexName(0), own.subarray(0, 48));
      else if (bytes === 'late') scene.put(indexName(0), own.subarray(48));
      else if (bytes !== undefined) scene.put(indexName(0), bytes);
      const report = await scene.compact({ mergeBelowBytes: 0 });
      expect(report.reindexed).to.deep.equal([0]);
      expect(scene.bytesOf(indexName(0)).equals(own)).to.equal(true);
      expect(statSync(scene.path(indexName(4))).ino).to.equal(inode);
      await scene.expectClean();
    });
  }

  it('removes leftovers of interrupted work, and nothing else', async () => {
    await scene.fillSegments(14);
    const kept = ['notes.txt', '00000000000000000004.store.bak', '9.store'];
    for (const name of kept) scene.put(name, 'mine');
    mkdirSync(scene.path('quarantine/20260101T000000000Z-recover-x'), { recursive: true });
    const leftovers = [`${storeName(4)}.tmp-x`, `topic.json.tmp-y`, `${indexName(4)}.tmp-recover`];
    for (const name of leftovers) scene.put(name, 'xyz');
    scene.put(storeName(14), '');
    scene.put(indexName(14), 'x');
    const before = readdirSync(scene.path(''));
    const report = await scene.compact({ mergeBelowBytes: 0 });
    const removed = before.filter((name) => !existsSync(scene.path(name)));
    expect(removed.sort()).to.deep.equal([...leftovers, storeName(14), indexName(14)].sort());
    expect(report.leftovers.map(({ path }) => path).sort()).to.deep.equal(
      removed.map((name) => scene.path(name)).sort(),
    );
  });

  it('does not take for a leftover what another compact is preparing', async () => {
    await scene.fillSegments(14);
    const path = scene.path(`${storeName(0)}.tmp-compact-1`);
    const other = new NodeFileSystem().open(path, 'create-new');
    other.tryLock();
    expect((await scene.compact({ mergeBelowBytes: 0 })).leftovers).to.deep.equal([]);
    expect(existsSync(path)).to.equal(true);
    other.close();
    expect((await scene.compact({ mergeBelowBytes: 0 })).leftovers).to.have.lengthOf(1);
  });

  it('does nothing to a topic whose topic.json is missing or unsound', async () => {
    await scene.fillSegments(14);
    scene.put('topic.json', '{');
    scene.put(`${storeName(4)}.tmp-x`, 'xyz');
    const before = [...snapshotOf(scene.path(''))];
    const report = await scene.compact({ before: { offset: 8 } });
    expect(report.isSettingsSound).to.equal(false);
    expect([...snapshotOf(scene.path(''))]).to.deep.equal(before);
  });

  it('drops on a full disk, writes nothing there, and says what has no room', async () => {
    await scene.fillSegments(30);
    const full = new FaultyFileSystem();
    full.freeBytesAnswer = 4 * 216 * 5;
    const report = await scene.compact({ before: { offset: 4 } }, full);
    expect(report.dropped.segments).to.equal(1);
    expect(report.rewrites).to.deep.equal([]);
    const [missing] = report.noRoom;
    expect(missing).to.include({ baseOffset: 4, freeBytes: 4 * 216 * 5 });
    expect(missing?.neededBytes).to.be.greaterThan(24 * 216);
    expect(scene.files().filter((name) => name.includes('.tmp-'))).to.deep.equal([]);
  });

  it('needs free space for one merged segment at a time', async () => {
    await scene.fillSegments(42);
    let used = 0;
    let most = 0;
    const fileSystem = watched((path, mode) => {
      if (mode !== 'create-new') return undefined;
      used = scene.files().filter((name) => /\.store\.tmp-/.test(name)).length;
      most = Math.max(most, used + (path.includes('.store.tmp-') ? 1 : 0));
      return undefined;
    });
    const report = await scene.compact({ mergeBelowBytes: 2048 }, fileSystem);
    expect(report.rewrites.length).to.be.greaterThan(2);
    expect(most).to.equal(1);
  });

  it('plans anew when the topic was changed between plan and switch', async () => {
    await scene.fillSegments(30);
    const before = await scene.everyOffset();
    let isChanged = false;
    const fileSystem = watched((path) => {
      if (!path.includes('.tmp-compact') || isChanged) return undefined;
      isChanged = true;
      return scene.open().then(async (topic) => {
        await topic.changeSettings({ indexIntervalBytes: 128 });
        await topic.close();
      });
    });
    const report = await scene.compact({}, fileSystem);
    expect(report.rewrites).to.have.lengthOf(1);
    expect(await scene.everyOffset()).to.deep.equal(before);
    await scene.expectClean();
  });

  it('ends with condition_failed, the log sound, when it is changed every time', async () => {
    await scene.fillSegments(14);
    const before = await scene.everyOffset();
    const fileSystem = watched((path, mode) =>
      path.includes('.tmp-compact') && mode === 'create-new'
        ? scene.open().then(async (topic) => {
            await topic.changeSettings({ indexIntervalBytes: 64 });
            await topic.close();
          })
        : undefined,
    );
    const error: unknown = await scene.compact({}, fileSystem).catch((thrown: unknown) => thrown);
    expect(error).to.include({ code: 'condition_failed' });
    expect(await scene.everyOffset()).to.deep.equal(before);
    await scene.expectClean();
  });

  it('lets a reader go on that stands in the middle of a store that is merged', async () => {
    await scene.fillSegments(22);
    const topic = await scene.dataDirectory().openTopic(TOPIC, { mode: 'read' });
    const offsets: number[] = [];
    for await (const { offset } of topic.records()) {
      offsets.push(offset);
      if (offset === 5) await scene.compact();
    }
    await topic.close();
    expect(offsets).to.deep.equal(Array.from({ length: 22 }, (_, offset) => offset));
  });

  it('drops what ends before a time', async () => {
    await scene.fillSegments(22);
    const times = [...(await scene.everyOffset()).values()].map((seen) => Number.parseInt(seen, 10));
    const timestamp = times[10] as number;
    const first = times.findIndex((time) => time >= timestamp);
    const report = await scene.compact({ before: { timestamp } });
    expect(report.dropped.startOffset.after).to.equal(first - (first % 4));
    expect(report.dropped.segments).to.be.greaterThan(0);
  });

  it('opens no more files and takes no more memory for many segments than for few', async () => {
    await scene.fill(80, { segmentBytes: 1024 }, 600);
    const fileSystem = new FaultyFileSystem();
    const report = await scene.compact({}, fileSystem);
    expect(report.rewrites[0]?.segments).to.equal(79);
    expect(fileSystem.mostOpen).to.be.at.most(6);
    expect(fileSystem.openCount).to.equal(0);
    await scene.expectClean();
  });

  it('keeps every offset of any log, whatever is lost in it and whatever is merged', async () => {
    const record = fc.integer({ min: 0, max: 300 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { minLength: 1, maxLength: 40 }),
        fc.array(fc.nat(39), { maxLength: 6 }),
        fc.integer({ min: 0, max: 6000 }),
        async (sizes, lost, mergeBelowBytes) => {
          const one = new CompactScene();
          try {
            const topic = await one.open({ segmentBytes: 1024, indexIntervalBytes: 64 });
            for (const size of sizes) await topic.append([Buffer.alloc(size, 'r')]);
            await topic.close();
            for (const offset of lost) loseOne(one, offset);
            await one.recover();
            const before = await one.everyOffset();
            await one.compact({ mergeBelowBytes });
            expect(await one.everyOffset()).to.deep.equal(before);
            await one.expectClean();
            expect((await one.compact({ mergeBelowBytes })).rewrites).to.deep.equal([]);
          } finally {
            one.remove();
          }
        },
      ),
      {
        numRuns: 12,
        // The first segment is lost whole.
        examples: [[[101, 293, 259, 125, 167], [23, 30, 0, 5], 0]],
      },
    );
  });
});

/** Flips a bit of the frame that begins at or after so many bytes of a sealed store. */
function loseOne(scene: CompactScene, at: number): void {
  const sealed = scene.files('.store').slice(0, -1);
  const name = sealed[at % Math.max(1, sealed.length)];
  if (name === undefined) return;
  const frames = framePositions(scene.bytesOf(name));
  const bytes = Buffer.from(scene.bytesOf(name));
  const position = frames[at % (frames.length - 1)] as number;
  bytes[position + 13] = (bytes[position + 13] as number) ^ 1;
  scene.put(name, bytes);
}

/** The real disk; `onOpen` may do something before a file is opened that waits for a sync. */
function watched(onOpen: (path: string, mode: OpenMode) => Promise<void> | undefined): FileSystem {
  const disk = new NodeFileSystem({ map: false });
  const open = disk.open.bind(disk);
  return Object.assign(disk, {
    open: (path: string, mode: OpenMode) => {
      const doing = onOpen(path, mode);
      const file = open(path, mode);
      if (doing === undefined) return file;
      const sync = file.sync.bind(file);
      return Object.assign(file, { sync: () => doing.then(sync) });
    },
  });
}
