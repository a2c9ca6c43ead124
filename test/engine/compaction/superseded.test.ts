/**
 * A compact that was killed between putting the merged store in place and removing the others leaves superseded stores:
 * their whole range lies inside the one before them. Nobody takes them for a part of the log.
 */
import { expect } from 'chai';
import { renameSync, rmSync } from 'node:fs';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import { listSegments } from '../../../src/engine/segment-list.ts';
import { currentMark } from '../../../src/engine/mark-file.ts';
import { retainTopic } from '../../../src/engine/retention.ts';
import { CompactScene, indexName, storeName } from '../../support/compact-scene.ts';
import { framePositions, snapshotOf, type Snapshot } from '../../support/recovery-scene.ts';
import { TOPIC, type Seen } from '../../support/scratch-topic.ts';

/** Which of the merged stores are still there: all but the first, as before the first unlink, or just some. */
const STATES = { all: [4, 8, 12, 16], 'the last two': [12, 16], 'the one in the middle': [8] } as const;

/** What a switch that is under way leaves for a moment. */
const NOTES: ReadonlySet<string> = new Set(['index_missing', 'leftover']);

describe('a superseded store', () => {
  for (const [what, bases] of Object.entries(STATES)) {
    describe(`(${what})`, () => {
      let scene: CompactScene;
      let seen: Map<number, Seen>;
      /** Stores before they were merged; the first holds offsets 0..3. */
      let old: Map<number, Buffer>;
      let files: Snapshot;

      before(async () => {
        scene = new CompactScene();
        await scene.fillSegments(30);
        seen = await scene.everyOffset();
        old = new Map([0, 4, 8, 12, 16].map((base) => [base, scene.bytesOf(storeName(base))]));
        await scene.compact({ mergeBelowBytes: 5 * 4 * 216 });
        expect(scene.files('.store')).to.deep.equal([0, 20, 28].map(storeName));
        for (const base of bases) scene.put(storeName(base), old.get(base) as Buffer);
        rmSync(scene.path(indexName(0)));
        files = snapshotOf(scene.path(''));
      });

      beforeEach(() => {
        for (const name of scene.files()) if (/^\d/.test(name)) rmSync(scene.path(name));
        for (const [name, bytes] of files) scene.put(name, bytes);
      });

      after(() => {
        scene.remove();
      });

      it('is no live segment', async () => {
        const list = listSegments(scene.context(), await currentMark(scene.context()));
        expect(list.live.map(({ baseOffset }) => baseOffset)).to.deep.equal([0, 20, 28]);
        expect(list.superseded).to.deep.equal(bases);
      });

      it('changes nothing for a reader, wherever it begins', async () => {
        const topic = await scene.dataDirectory().openTopic(TOPIC, { mode: 'read' });
        for (let from = 0; from < 30; from++) {
          const offsets: number[] = [];
          for await (const entry of topic.records({ from })) {
            if (entry.type === 'record')
              expect(`${entry.timestamp} ${entry.payload.toString()}`).to.equal(seen.get(entry.offset));
            offsets.push(entry.offset);
          }
          expect(offsets).to.deep.equal(Array.from({ length: 30 - from }, (_, at) => from + at));
        }
        await topic.close();
      });

      it('is read by nobody: what stands in it does not matter', async () => {
        const other = bases[0] as number;
        const damaged = Buffer.from(old.get(other) as Buffer);
        damaged.fill(0xff, framePositions(damaged)[1]);
        scene.put(storeName(other), damaged);
        const topic = await scene.dataDirectory().openTopic(TOPIC, { mode: 'read' });
        for (const from of [other, other + 1, other + 3]) {
          for await (const entry of topic.records({ from, until: from + 1 }))
            expect(entry.type).to.equal('record');
        }
        await topic.close();
      });

      it('changes nothing for a lookup by time', async () => {
        const topic = await scene.dataDirectory().openTopic(TOPIC, { mode: 'read' });
        const times = [...seen.values()].map((each) => Number.parseInt(each, 10));
        for (const time of times)
          expect(await topic.offsetAtTime(time)).to.equal(times.findIndex((other) => other >= time));
        await topic.close();
      });

      it('is not counted by topics', async () => {
        const topic = await scene.dataDirectory().openTopic(TOPIC, { mode: 'read' });
        expect(await topic.status()).to.include({ segments: 3, bytes: 30 * 216 });
        await topic.close();
      });

      it('is a note of verify, the index that is not made yet another, and nothing else is', async () => {
        const notes = [...bases.map(() => 'leftover'), 'index_missing'];
        expect((await scene.findings()).sort()).to.deep.equal(notes.sort());
      });

      it('is nothing that recover works on', async () => {
        await scene.recover();
        expect(await scene.everyOffset()).to.deep.equal(seen);
      });

      it('does not keep a writer from appending and rolling', async () => {
        await scene.fillSegments(8);
        const now = await scene.everyOffset();
        expect(now.size).to.equal(38);
        for (const [offset, expected] of seen) expect(now.get(offset)).to.equal(expected);
      });

      it('does not count for retention by bytes, which removes it as the leftover that it is', async () => {
        const policy = { bytes: 30 * 216 };
        const report = await retainTopic(scene.context(), { lockTimeoutMs: 1000, policy });
        expect(report?.segments).to.equal(0);
        expect(await scene.everyOffset()).to.deep.equal(seen);
        const list = listSegments(scene.context(), await currentMark(scene.context()));
        expect(list.superseded).to.deep.equal([]);
      });

      it('is removed by compact, which makes the index', async () => {
        const report = await scene.compact({ mergeBelowBytes: 0 });
        expect(report.leftovers.map(({ path }) => path)).to.deep.equal(
          bases.map((base) => scene.path(storeName(base))),
        );
        expect(report.reindexed).to.deep.equal([0]);
        expect(await scene.everyOffset()).to.deep.equal(seen);
        await scene.expectClean();
      });
    });
  }

  it('is not seen in a log that has merely lost its indexes', async () => {
    const scene = new CompactScene();
    try {
      await scene.fillSegments(30);
      for (const name of scene.files('.index')) rmSync(scene.path(name));
      const list = listSegments(scene.context(), await currentMark(scene.context()));
      expect(list.live).to.have.lengthOf(8);
      expect(list.superseded).to.deep.equal([]);
    } finally {
      scene.remove();
    }
  });

  it('is not taken for one when its range only overlaps with the store before', async () => {
    const scene = new CompactScene();
    try {
      await scene.fillSegments(14);
      const [first, second] = [scene.bytesOf(storeName(0)), scene.bytesOf(storeName(4))];
      // The first store goes on into the second one's range, but not to its end.
      scene.put(storeName(0), Buffer.concat([first, second.subarray(0, 2 * 216)]));
      rmSync(scene.path(indexName(4)));
      const list = listSegments(scene.context(), await currentMark(scene.context()));
      expect(list.superseded).to.deep.equal([]);
      expect(await scene.findings()).to.include('overlapping_segments');
    } finally {
      scene.remove();
    }
  });
});

/** The real disk, on which something happens just before its n-th file is opened. */
function beforeOpen(number: number, happen: () => void): NodeFileSystem {
  const disk = new NodeFileSystem({ map: false });
  const open = disk.open.bind(disk);
  let openCount = 0;
  return Object.assign(disk, {
    open: (...request: Parameters<typeof open>) => {
      openCount += 1;
      if (openCount === number) happen();
      return open(...request);
    },
  });
}

describe('a merged store that is put in place while verify reads', () => {
  it('is no false alarm, whichever file verify was about to open', async () => {
    const scene = new CompactScene();
    try {
      await scene.fillSegments(30);
      const old = snapshotOf(scene.path(''));
      await scene.compact({ mergeBelowBytes: 5 * 4 * 216 });
      const merged = scene.bytesOf(storeName(0));
      const mark = scene.bytesOf('high-watermark');
      const sources = [0, 4, 8, 12, 16];
      let switched = true;
      for (let at = 1; switched; at++) {
        for (const name of scene.files()) if (/^\d/.test(name)) rmSync(scene.path(name));
        for (const [name, bytes] of old) scene.put(name, bytes);
        // Compact has raised the generation and unlinked the indexes by now.
        scene.put('high-watermark', mark);
        for (const base of sources) rmSync(scene.path(indexName(base)));
        switched = false;
        const fileSystem = beforeOpen(at, () => {
          scene.put('merged', merged);
          renameSync(scene.path('merged'), scene.path(storeName(0)));
          switched = true;
        });
        const errors = (await scene.findings(fileSystem)).filter((code) => !NOTES.has(code));
        expect(errors, `switched before open ${at}`).to.deep.equal([]);
      }
    } finally {
      scene.remove();
    }
  });
});

describe('a store that retention removes while compact looks', () => {
  it('ends no plan with an error, whichever file compact was about to open', async () => {
    const scene = new CompactScene();
    try {
      await scene.fillSegments(30);
      const old = snapshotOf(scene.path(''));
      const policy = { beforeOffset: 4 };
      await retainTopic(scene.context(), { policy, lockTimeoutMs: 2000 });
      const mark = scene.bytesOf('high-watermark');
      let removed = true;
      for (let at = 1; removed; at++) {
        for (const [name, bytes] of old) scene.put(name, bytes);
        removed = false;
        const fileSystem = beforeOpen(at, () => {
          scene.put('high-watermark', mark);
          rmSync(scene.path(indexName(0)));
          rmSync(scene.path(storeName(0)));
          removed = true;
        });
        const report = await scene.compact({ dryRun: true }, fileSystem);
        expect(report.damaged, `removed before open ${at}`).to.deep.equal([]);
      }
    } finally {
      scene.remove();
    }
  });
});

describe('an index that somebody drops while compact looks', () => {
  it('is one that is missing, whichever file compact was about to open', async () => {
    const scene = new CompactScene();
    try {
      await scene.fillSegments(30);
      const old = snapshotOf(scene.path(''));
      let dropped = true;
      let at = 1;
      for (; dropped; at++) {
        for (const [name, bytes] of old) scene.put(name, bytes);
        dropped = false;
        const fileSystem = beforeOpen(at, () => {
          for (const name of scene.files()) if (name.endsWith('.index')) rmSync(scene.path(name));
          dropped = true;
        });
        const report = await scene.compact({ dryRun: true, mergeBelowBytes: 1 }, fileSystem);
        expect(report.damaged, `dropped before open ${at}`).to.deep.equal([]);
      }
      expect(at, 'files opened').to.be.greaterThan(10);
    } finally {
      scene.remove();
    }
  });
});

describe('an empty store that a killed roll left behind a segment', () => {
  it('does not stand in the way of a reader, wherever it begins', async () => {
    const scene = new CompactScene();
    try {
      await scene.fill(2, { segmentBytes: 4096 });
      scene.put(storeName(2), '');
      await scene.fill(4);
      const topic = await scene.dataDirectory().openTopic(TOPIC, { mode: 'read' });
      for (let from = 0; from < 6; from++) {
        const offsets: number[] = [];
        for await (const { offset } of topic.records({ from })) offsets.push(offset);
        expect(offsets).to.deep.equal([0, 1, 2, 3, 4, 5].slice(from));
      }
      await topic.close();
    } finally {
      scene.remove();
    }
  });
});
