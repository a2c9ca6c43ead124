import { expect } from 'chai';
import fc from 'fast-check';
import {
  decodeFrameHeader,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  frameChecksum,
  MAX_RECORD_BYTES,
} from '../../src/engine/format/frame.ts';
import type { FileHandle } from '../../src/engine/io/file-system.ts';
import { findNextFrame } from '../../src/engine/next-frame.ts';
import type { ChainEnd, FoundFrame } from '../../src/engine/rival-chains.ts';

const TIME = 2_000_000_000_000;

const MAX_FOUND_OFFSET = 60;

function find(
  bytes: Buffer,
  minTimestamp = 1,
  minOffset = 0,
  follow?: (from: FoundFrame) => ChainEnd,
): { found: FoundFrame | undefined; readBytes: number; readCalls: number } {
  let readCalls = 0;
  let readBytes = 0;
  const read = (into: Buffer, position: number): number => {
    const count = bytes.copy(into, 0, position, Math.min(bytes.length, position + into.length));
    readBytes += count;
    readCalls += 1;
    return count;
  };
  const found = findNextFrame({
    file: { path: 'hostile.store', read } as unknown as FileHandle,
    fromPosition: 1,
    endPosition: bytes.length,
    minOffset,
    maxOffset: MAX_FOUND_OFFSET,
    minTimestamp,
    follow,
  });
  return { found, readBytes, readCalls };
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

/** The first record that a second one follows, tried with every offset at every byte. */
function findPlainly(bytes: Buffer, minTimestamp: number): FoundFrame | undefined {
  for (let position = 1; position + FRAME_HEADER_BYTES <= bytes.length; position++) {
    const end = recordEnd(bytes, position, minTimestamp);
    const next = end === undefined ? undefined : recordEnd(bytes, end, minTimestamp);
    if (end === undefined || next === undefined) continue;
    const own = decodeFrameHeader(bytes, position);
    const following = decodeFrameHeader(bytes, end);
    if (following.timestamp < own.timestamp) continue;
    for (let offset = 0; offset <= MAX_FOUND_OFFSET; offset++) {
      const isOwn = frameChecksum(bytes.subarray(position, end), offset) === own.checksum;
      if (isOwn && frameChecksum(bytes.subarray(end, next), offset + 1) === following.checksum)
        return { position, offset };
    }
  }
  return undefined;
}

function recordEnd(bytes: Buffer, position: number, minTimestamp: number): number | undefined {
  if (position + FRAME_HEADER_BYTES > bytes.length) return undefined;
  const { kind, payloadBytes, frameBytes, timestamp } = decodeFrameHeader(bytes, position);
  const isRecord = kind === FRAME_KIND.record && payloadBytes <= MAX_RECORD_BYTES;
  const isTimely = Number.isSafeInteger(timestamp) && timestamp >= minTimestamp;
  return isRecord && isTimely && position + frameBytes <= bytes.length ? position + frameBytes : undefined;
}

/** What holes are made of: zeros, anything, what looks like the beginning of a header, and frames. */
const pieceArbitrary = fc.oneof(
  fc.integer({ min: 1, max: 70 }).map((size) => Buffer.alloc(size)),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 0x10, 0x30, 0x1f, 0xff, 0xe0), { maxLength: 40 })
    .map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(
      fc.integer({ min: 0, max: MAX_FOUND_OFFSET }),
      fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 3 }),
      fc.constantFrom(-(2 ** 53 - 1), -(2 ** 32), -1, 0, 1, 2 ** 32, TIME, 2 ** 53 - 1),
    )
    .map(([offset, payloadSizes, timestamp]) => framesFrom(offset, payloadSizes, timestamp)),
);

function framesFrom(offset: number, payloadSizes: readonly number[], timestamp = TIME): Buffer {
  const bytes = Buffer.alloc(payloadSizes.reduce((sum, size) => sum + FRAME_HEADER_BYTES + size, 0));
  let at = 0;
  payloadSizes.forEach((size, number) => {
    const payload = Buffer.from(`${offset + number} `.repeat(size)).subarray(0, size);
    at = encodeFrame(bytes, at, {
      kind: FRAME_KIND.record,
      offset: offset + number,
      timestamp,
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

  it('finds what a plain search of every byte finds, whatever the hole is made of', () => {
    fc.assert(
      fc.property(
        fc.array(pieceArbitrary, { maxLength: 12 }),
        fc.constantFrom(-Infinity, -(2 ** 33), 0, 1, TIME),
        (pieces, minTimestamp) => {
          // The search begins at byte 1.
          const bytes = Buffer.concat([Buffer.alloc(1), ...pieces]);
          expect(find(bytes, minTimestamp).found).to.deep.equal(findPlainly(bytes, minTimestamp));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('sums up nothing of what lies far before a frame that it looks at', () => {
    const noise = Buffer.alloc(8 * 1024 * 1024, 0xff);
    const { found, readBytes } = find(Buffer.concat([noise, framesFrom(42, [100_000, 10])]), 1);
    expect(found).to.deep.equal({ position: noise.length, offset: 42 });
    expect(readBytes).to.be.lessThan(1.5 * noise.length);
  });

  it('looks at nothing inside a frame that was doubled, however long it is', () => {
    const payload = Buffer.concat([Buffer.alloc(1.5 * 1024 * 1024, '.'), framesFrom(42, [10, 10, 10])]);
    const doubled = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
    encodeFrame(doubled, 0, { kind: FRAME_KIND.record, offset: 6, timestamp: TIME, payload });
    const bytes = Buffer.concat([Buffer.alloc(1), doubled, framesFrom(10, [10, 10])]);
    const leadsNowhere = (from: FoundFrame): ChainEnd => ({
      position: from.position + 20,
      offset: from.offset + (from.offset === 42 ? 3 : 2),
      lastTimestamp: TIME,
    });
    const { found } = find(bytes, 1, 7, leadsNowhere);
    expect(found).to.deep.equal({ position: 1 + doubled.length, offset: 10 });
  });

  it('keeps the longest of frames that contradict one another, however many short ones there are', () => {
    const longest = framesFrom(42, [10, 10, 10, 10, 10]);
    const others = Array.from({ length: 200 }, (_, number) => framesFrom(42, [11 + (number % 7), 10]));
    const bytes = Buffer.concat([Buffer.alloc(1), ...others, longest, ...others, Buffer.alloc(9, 0xff)]);
    const longestAt = 1 + Buffer.concat(others).length;
    const { found } = find(bytes, 1, 7, (from) => {
      const count = from.position === longestAt ? 5 : 2;
      let { position } = from;
      for (let done = 0; done < count; done++) position = recordEnd(bytes, position, 1) as number;
      return { position, offset: from.offset + count, lastTimestamp: TIME };
    });
    expect(found).to.deep.equal({ position: longestAt, offset: 42 });
  });

  it('reads nothing where the segment has all of its offsets', () => {
    const { found, readCalls } = find(framesFrom(42, [10, 10]), 1, MAX_FOUND_OFFSET + 1);
    expect([found, readCalls]).to.deep.equal([undefined, 0]);
  });

  for (const minTimestamp of [-Infinity, TIME]) {
    it(`passes zeros a megabyte at a time and stops at the frame behind them, after time ${minTimestamp}`, () => {
      const zeros = 8 * 1024 * 1024 + 5;
      const { found, readCalls } = find(
        Buffer.concat([Buffer.alloc(zeros), framesFrom(42, [10, 10])]),
        minTimestamp,
      );
      expect(found).to.deep.equal({ position: zeros, offset: 42 });
      expect(readCalls).to.be.lessThan(40);
    });
  }
});
