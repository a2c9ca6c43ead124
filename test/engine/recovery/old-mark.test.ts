/** A mark that was put back from a copy, one roll or more ago, beside other damage: nothing behind it is lost. */
import { expect } from 'chai';
import { FastQueueError } from '../../../src/engine/errors.ts';
import { storeFileName } from '../../../src/engine/format/file-names.ts';
import { decodeHighWatermark, encodeHighWatermark } from '../../../src/engine/format/high-watermark.ts';
import type { HighWatermark } from '../../../src/engine/format/high-watermark.ts';
import { undoRecovery } from '../../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import {
  FOUR_SEGMENTS,
  framePositions,
  growingPayload,
  lostOffsets,
  RecoveryScene,
} from '../../support/recovery-scene.ts';

describe('an old mark', () => {
  const scene = new RecoveryScene();
  /** Base offsets, and where the log ends. */
  const bases = [0, 3, 7, 10, 13];

  before(() => scene.fillInTime(FOUR_SEGMENTS, { payload: growingPayload }));
  after(() => {
    scene.remove();
  });

  const store = (base: number): Buffer => scene.healthy.get(storeFileName(base)) as Buffer;

  /** The mark as it was once it was behind so many records of a segment. */
  function markAt(baseOffset: number, recordCount: number): [string, Buffer] {
    const mark = decodeHighWatermark(scene.healthy.get('high-watermark') as Buffer) as HighWatermark;
    const position = framePositions(store(baseOffset))[recordCount] as number;
    const nextOffset = baseOffset + recordCount;
    const timestamp = Number.parseInt(scene.seen.get(nextOffset - 1) ?? '0', 10);
    return ['high-watermark', encodeHighWatermark({ ...mark, baseOffset, nextOffset, position, timestamp })];
  }

  const verify = () =>
    verifyTopic(scene.scratch.context(scene.fileSystem), { quick: false, onBytes: () => undefined });

  async function append(): Promise<number> {
    const topic = await scene.scratch.dataDirectory(scene.fileSystem).openTopic('t', { mode: 'append' });
    try {
      return (await topic.append([Buffer.from('new')])).offset;
    } finally {
      await topic.close();
    }
  }

  it('that ends with its segment is settled by whoever appends or reads: no offset is given twice', async () => {
    for (const [number, base] of bases.slice(0, -2).entries()) {
      const mark = markAt(base, (bases[number + 1] as number) - base);
      scene.reset(new Map([mark]));
      expect(await append(), `behind ${base}`).to.equal(13);
      scene.reset(new Map([mark]));
      const topic = await scene.scratch.dataDirectory(scene.fileSystem).openTopic('t', { mode: 'read' });
      await topic.settle();
      await topic.close();
      expect(await scene.differences(new Set()), `behind ${base}`).to.deep.equal([]);
    }
  });

  const flipped = (base: number, number: number): Buffer => {
    const bytes = Buffer.from(store(base));
    const at = (framePositions(bytes)[number] as number) + 20;
    bytes[at] = (bytes[at] as number) ^ 4;
    return bytes;
  };

  const damages: { title: string; changes: () => [string, Buffer][]; lost: number[] }[] = [
    {
      title: 'a byte behind its segment',
      changes: () => [[storeFileName(0), Buffer.concat([store(0), Buffer.from('x')])]],
      lost: [],
    },
    {
      title: 'a segment that ends before the next one begins',
      changes: () => [[storeFileName(0), store(0).subarray(0, framePositions(store(0))[2])]],
      lost: [2],
    },
    { title: 'a flipped bit in its segment', changes: () => [[storeFileName(0), flipped(0, 2)]], lost: [2] },
    {
      title: 'a flipped bit in a later segment',
      changes: () => [[storeFileName(3), flipped(3, 1)]],
      lost: [4],
    },
    {
      title: 'a flipped bit at the beginning of the last',
      changes: () => [[storeFileName(10), flipped(10, 0)]],
      lost: [10],
    },
  ];
  for (const { title, changes, lost } of damages)
    it(`beside ${title} loses nothing else, and nobody appends before recover`, async () => {
      for (const recordCount of [1, 2]) {
        const all = new Map([...changes(), markAt(0, recordCount)]);
        scene.reset(all);
        const before = scene.stores();
        const dry = await scene.recover({ dryRun: true });
        const verified = await verify();
        expect([...lostOffsets(verified)], 'verify').to.deep.equal(lost);
        expect([...lostOffsets(dry)], 'dry run').to.deep.equal(lost);
        const report = await scene.recover();
        expect([...report.repairs], 'done as planned').to.deep.equal([...dry.repairs]);
        expect([...lostOffsets(report)]).to.deep.equal(lost);
        expect(await scene.differences(new Set(lost))).to.deep.equal([]);
        const errors = [...(await verify()).findings].filter(({ severity }) => severity === 'error');
        expect(errors).to.deep.equal([]);
        for (const { run } of [...report.runs].reverse())
          await undoRecovery(scene.scratch.context(scene.fileSystem), { run, lockTimeoutMs: 2000 });
        expect(scene.stores(), 'undone').to.deep.equal(before);
        scene.reset(all);
        const offset = await append().catch((error: unknown) => {
          if (!(error instanceof FastQueueError) || error.code !== 'damaged') throw error;
          return 13;
        });
        expect(offset).to.equal(13);
      }
    });

  it('is not told of a copy of a store that is named beyond the end of the log', async () => {
    scene.reset(new Map([[storeFileName(1000), store(3)]]));
    const codes = [...(await verify()).findings].map(({ code }) => code);
    expect(codes).to.deep.equal(['unknown_file']);
    expect((await scene.recover()).repairs).to.have.lengthOf(0);
    expect(await append()).to.equal(13);
  });

  it('that is missing is made from the stores as they are once they have their own names', async () => {
    const last = [storeFileName(12), store(10)] as const;
    const renamed = new Map([last, [storeFileName(10), undefined], ['high-watermark', undefined]] as const);
    const exchanged = new Map([
      [storeFileName(0), store(10)],
      [storeFileName(10), store(0)],
      ['high-watermark', undefined],
    ] as const);
    for (const changes of [renamed, exchanged]) {
      scene.reset(changes);
      const dry = await scene.recover({ dryRun: true });
      const report = await scene.recover();
      expect([...report.repairs], 'done as planned').to.deep.equal([...dry.repairs]);
      expect(report.lost).to.have.lengthOf(0);
      expect(await scene.differences(new Set())).to.deep.equal([]);
      expect([...(await verify()).findings]).to.deep.equal([]);
      expect(await append()).to.equal(13);
    }
  });
});
