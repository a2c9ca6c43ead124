/** Records of one length and one time, which nothing but the offset in their checksums tells apart. */
import { expect } from 'chai';
import { crc32 } from 'node:zlib';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { framePositions, lostOffsets, RecoveryScene } from '../../support/recovery-scene.ts';

const RECORDS = 10;
const PAYLOAD_BYTES = 24;
const FRAME_BYTES = 16 + PAYLOAD_BYTES;

for (const hasIndexes of [true, false]) {
  describe(`records of equal length and time, ${hasIndexes ? 'with' : 'without'} indexes`, () => {
    const scene = new RecoveryScene();
    /** The first store, sealed. */
    let name: string;
    let bytes: Buffer;

    before(async () => {
      await scene.fill([[RECORDS], [RECORDS]], {
        payload: (offset) => Buffer.from(`record ${offset} `.padEnd(PAYLOAD_BYTES, '.')),
      });
      const first = [...scene.healthy].find(([path]) => path.endsWith('.store'));
      [name, bytes] = first as [string, Buffer];
      expect(framePositions(bytes)).to.have.lengthOf(RECORDS + 1);
    });

    after(() => {
      scene.remove();
    });

    const frame = (number: number): Buffer =>
      bytes.subarray(number * FRAME_BYTES, (number + 1) * FRAME_BYTES);
    const storeOf = (frames: readonly Buffer[]): Buffer => Buffer.concat(frames);
    const numbers = Array.from({ length: RECORDS }, (_, number) => number);

    /** `lost`: the offsets that are lost, and everything else is where it was. */
    async function expectLost(title: string, store: Buffer, lost: readonly number[]): Promise<void> {
      const changes = new Map<string, Buffer | undefined>([[name, store]]);
      if (!hasIndexes)
        for (const path of scene.healthy.keys()) if (path.endsWith('.index')) changes.set(path, undefined);
      scene.reset(changes);
      const context = scene.scratch.context(scene.fileSystem);
      const found = await verifyTopic(context, { quick: false, onBytes: () => undefined });
      expect([...lostOffsets(found)], title).to.deep.equal(lost);
      expect(
        [...found.findings].some(({ severity }) => severity === 'error'),
        title,
      ).to.equal(true);
      const report = await scene.recover();
      expect([...lostOffsets(report)], title).to.deep.equal(lost);
      expect(await scene.differences(lostOffsets(report)), title).to.deep.equal([]);
    }

    it('are put back wherever two were swapped, and undo swaps them again', async () => {
      for (const one of numbers)
        for (const other of numbers.slice(one + 1)) {
          const frames = numbers.map(frame);
          [frames[one], frames[other]] = [frame(other), frame(one)];
          await expectLost(`${one} and ${other}`, storeOf(frames), []);
          expect(scene.stores().get(name), `${one} and ${other}`).to.equal(bytes.toString('hex'));
          await scene.undoAll();
          expect(scene.stores().get(name), `${one} and ${other}`).to.equal(storeOf(frames).toString('hex'));
        }
    });

    it('are put back wherever three were rotated', async () => {
      for (const one of numbers)
        for (const other of numbers.slice(one + 1))
          for (const third of numbers.slice(other + 1)) {
            const frames = numbers.map(frame);
            [frames[one], frames[other], frames[third]] = [frame(other), frame(third), frame(one)];
            await expectLost(`${one}, ${other} and ${third}`, storeOf(frames), []);
          }
    });

    it('lose the one that another was written over, and the other stays one', async () => {
      for (const one of numbers)
        for (const other of numbers) {
          if (one === other) continue;
          const frames = numbers.map(frame);
          frames[one] = frame(other);
          await expectLost(`${other} over ${one}`, storeOf(frames), [one]);
        }
    });

    it('lose the one that was removed, and no other moves into its place', async () => {
      for (const one of numbers) {
        const frames = numbers.filter((number) => number !== one).map(frame);
        await expectLost(`${one} removed`, storeOf(frames), [one]);
      }
    });

    it('lose the one whose place holds a frame of a former life of the log, at the same offset', async () => {
      for (const one of numbers.slice(1)) {
        const former = Buffer.from(frame(one));
        former.writeBigInt64BE(former.readBigInt64BE(4) - 1000n, 4);
        former.fill('former life', 16);
        const offset = Buffer.alloc(8);
        offset.writeBigUInt64BE(BigInt(one));
        const covered = Buffer.concat([offset, former.subarray(0, 12), former.subarray(16)]);
        former.writeUInt32BE(crc32(covered), 12);
        const frames = numbers.map(frame);
        frames[one] = former;
        await expectLost(`${one} of a former life`, storeOf(frames), [one]);
      }
    });
  });
}
