/** Sectors of 512 bytes that read as zeros, each in turn, in a log of several segments of many frames. */
import { expect } from 'chai';
import { undoRecovery } from '../../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { framePositions, lostOffsets, RecoveryScene } from '../../support/recovery-scene.ts';

const SECTOR_BYTES = 512;

describe('a sector that reads as zeros', () => {
  const scene = new RecoveryScene();

  before(async () => {
    const batches = Array.from({ length: 20 }, (_, number) => 1 + (number % 3));
    await scene.fill([batches, batches, batches], {
      payload: (offset) => Buffer.from(`record ${offset} `.padEnd(10 + ((offset * 37) % 180), '.')),
    });
  });

  after(() => {
    scene.remove();
  });

  it('costs the records that it touches and no other, wherever it is, and undo gives back every byte', async () => {
    let cases = 0;
    for (const [name, bytes] of scene.healthy) {
      if (!name.endsWith('.store')) continue;
      const frames = framePositions(bytes);
      for (let start = 0; start < bytes.length; start += SECTOR_BYTES) {
        const title = `${name} from byte ${start}`;
        const zeroed = Buffer.from(bytes).fill(0, start, Math.min(start + SECTOR_BYTES, bytes.length));
        const touched = frames.slice(0, -1).flatMap((position, number) => {
          const end = frames[number + 1] as number;
          const isHit = !zeroed.subarray(position, end).equals(bytes.subarray(position, end));
          return isHit ? [Number.parseInt(name, 10) + number] : [];
        });
        scene.reset(new Map([[name, zeroed]]));
        const context = scene.scratch.context(scene.fileSystem);
        const found = await verifyTopic(context, { quick: false, onBytes: () => undefined });
        expect([...lostOffsets(found)], title).to.deep.equal(touched);
        const report = await scene.recover();
        expect([...lostOffsets(report)], title).to.deep.equal(touched);
        expect(await scene.differences(lostOffsets(report)), title).to.deep.equal([]);
        for (const { run } of [...report.runs].reverse())
          await undoRecovery(context, { run, lockTimeoutMs: 2000 });
        expect(scene.stores().get(name), title).to.equal(zeroed.toString('hex'));
        cases += 1;
      }
    }
    expect(cases).to.be.greaterThan(20);
    console.log(`        ${cases} sectors`);
  });
});
