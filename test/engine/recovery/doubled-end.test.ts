/** A sealed store whose end stands once more in the stores behind it. */
import { expect } from 'chai';
import { indexFileName, storeFileName } from '../../../src/engine/format/file-names.ts';
import { encodeFrame, FRAME_KIND } from '../../../src/engine/format/frame.ts';
import { undoRecovery } from '../../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import {
  FOUR_SEGMENTS,
  framePositions,
  growingPayload,
  lostOffsets,
  RecoveryScene,
} from '../../support/recovery-scene.ts';

describe('a sealed store that goes on into the next one', () => {
  const scene = new RecoveryScene();

  before(() => scene.fill(FOUR_SEGMENTS, { payload: growingPayload }));
  after(() => {
    scene.remove();
  });

  const store = (base: number): Buffer => scene.healthy.get(storeFileName(base)) as Buffer;
  const firstFrames = (base: number, count: number): Buffer =>
    store(base).subarray(0, framePositions(store(base))[count]);

  function flipped(bytes: Buffer, frame: number): Buffer {
    const copy = Buffer.from(bytes);
    const at = (framePositions(bytes)[frame] as number) + 18;
    copy[at] = (copy[at] as number) ^ 4;
    return copy;
  }

  const merged = (): Buffer => Buffer.concat([store(0), store(3), store(7)]);
  const withoutIndexes: [string, undefined][] = [0, 3, 7].map((base) => [indexFileName(base), undefined]);
  const cases: { title: string; changes: () => [string, Buffer | undefined][]; lost: number[] }[] = [
    {
      title: 'by its first frame',
      changes: () => [[storeFileName(0), Buffer.concat([store(0), firstFrames(3, 1)])]],
      lost: [],
    },
    {
      title: 'by more of its frames, before the active one',
      changes: () => [[storeFileName(7), Buffer.concat([store(7), firstFrames(10, 2)])]],
      lost: [],
    },
    {
      title: 'as a merged one does beside those that it is made of, and is damaged behind them',
      changes: () => [[storeFileName(0), flipped(merged(), 8)], ...withoutIndexes],
      lost: [],
    },
    {
      title: 'likewise, and is damaged before them',
      changes: () => [[storeFileName(0), flipped(merged(), 1)], ...withoutIndexes],
      lost: [1],
    },
  ];
  const verify = () =>
    verifyTopic(scene.scratch.context(scene.fileSystem), { quick: false, onBytes: () => undefined });

  for (const { title, changes, lost } of cases)
    it(`${title}, loses nothing else, and can be read`, async () => {
      scene.reset(new Map(changes()));
      const before = scene.stores();
      const dry = await scene.recover({ dryRun: true });
      expect([...lostOffsets(await verify())], 'verify').to.deep.equal([...lostOffsets(dry)]);
      const report = await scene.recover();
      expect([...report.repairs], 'done as planned').to.deep.equal([...dry.repairs]);
      expect([...lostOffsets(report)]).to.deep.equal(lost);
      expect(await scene.differences(new Set(lost))).to.deep.equal([]);
      const errors = [...(await verify()).findings].filter(({ severity }) => severity === 'error');
      expect(errors).to.deep.equal([]);
      expect((await scene.recover()).repairs).to.have.lengthOf(0);
      for (const { run } of [...report.runs].reverse())
        await undoRecovery(scene.scratch.context(scene.fileSystem), { run, lockTimeoutMs: 2000 });
      expect(scene.stores(), 'undone').to.deep.equal(before);
    });

  it('by another record than the next one has there is left as it is, and told of', async () => {
    const other = Buffer.alloc(100);
    const record = {
      kind: FRAME_KIND.record,
      offset: 3,
      timestamp: Date.now(),
      payload: Buffer.from('another'),
    };
    const end = encodeFrame(other, 0, record);
    scene.reset(new Map([[storeFileName(0), Buffer.concat([store(0), other.subarray(0, end)])]]));
    const before = scene.stores();
    await scene.recover();
    expect(scene.stores()).to.deep.equal(before);
    expect([...(await verify()).findings].map(({ code }) => code)).to.include('overlapping_segments');
  });
});
