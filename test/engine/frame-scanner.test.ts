/** The scan over frames, where the file does not hold still. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { scanFrames } from '../../src/engine/frame-scanner.ts';
import type { FileHandle } from '../../src/engine/io/file-system.ts';
import { ScratchTopic } from '../support/scratch-topic.ts';

/** More reads than any scan of a few frames needs. */
const MANY_READS = 50;

describe('scanFrames', () => {
  const scratch = ScratchTopic.forEach(3);

  for (const keptBytes of [0, 1, 15, 16, 100, 215]) {
    it(`ends before a frame of which ${keptBytes} bytes are left, where the file was cut since its size was looked at`, () => {
      const store = readFileSync(scratch.path('00000000000000000000.store'));
      const frameBytes = store.length / 3;
      const left = store.subarray(0, 2 * frameBytes + keptBytes);
      let readCount = 0;
      const file = {
        path: 'store',
        read: (target: Uint8Array, position: number) => {
          if (++readCount > MANY_READS) throw new Error('It reads the same again and again.');
          return left.copy(target, 0, position);
        },
      } as unknown as FileHandle;
      const { kernel } = scratch.context();
      const place = { position: 0, offset: 0, endPosition: store.length, minTimestamp: -Infinity };
      const { stop, endPosition, recordCount } = scanFrames({ file, kernel, ...place });
      expect({ stop, endPosition, recordCount }).to.deep.equal({
        stop: 'incomplete',
        endPosition: 2 * frameBytes,
        recordCount: 2,
      });
    });
  }

  it('reads little of what lies behind a frame that is not good: there may be one of them every few frames', () => {
    const bytes = Buffer.alloc(2 * 1024 * 1024);
    let readBytes = 0;
    const file = {
      path: 'store',
      read: (target: Uint8Array, position: number) => {
        const byteCount = bytes.copy(target, 0, position);
        readBytes += byteCount;
        return byteCount;
      },
    } as unknown as FileHandle;
    const { kernel } = scratch.context();
    const place = { position: 0, offset: 0, endPosition: bytes.length, minTimestamp: -Infinity };
    const { stop, endPosition } = scanFrames({ file, kernel, ...place });
    expect({ stop, endPosition }).to.deep.equal({ stop: 'bad', endPosition: 0 });
    expect(readBytes).to.be.lessThan(32 * 1024);
  });
});
