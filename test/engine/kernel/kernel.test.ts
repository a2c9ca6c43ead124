/**
 * The WebAssembly kernel against its reference: the same request over the same memory must give the same answer and
 * leave the same bytes.
 */
import { expect } from 'chai';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { encodeFrame } from '../../../src/engine/format/frame.ts';
import { KERNEL_ENTRIES, KERNEL_INPUT, KERNEL_OUTPUT } from '../../../src/engine/kernel/index.ts';
import type { FrameLinesRequest, Kernel } from '../../../src/engine/kernel/kernel.ts';
import { MAX_BATCH_BYTES, MAX_OFFSET } from '../../../src/engine/limits.ts';
import {
  both,
  expectUntouchedBehind,
  fillInput,
  framesOf,
  kernel,
  offsets,
  reference,
  WINDOW_BYTES,
} from './both-kernels.ts';

/** Runs the same on both and compares answers and memory. `length` bytes from each region's start are compared. */
function agree<T>(run: (kernel: Kernel) => T, length = WINDOW_BYTES): T {
  const [answer, expected] = [run(kernel), run(reference)];
  expect(answer).to.deep.equal(expected);
  for (const { start, end } of [KERNEL_INPUT, KERNEL_OUTPUT, KERNEL_ENTRIES]) {
    const compared = Math.min(end, start + length);
    const [ours, theirs] = both.map(({ memory }) => memory.subarray(start, compared));
    expect(ours?.equals(theirs as Buffer), `memory from ${start}`).to.equal(true);
  }
  return answer;
}

const timestamps = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 42 }),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -1, -MAX_OFFSET, MAX_OFFSET),
);

/** Few different bytes, so that delimiters come often and nearly come more often. */
const text = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc.array(fc.constantFrom(0, 10, 13, 97), { maxLength }).map((bytes) => Uint8Array.from(bytes)),
    fc.uint8Array({ maxLength }),
  );

const payloads = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  // On both sides of where zlib takes over.
  {
    weight: 1,
    arbitrary: fc.integer({ min: 2000, max: 2100 }).map((length) => new Uint8Array(length).fill(7)),
  },
);

const framings = fc.oneof(
  fc
    .constantFrom(Uint8Array.of(10), Uint8Array.of(0), Uint8Array.of(13, 10), Uint8Array.of(10, 10, 10))
    .map((delimiter) => ({ delimiter })),
  fc.uint8Array({ minLength: 1, maxLength: 20 }).map((delimiter) => ({ delimiter })),
  fc.constant('len32be' as const),
);

const stores = framesOf(payloads, offsets);

const damages = fc.oneof(
  fc.constant(undefined),
  fc.record({ at: fc.double({ min: 0, max: 0.999, noNaN: true }), xor: fc.integer({ min: 1, max: 255 }) }),
);

describe('WasmKernel', () => {
  it('frames lines and length-prefixed records as the reference does, wherever the input ends', () => {
    fc.assert(
      fc.property(
        fc.record({
          input: text(600),
          framing: framings,
          isFinal: fc.boolean(),
          firstOffset: offsets,
          timestamp: timestamps,
          maxRecordBytes: fc.oneof(fc.nat(40), fc.constant(MAX_BATCH_BYTES - 16)),
          outputBytes: fc.oneof(fc.nat(300), fc.constant(WINDOW_BYTES)),
          startsAt: fc.nat(20),
        }),
        ({ input, outputBytes, startsAt, ...rest }) => {
          fillInput(input, startsAt);
          const request: FrameLinesRequest = {
            ...rest,
            input: { start: startsAt, end: startsAt + input.length },
            output: { start: KERNEL_OUTPUT.start, end: KERNEL_OUTPUT.start + outputBytes },
          };
          agree((each) => each.frameLines(request));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('frames length-prefixed records of every size', () => {
    fc.assert(
      fc.property(
        fc.array(payloads, { maxLength: 10 }),
        fc.nat(40),
        fc.boolean(),
        timestamps,
        (records, missingBytes, isFinal, timestamp) => {
          const input = Buffer.concat(
            records.flatMap((payload) => {
              const length = Buffer.alloc(4);
              length.writeUInt32BE(payload.length);
              return [length, payload];
            }),
          ).subarray(0, -missingBytes || undefined);
          fillInput(input);
          agree((each) =>
            each.frameLines({
              input: { start: 0, end: input.length },
              output: KERNEL_OUTPUT,
              framing: 'len32be',
              isFinal,
              firstOffset: 7,
              timestamp,
              maxRecordBytes: MAX_BATCH_BYTES - 16,
            }),
          );
        },
      ),
    );
  });

  it('comes to the same frames however the input is cut into reads', () => {
    fc.assert(
      fc.property(text(400), fc.array(fc.nat(60), { maxLength: 12 }), (input, cuts) => {
        fillInput(input);
        const whole = agree((each) => each.frameLines(lines({ end: input.length, isFinal: true })));
        const frames = Buffer.from(kernel.memory.subarray(KERNEL_OUTPUT.start, whole.outputEnd));
        fillInput(input);
        let state = { inputEnd: 0, outputEnd: KERNEL_OUTPUT.start, recordCount: 0 };
        let seen = 0;
        for (const cut of [...cuts, input.length]) {
          seen = Math.min(input.length, seen + cut);
          const request = lines({
            ...state,
            start: state.inputEnd,
            end: seen,
            isFinal: seen === input.length,
          });
          const part = agree((each) => each.frameLines(request));
          state = { ...part, recordCount: state.recordCount + part.recordCount };
        }
        expect(state).to.include({ recordCount: whole.recordCount, inputEnd: input.length });
        expect(kernel.memory.subarray(KERNEL_OUTPUT.start, state.outputEnd).equals(frames)).to.equal(true);
      }),
    );
  });

  it('checks and emits frames as the reference does: whole, cut off, damaged, of other kinds, going back in time', () => {
    fc.assert(
      fc.property(
        fc.record({
          store: stores,
          damage: damages,
          cutBytes: fc.oneof(fc.constant(0), fc.nat(60)),
          shift: fc.constantFrom(0, 0, 0, 1),
          untilAfter: fc.oneof(fc.constant(Infinity), fc.integer({ min: -2, max: 25 })),
          minTimestamp: fc.constantFrom(-Infinity, 0, 2 ** 41),
          framing: fc.oneof(framings, fc.constant({ delimiter: new Uint8Array() })),
          outputBytes: fc.oneof(fc.nat(400), fc.constant(WINDOW_BYTES)),
        }),
        ({ store, damage, cutBytes, shift, untilAfter, minTimestamp, framing, outputBytes }) => {
          const bytes = Buffer.from(store.bytes);
          if (damage !== undefined && bytes.length > 0) {
            const at = Math.floor(damage.at * bytes.length);
            bytes[at] = (bytes[at] as number) ^ damage.xor;
          }
          const end = Math.max(0, bytes.length - cutBytes);
          const request = {
            input: { start: 0, end },
            firstOffset: store.firstOffset + shift,
            untilOffset: store.firstOffset + untilAfter,
            minTimestamp,
          };
          fillInput(bytes);
          agree((each) => each.checkFrames(request));
          const output = { start: KERNEL_OUTPUT.start, end: KERNEL_OUTPUT.start + outputBytes };
          const [ours, theirs] = both.map((each) => each.emitPayloads({ ...request, output, framing }));
          expect(ours).to.deep.equal(theirs);
          // What lies behind the end of the output says nothing; behind the region nothing may be touched.
          const { outputEnd } = ours!;
          const [emitted, expected] = both.map(({ memory }) => memory.subarray(output.start, outputEnd));
          expect(emitted?.equals(expected!)).to.equal(true);
          expectUntouchedBehind(output);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('calls a frame bad for every single bit of it that is flipped, or for another kind, or incomplete', () => {
    const frame = Buffer.alloc(16 + 37);
    encodeFrame(frame, 0, {
      kind: 0,
      offset: 2 ** 33 + 5,
      timestamp: 1_700_000_000_000,
      payload: Buffer.alloc(37, 'x'),
    });
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const bytes = Buffer.from(frame);
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      fillInput(bytes);
      const { stop, recordCount } = agree((each) =>
        each.checkFrames({
          input: { start: 0, end: frame.length },
          firstOffset: 2 ** 33 + 5,
          untilOffset: Infinity,
          minTimestamp: -Infinity,
        }),
      );
      expect(recordCount).to.equal(0);
      expect(['bad', 'special', 'incomplete']).to.include(stop);
    }
  });

  it('refuses timestamps beyond 2^53 − 1, whose checksum is right', () => {
    for (const stamp of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)]) {
      for (const [timestamp, stop] of [
        [stamp, 'bad'],
        [stamp > 0n ? 2n ** 53n - 1n : 1n - 2n ** 53n, 'end'],
      ] as const) {
        const frame = frameStamped(timestamp);
        fillInput(frame);
        const result = agree((each) =>
          each.checkFrames({
            input: { start: 0, end: frame.length },
            firstOffset: 0,
            untilOffset: Infinity,
            minTimestamp: -Infinity,
          }),
        );
        expect(result.stop).to.equal(stop);
      }
    }
  });

  it('stamps and indexes frames as the reference does', () => {
    fc.assert(
      fc.property(
        fc.record({
          store: stores,
          firstOffset: offsets,
          timestamp: timestamps,
          position: fc.oneof(fc.nat(5000), fc.integer({ min: 2 ** 32 - 100, max: 2 ** 32 + 100 })),
          ahead: fc.nat(200),
          intervalBytes: fc.integer({ min: 64, max: 2000 }),
        }),
        ({ store, firstOffset, timestamp, position, ahead, intervalBytes }) => {
          const frames = { start: 0, end: store.bytes.length };
          fillInput(store.bytes);
          agree((each) => {
            each.stampFrames({ frames, firstOffset, timestamp });
          });
          agree((each) =>
            each.indexFrames({
              frames,
              firstOffset,
              position,
              nextEntryPosition: position + ahead,
              intervalBytes,
              output: KERNEL_ENTRIES,
            }),
          );
        },
      ),
    );
  });

  it('takes the largest record there may be, and one that is a byte larger not', () => {
    const largest = MAX_BATCH_BYTES - 16;
    for (const [extraBytes, stop] of [
      [0, 'input-exhausted'],
      [1, 'record-too-large'],
    ] as const) {
      const inputBytes = largest + extraBytes;
      for (const { memory } of both) memory.fill('line', 0, inputBytes);
      const result = agree(
        (each) => each.frameLines(lines({ end: inputBytes, isFinal: true })),
        MAX_BATCH_BYTES,
      );
      expect(result.stop).to.equal(stop);
    }
  });

  it('answers an empty input at once', () => {
    fillInput(new Uint8Array());
    expect(agree((each) => each.frameLines(lines({ end: 0, isFinal: true })))).to.deep.equal({
      stop: 'input-exhausted',
      recordCount: 0,
      inputEnd: 0,
      outputEnd: KERNEL_OUTPUT.start,
    });
    const request = { input: { start: 5, end: 5 }, firstOffset: 9, untilOffset: 10, minTimestamp: 3 };
    expect(agree((each) => each.checkFrames(request))).to.deep.equal({
      stop: 'end',
      recordCount: 0,
      inputEnd: 5,
      nextOffset: 9,
      lastTimestamp: 3,
    });
  });

  it('refuses a region outside of those there are, which would overwrite its tables', () => {
    const outside = { start: KERNEL_ENTRIES.start, end: KERNEL_ENTRIES.end + 1 };
    expect(() => kernel.frameLines({ ...lines({ end: 1, isFinal: true }), output: outside })).to.throw(
      RangeError,
    );
  });
});

function lines(state: {
  start?: number;
  end: number;
  isFinal: boolean;
  outputEnd?: number;
  recordCount?: number;
}): FrameLinesRequest {
  return {
    input: { start: state.start ?? 0, end: state.end },
    output: { start: state.outputEnd ?? KERNEL_OUTPUT.start, end: KERNEL_OUTPUT.end },
    framing: { delimiter: Uint8Array.of(10) },
    isFinal: state.isFinal,
    firstOffset: state.recordCount ?? 0,
    timestamp: 1_700_000_000_000,
    maxRecordBytes: MAX_BATCH_BYTES - 16,
  };
}

/** An empty record whose timestamp need not be a safe integer. */
function frameStamped(timestamp: bigint): Buffer {
  const frame = Buffer.alloc(16);
  // The kernel stamps what it is told, which is how a checksum for such a frame is had.
  frame.writeBigInt64BE(timestamp, 4);
  const prefix = Buffer.alloc(20);
  frame.copy(prefix, 8, 0, 12);
  frame.writeUInt32BE(crc32(prefix), 12);
  return frame;
}
