/** The bytes of marks, index entries, groups, counts and frames: what was written is read, and nothing else is. */
import { expect } from 'chai';
import fc from 'fast-check';
import { crc32 as zlibCrc32 } from 'node:zlib';
import { crc32 } from '../../src/engine/format/crc32.ts';
import {
  decodeFrameHeader,
  encodeFrame,
  frameChecksum,
  FRAME_HEADER_BYTES,
  solveFrameOffset,
} from '../../src/engine/format/frame.ts';
import { decodeGroupPosition, encodeGroupPosition } from '../../src/engine/format/group-position.ts';
import { decodeHighWatermark, encodeHighWatermark } from '../../src/engine/format/high-watermark.ts';
import {
  decodeIndexEntry,
  encodeIndexEntry,
  INDEX_ENTRY_BYTES,
} from '../../src/engine/format/index-entry.ts';
import { decodeLeb128, encodeLeb128 } from '../../src/engine/format/leb128.ts';
import { MAX_OFFSET } from '../../src/engine/limits.ts';

const anOffset = fc.maxSafeNat().filter((offset) => offset <= MAX_OFFSET);
const aTime = fc.maxSafeInteger();
const aMark = fc
  .record({
    nextOffset: anOffset,
    a: anOffset,
    b: anOffset,
    position: anOffset,
    timestamp: aTime,
    generation: anOffset,
  })
  .map(({ nextOffset, a, b, ...rest }) => ({
    ...rest,
    nextOffset,
    baseOffset: Math.min(a, nextOffset),
    startOffset: Math.min(b, nextOffset),
    flags: 0,
  }));

/** Every copy with one bit the other way round must be refused. */
function expectEveryFlipRefused(bytes: Buffer, decode: (flipped: Buffer) => unknown): void {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(decode(flipped), `bit ${bit}`).to.equal(undefined);
  }
}

describe('format', () => {
  it('gives back every mark, and takes none with a bit turned', () => {
    fc.assert(
      fc.property(aMark, (mark) => {
        const bytes = encodeHighWatermark(mark);
        expect(decodeHighWatermark(bytes)).to.deep.equal(mark);
        expectEveryFlipRefused(bytes, decodeHighWatermark);
      }),
      { numRuns: 30 },
    );
  });

  it('gives back every index entry, and takes none with a bit turned or of zeros', () => {
    const entry = fc.record({ offset: anOffset, position: anOffset, lengthField: fc.nat(0xffffffff) });
    fc.assert(
      fc.property(entry, (value) => {
        const bytes = Buffer.alloc(INDEX_ENTRY_BYTES);
        encodeIndexEntry(bytes, 0, value);
        expect(decodeIndexEntry(bytes, 0)).to.deep.equal(value);
        expectEveryFlipRefused(bytes, (flipped) => decodeIndexEntry(flipped, 0));
      }),
      { numRuns: 30 },
    );
    expect(decodeIndexEntry(Buffer.alloc(INDEX_ENTRY_BYTES), 0)).to.equal(undefined);
  });

  it('gives back every place of a group, and takes none with a bit turned', () => {
    fc.assert(
      fc.property(fc.record({ nextOffset: anOffset, storedAt: aTime }), (group) => {
        const bytes = encodeGroupPosition(group);
        expect(decodeGroupPosition(bytes)).to.deep.equal(group);
        expectEveryFlipRefused(bytes, decodeGroupPosition);
      }),
      { numRuns: 30 },
    );
  });

  it('gives back every count, and takes no number in two ways', () => {
    fc.assert(
      fc.property(anOffset, (count) => {
        const bytes = encodeLeb128(count);
        expect(decodeLeb128(bytes, 0)).to.deep.equal({ value: count, end: bytes.length });
        const longer = Uint8Array.of(...bytes, 0);
        longer[bytes.length - 1]! |= 0x80;
        expect(decodeLeb128(longer, 0), 'a last group of zero').to.equal(undefined);
        expect(decodeLeb128(bytes.subarray(0, -1), 0), 'cut off').to.equal(undefined);
      }),
    );
  });

  it('decodes any bytes to a value or to nothing, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (array) => {
        const bytes = Buffer.from(array);
        decodeHighWatermark(bytes);
        decodeGroupPosition(bytes.subarray(0, 24));
        decodeIndexEntry(bytes, 0);
        decodeFrameHeader(bytes, 0);
        decodeLeb128(bytes, 0);
      }),
    );
  });

  it('has the CRC-32 of zlib, whatever the length, in one piece or in two', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat(2000), (array, cut) => {
        const bytes = Buffer.from(array);
        expect(crc32(bytes)).to.equal(zlibCrc32(bytes));
        expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).to.equal(zlibCrc32(bytes));
      }),
    );
  });

  it('binds a frame to its offset, which can be solved for and nothing else checks out', () => {
    const aFrame = fc.record({
      kind: fc.constantFrom(0, 1, 3),
      offset: anOffset,
      timestamp: aTime,
      payload: fc.uint8Array({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(aFrame, anOffset, (frame, elsewhere) => {
        const bytes = Buffer.alloc(FRAME_HEADER_BYTES + frame.payload.length);
        expect(encodeFrame(bytes, 0, frame)).to.equal(bytes.length);
        const header = decodeFrameHeader(bytes, 0);
        expect(header).to.include({
          kind: frame.kind,
          payloadBytes: frame.payload.length,
          timestamp: frame.timestamp,
          checksum: frameChecksum(bytes, frame.offset),
        });
        expect(
          solveFrameOffset(bytes.subarray(0, FRAME_HEADER_BYTES), {
            payloadChecksum: zlibCrc32(frame.payload),
            highWord: Math.floor(frame.offset / 2 ** 32),
          }),
        ).to.equal(frame.offset);
        const [high, low] = [Math.floor(elsewhere / 2 ** 32), elsewhere % 2 ** 32];
        if (high === Math.floor(frame.offset / 2 ** 32) && low !== frame.offset % 2 ** 32)
          expect(frameChecksum(bytes, elsewhere)).not.to.equal(header.checksum);
      }),
    );
  });
});
