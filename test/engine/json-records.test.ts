import { expect } from 'chai';
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { frameLinesAhead } from '../../src/engine/framed-lines.ts';
import { GroupGather } from '../../src/engine/group-gather.ts';
import { createKernel } from '../../src/engine/kernel/index.ts';
import { lineForm } from '../../src/engine/record-text.ts';
import { LinesSource } from '../../src/engine/record-sources.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** Bytes that are text, that are none, and that look like the other. */
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom('\ufffd', 'a\ufffdb', '', '"\\\n\u2028\u0000', '\ufeffBOM')
    .map((text) => Buffer.from(text)),
  fc.constantFrom(Buffer.from([0xef, 0xbf, 0xbd, 0xff]), Buffer.from([0xed, 0xa0, 0x80])),
);

function payloadAsJson(bytes: Uint8Array): object {
  const payload = Buffer.from(bytes);
  return isUtf8(payload) ? { payload: payload.toString() } : { payload_base64: payload.toString('base64') };
}

/** The records of one append as lines of JSON. */
function linesOf(
  payloads: readonly Uint8Array[],
  { offset, timestamp }: { offset: number; timestamp: number },
): string {
  const lines = payloads.map((bytes, number) =>
    JSON.stringify({
      type: 'record',
      topic: TOPIC,
      offset: offset + number,
      timestamp,
      ...payloadAsJson(bytes),
    }),
  );
  return `${lines.join('\n')}\n`;
}

describe('LogReader.readText', () => {
  let scratch: ScratchTopic;

  before(() => {
    scratch = new ScratchTopic();
  });

  after(() => {
    scratch.remove();
  });

  it('gives byte for byte what each record gives by itself, whatever its bytes', async () => {
    const topic = await scratch.open();
    await fc.assert(
      fc.asyncProperty(fc.array(payload, { minLength: 1, maxLength: 20 }), async (payloads) => {
        const { offset, timestamp } = await topic.append(payloads.map((bytes) => Buffer.from(bytes)));
        const reader = await topic.openReader({ from: offset });
        const step = reader.readText(
          { maxBytes: 1024 * 1024, maxRecords: Infinity, untilOffset: Infinity },
          lineForm(TOPIC),
        );
        reader.close();
        expect(step).to.include({ type: 'records', recordCount: payloads.length, isCut: false });
        expect(step.type === 'records' ? step.bytes.toString() : '').to.equal(
          linesOf(payloads, { offset, timestamp }),
        );
      }),
      { numRuns: 60 },
    );
    await topic.close();
  });

  it('gives a record whose text is larger than all that the kernel has room for, and those around it', async () => {
    const topic = await scratch.open();
    // Each byte is written as six.
    const payloads = [Buffer.from('before'), Buffer.alloc(6 * 1024 * 1024, 1), Buffer.from('behind')];
    const { offset, timestamp } = await topic.append(payloads);
    const reader = await topic.openReader({ from: offset });
    const limits = { maxBytes: 16 * 1024 * 1024, maxRecords: Infinity, untilOffset: Infinity };
    const step = reader.readText(limits, lineForm(TOPIC));
    reader.close();
    await topic.close();
    expect(step).to.include({ type: 'records', recordCount: 3, isCut: false });
    const text = step.type === 'records' ? step.bytes.toString() : '';
    expect(text === linesOf(payloads, { offset, timestamp })).to.equal(true);
  });

  it('leaves out what is not before a time, and says so', async () => {
    const topic = await scratch.open();
    const early = await topic.append([Buffer.from('early')]);
    while (Date.now() <= early.timestamp) await new Promise(setImmediate);
    await topic.append([Buffer.from('late')]);
    const reader = await topic.openReader({ from: early.offset });
    const limits = { maxBytes: 4096, maxRecords: Infinity, untilOffset: Infinity };
    const step = reader.readText(limits, lineForm(TOPIC), early.timestamp + 1);
    reader.close();
    await topic.close();
    const frameBytes = 16 + 'early'.length;
    expect(step).to.include({ recordCount: 1, frameBytes, isCut: true, nextOffset: early.offset + 1 });
  });
});

describe('frameLinesAhead', () => {
  it('makes the frames that LinesSource makes of the same bytes, wherever the body was cut into pieces', () => {
    const kernel = createKernel();
    const other = createKernel();
    const line = fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 1, maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 }),
        (lines, cuts) => {
          const body = Buffer.concat(lines.map((bytes) => Buffer.concat([bytes, Buffer.from('\n')])));
          const chunks: Buffer[] = [];
          for (let at = 0, cut = 0; at < body.length; cut++) {
            const end = at + cuts[cut % cuts.length]!;
            chunks.push(body.subarray(at, end));
            at = end;
          }
          const stamp = { firstOffset: 7, timestamp: 1_700_000_000_000 };
          const framed = frameLinesAhead(kernel, chunks, stamp);
          const source = new LinesSource(body);
          source.frameInto(other, framed.frames.start, stamp);
          expect(framed.recordCount).to.equal(source.recordCount);
          expect(framed.frames.end - framed.frames.start).to.equal(source.frameBytes);
          const bytesIn = (memory: Buffer): Buffer => memory.subarray(framed.frames.start, framed.frames.end);
          expect(bytesIn(kernel.memory).equals(bytesIn(other.memory))).to.equal(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('GroupGather', () => {
  it('lets nobody wait before there was a group, nor one caller that comes again and again', () => {
    const gather = new GroupGather();
    expect(gather.wait(1)).to.equal(undefined);
    gather.noteGroup({ appendCount: 1, waitingCount: 0, syncMs: 50 });
    expect(gather.wait(1)).to.equal(undefined);
  });

  it('waits for all callers where a sync is long, for half where it is short, and goes on when they are there', async () => {
    const gather = new GroupGather();
    gather.noteGroup({ appendCount: 40, waitingCount: 24, syncMs: 1000 });
    expect(gather.wait(64)).to.equal(undefined);
    const waiting = gather.wait(63);
    gather.noteArrival(64);
    await waiting;
    gather.noteGroup({ appendCount: 40, waitingCount: 24, syncMs: 1 });
    expect(gather.wait(32)).to.equal(undefined);
    expect(gather.wait(31)).to.not.equal(undefined);
  });

  it('waits no longer than a part of a sync for callers that do not come back', async () => {
    const gather = new GroupGather();
    gather.noteGroup({ appendCount: 64, waitingCount: 0, syncMs: 40 });
    const began = performance.now();
    await gather.wait(1);
    expect(performance.now() - began).to.be.within(9, 1000);
  });
});
