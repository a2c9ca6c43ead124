import { expect } from 'chai';
import { encodeFrame, FRAME_HEADER_BYTES, FRAME_KIND } from '../../src/engine/format/frame.ts';
import type { FileHandle } from '../../src/engine/io/file-system.ts';
import { findNextFrame, type FoundFrame } from '../../src/engine/next-frame.ts';

const TIME = 2_000_000_000_000;

function find(bytes: Buffer): { found: FoundFrame | undefined; readBytes: number } {
  let readBytes = 0;
  const read = (into: Buffer, position: number): number => {
    const count = bytes.copy(into, 0, position, Math.min(bytes.length, position + into.length));
    readBytes += count;
    return count;
  };
  const found = findNextFrame({
    file: { path: 'hostile.store', read } as unknown as FileHandle,
    fromPosition: 1,
    endPosition: bytes.length,
    minOffset: 0,
    maxOffset: 1000,
    minTimestamp: 1,
  });
  return { found, readBytes };
}

/** At every 16th byte a header that leads, half the text further on, to another one. */
function headersEverywhere(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at + FRAME_HEADER_BYTES <= sizeBytes; at += FRAME_HEADER_BYTES) {
    const room = sizeBytes - at - 2 * FRAME_HEADER_BYTES;
    bytes.writeUInt32BE(Math.max(0, Math.min(sizeBytes / 2, room)), at);
    bytes.writeBigInt64BE(BigInt(TIME), at + 4);
    bytes.writeUInt32BE((at * 2_654_435_761) % 2 ** 32, at + 12);
  }
  return bytes;
}

function framesFrom(offset: number, payloadSizes: readonly number[]): Buffer {
  const bytes = Buffer.alloc(payloadSizes.reduce((sum, size) => sum + FRAME_HEADER_BYTES + size, 0));
  let at = 0;
  payloadSizes.forEach((size, number) => {
    const payload = Buffer.from(`${offset + number} `.repeat(size)).subarray(0, size);
    at = encodeFrame(bytes, at, {
      kind: FRAME_KIND.record,
      offset: offset + number,
      timestamp: TIME,
      payload,
    });
  });
  return bytes;
}

describe('findNextFrame', () => {
  it('reads a hostile text in proportion to its length, not to its square', () => {
    const small = find(headersEverywhere(64 * 1024));
    const large = find(headersEverywhere(256 * 1024));
    expect(small.found).to.equal(undefined);
    expect(large.found).to.equal(undefined);
    expect(large.readBytes / small.readBytes).to.be.lessThan(6);
  });

  for (const sizes of [
    [10, 10],
    [5000, 3],
    [3, 5000],
    [300_000, 400_000],
  ]) {
    it(`solves the offset of the frame behind foreign bytes, with payloads of ${sizes.join(' and ')} bytes`, () => {
      const { found } = find(Buffer.concat([Buffer.alloc(777, 0xff), framesFrom(42, sizes)]));
      expect(found).to.deep.equal({ position: 777, offset: 42 });
    });
  }

  it('finds nothing where the second of two frames does not check out at the next offset', () => {
    const frames = Buffer.concat([framesFrom(42, [5000]), framesFrom(44, [5000])]);
    expect(find(Buffer.concat([Buffer.alloc(777, 0xff), frames])).found).to.equal(undefined);
  });
});
