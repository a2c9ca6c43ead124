/**
 * Records as JSON text: the WebAssembly kernel against its reference, over bytes that are text, that nearly are, and that
 * need escapes.
 */
import { expect } from 'chai';
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { encodeFrame } from '../../../src/engine/format/frame.ts';
import { KERNEL_OUTPUT } from '../../../src/engine/kernel/index.ts';
import type { RecordTextForm } from '../../../src/engine/kernel/kernel.ts';
import {
  both,
  expectUntouchedBehind,
  fillInput,
  framesOf,
  kernel,
  offsets,
  reference,
} from './both-kernels.ts';

/** Bytes that are text, nearly text, or need escapes; and offsets on both sides of one digit more. */
const textPayloads = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 60 }).map((characters) => Buffer.from(characters)),
  fc
    .array(fc.constantFrom('"', '\\', '\n', '\u0001', '\u007f', 'a', 'é', '€', '\ud83d\ude00', '\ufffd'), {
      maxLength: 60,
    })
    .map((characters) => Buffer.from(characters.join(''))),
  fc
    .array(
      fc.constantFrom(
        0x61,
        0xc1,
        0xc2,
        0xe0,
        0xed,
        0xef,
        0xf0,
        0xf4,
        0xf5,
        0x80,
        0x8f,
        0x90,
        0x9f,
        0xa0,
        0xbf,
      ),
      { maxLength: 5 },
    )
    .map((bytes) => Uint8Array.from(bytes)),
  fc.nat(300).map((length) => Buffer.alloc(length, 'plain text ')),
);
const textStores = framesOf(
  textPayloads,
  fc.oneof(offsets, fc.constantFrom(0, 7, 95, 999_990, 10 ** 15 - 3)),
);

const startTexts = fc.string({ minLength: 1, maxLength: 40 }).map((start) => Buffer.from(start));
const recordForms: fc.Arbitrary<RecordTextForm> = fc.record({
  starts: fc.oneof(fc.tuple(startTexts), fc.tuple(startTexts, startTexts)),
  end: fc.string({ maxLength: 20 }).map((end) => Buffer.from(end)),
});

const textOf = (memory: Buffer, end: number): string => memory.toString('latin1', KERNEL_OUTPUT.start, end);

describe('WasmKernel.emitText', () => {
  it('writes records as the JSON text that the reference makes, up to the first that is not text or is late enough', () => {
    fc.assert(
      fc.property(
        textStores,
        recordForms,
        fc.constantFrom(Infinity, -1000, 0, 2 ** 41),
        (store, form, untilTimestamp) => {
          fillInput(store.bytes);
          const input = { start: 0, end: store.bytes.length };
          const request = {
            input,
            firstOffset: store.firstOffset,
            untilTimestamp,
            output: KERNEL_OUTPUT,
            form,
          };
          const [ours, theirs] = both.map((each) => each.emitText(request));
          expect(ours).to.deep.equal(theirs);
          const [text, expected] = both.map(({ memory }) => textOf(memory, ours!.outputEnd));
          expect(text).to.equal(expected);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('takes exactly those sequences of bytes for text that are UTF-8', () => {
    const frame = Buffer.alloc(64);
    const form = { starts: [Buffer.from('{"offset":')], end: Buffer.from('}') } as const;
    for (let first = 0x7f; first <= 0xff; first++) {
      for (const second of [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0]) {
        for (const rest of [[], [0x80], [0xbf, 0x80], [0x80, 0xbf, 0x61], [0x80, 0xc0]]) {
          const payload = Uint8Array.of(first, second, ...rest);
          const end = encodeFrame(frame, 0, { kind: 0, offset: 5, timestamp: 7, payload });
          kernel.memory.set(frame);
          const input = { start: 0, end };
          const { stop } = kernel.emitText({
            input,
            firstOffset: 5,
            untilTimestamp: Infinity,
            output: KERNEL_OUTPUT,
            form,
          });
          expect(stop, Buffer.from(payload).toString('hex')).to.equal(isUtf8(payload) ? 'end' : 'not-text');
        }
      }
    }
  });

  it('stops before the record that might not fit the output, writes nothing behind it, and goes on with it', () => {
    fc.assert(
      fc.property(
        textStores,
        recordForms,
        fc.integer({ min: 400, max: 2000 }),
        (store, form, outputBytes) => {
          fillInput(store.bytes);
          const request = { firstOffset: store.firstOffset, untilTimestamp: Infinity, form };
          const input = { start: 0, end: store.bytes.length };
          const whole = reference.emitText({ ...request, input, output: KERNEL_OUTPUT });
          const expected = textOf(reference.memory, whole.outputEnd);
          const output = { start: KERNEL_OUTPUT.start, end: KERNEL_OUTPUT.start + outputBytes };
          let text = '';
          let done = { stop: 'output-full', inputEnd: 0, recordCount: 1 };
          for (let recordCount = 0; done.stop === 'output-full' && done.recordCount > 0;) {
            const part = kernel.emitText({
              ...request,
              input: { start: done.inputEnd, end: input.end },
              firstOffset: store.firstOffset + recordCount,
              output,
            });
            text += textOf(kernel.memory, part.outputEnd);
            recordCount += part.recordCount;
            done = part;
          }
          expectUntouchedBehind(output);
          if (done.stop === 'output-full') expect(expected.startsWith(text)).to.equal(true);
          else expect(text).to.equal(expected);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
