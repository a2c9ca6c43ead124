import { expect } from 'chai';
import { randomFillSync } from 'node:crypto';
import fc from 'fast-check';
import { crc32 } from '../../src/engine/format/crc32.ts';
import type { FileHandle } from '../../src/engine/io/file-system.ts';
import { RangeChecksums } from '../../src/engine/range-checksums.ts';

const bytes = randomFillSync(Buffer.alloc(600 * 1024 + 7));

function fileOf(content: Buffer): { file: FileHandle; readBytes: () => number } {
  let readBytes = 0;
  const read = (into: Buffer, position: number): number => {
    const count = content.subarray(position, position + into.length).copy(into);
    readBytes += count;
    return count;
  };
  return { file: { path: 'store', read } as unknown as FileHandle, readBytes: () => readBytes };
}

describe('RangeChecksums', () => {
  it('sums up any range behind what was let go, and says where the file ends before it', () => {
    const step = fc.record({
      forward: fc.integer({ min: 0, max: 200_000 }),
      // Close behind what was let go, too.
      ranges: fc.array(fc.tuple(fc.oneof(fc.nat(2000), fc.nat(300_000)), fc.nat(300_000)), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.nat(5000), fc.array(step, { maxLength: 6 }), (fromPosition, steps) => {
        const sums = new RangeChecksums(fileOf(bytes).file, fromPosition);
        let start = fromPosition;
        for (const { forward, ranges } of steps) {
          start += forward;
          sums.forgetBefore(start);
          for (const [ahead, byteCount] of ranges) {
            const position = start + ahead;
            const isWhole = position + byteCount <= bytes.length;
            const wanted = isWhole ? crc32(bytes.subarray(position, position + byteCount)) : NaN;
            if (byteCount > 0) expect(sums.of({ position, byteCount })).to.deep.equal(wanted);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('reads nothing of what was let go before it was asked for', () => {
    const { file, readBytes } = fileOf(bytes);
    const sums = new RangeChecksums(file, 0);
    sums.forgetBefore(500_000);
    sums.of({ position: 500_000, byteCount: 10_000 });
    expect(readBytes()).to.be.lessThan(150_000);
  });
});
