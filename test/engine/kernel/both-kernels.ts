/**
 * The WebAssembly kernel and its reference side by side, and frames to give to both.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import { encodeFrame } from '../../../src/engine/format/frame.ts';
import {
  createKernel,
  KERNEL_ENTRIES,
  KERNEL_INPUT,
  KERNEL_OUTPUT,
} from '../../../src/engine/kernel/index.ts';
import type { Kernel } from '../../../src/engine/kernel/kernel.ts';
import { ReferenceKernel } from '../../../src/engine/kernel/reference.ts';
import { MAX_OFFSET } from '../../../src/engine/limits.ts';

/** What a case may touch of each region, and what is compared. */
export const WINDOW_BYTES = 64 * 1024;

/** Bytes that nobody wrote. */
const UNTOUCHED = 0xa5;

export const kernel = createKernel();
export const reference = new ReferenceKernel(Buffer.alloc(KERNEL_ENTRIES.end));
export const both: readonly Kernel[] = [kernel, reference];

export function fillInput(bytes: Uint8Array, at: number = KERNEL_INPUT.start): void {
  for (const { memory } of both) {
    memory.fill(UNTOUCHED, KERNEL_OUTPUT.start, KERNEL_OUTPUT.start + WINDOW_BYTES);
    memory.fill(UNTOUCHED, KERNEL_ENTRIES.start, KERNEL_ENTRIES.start + WINDOW_BYTES);
    memory.fill(UNTOUCHED, KERNEL_INPUT.start, KERNEL_INPUT.start + WINDOW_BYTES);
    memory.set(bytes, at);
  }
}

/** Holds the kernel to it that it wrote nothing behind the room that it was given for output. */
export function expectUntouchedBehind(output: { readonly end: number }): void {
  const behind = kernel.memory.subarray(output.end, KERNEL_OUTPUT.start + WINDOW_BYTES);
  expect(behind.every((byte) => byte === UNTOUCHED)).to.equal(true);
}

/** Offsets around the places where 32 bits end, and anywhere. */
export const offsets = fc.oneof(
  fc.nat(1000),
  fc.integer({ min: 2 ** 32 - 20, max: 2 ** 32 + 20 }),
  fc.integer({ min: 3 * 2 ** 32 - 20, max: 3 * 2 ** 32 }),
  fc.integer({ min: 0, max: MAX_OFFSET - WINDOW_BYTES }),
);

/** Frames as a store holds them, with the offset of the first and where each begins. */
export const framesOf = (payload: fc.Arbitrary<Uint8Array>, firstOffset: fc.Arbitrary<number>) =>
  fc
    .record({
      firstOffset,
      records: fc.array(fc.record({ payload, step: fc.constantFrom(0, 0, 0, 1, 1000) }), {
        maxLength: 20,
      }),
      timestamp: fc.integer({ min: -1000, max: 2 ** 42 }),
    })
    .map(({ firstOffset, records, timestamp }) => {
      const bytes = Buffer.alloc(records.reduce((sum, { payload }) => sum + 16 + payload.length, 0));
      const starts: number[] = [];
      let end = 0;
      let stamp = timestamp;
      for (const [index, { payload, step }] of records.entries()) {
        starts.push(end);
        stamp += step;
        end = encodeFrame(bytes, end, { kind: 0, offset: firstOffset + index, timestamp: stamp, payload });
      }
      return { firstOffset, timestamp, bytes, starts };
    });
