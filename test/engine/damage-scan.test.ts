/** Stores without an index, read on after damage: what is good is found, whatever is damaged around it. */
import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { scanStore } from '../../src/engine/damage-scan.ts';
import { encodeFrame, FRAME_KIND } from '../../src/engine/format/frame.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { ScratchTopic } from '../support/scratch-topic.ts';

const TIME = 2_000_000_000_000;
const BASE = 40;

function frameOf(
  offset: number,
  payload: Buffer = Buffer.from(`record ${offset}`.padEnd(30 + (offset % 7))),
): Buffer {
  const bytes = Buffer.alloc(16 + payload.length);
  encodeFrame(bytes, 0, { kind: FRAME_KIND.record, offset, timestamp: TIME, payload });
  return bytes;
}

/** One bit of its payload is another. */
function damaged(frame: Buffer): Buffer {
  const copy = Buffer.from(frame);
  copy[20] = (copy[20] as number) ^ 1;
  return copy;
}

describe('scanStore', () => {
  const scratch = new ScratchTopic();
  const fileSystem = new NodeFileSystem({ map: false });
  const path = `${scratch.directory}/scanned`;

  after(() => {
    scratch.remove();
  });

  /** Offsets of what is found good in a store of these frames, which ends at `endOffset`. */
  function goodOffsets(frames: readonly Buffer[], endOffset: number): number[] {
    writeFileSync(path, Buffer.concat(frames));
    const store = fileSystem.open(path, 'read');
    try {
      const offsets: number[] = [];
      scanStore(scratch.context(fileSystem), {
        store,
        baseOffset: BASE,
        position: 0,
        offset: BASE,
        endPosition: store.status().sizeBytes,
        endOffset,
        minTimestamp: -Infinity,
        visitor: {
          onRecords: (_frames, { offset }, recordCount) => {
            for (let number = 0; number < recordCount; number++) offsets.push(offset + number);
          },
        },
      });
      return offsets;
    } finally {
      store.close();
    }
  }

  it('loses of eight records those whose payloads are damaged, whichever they are, and none between them', () => {
    const frames = Array.from({ length: 8 }, (_, number) => frameOf(BASE + number));
    for (let damage = 0; damage < 2 ** frames.length; damage++) {
      const isDamaged = (number: number): boolean => ((damage >>> number) & 1) === 1;
      const good = goodOffsets(
        frames.map((frame, number) => (isDamaged(number) ? damaged(frame) : frame)),
        BASE + frames.length,
      );
      const wanted = frames.flatMap((_, number) => (isDamaged(number) ? [] : [BASE + number]));
      expect(good, damage.toString(2)).to.deep.equal(wanted);
    }
  });

  it('takes no frame of a payload for one of its own, where a damaged Length points just before it', () => {
    // What the damaged Length leads to: a damaged frame, and a good one of the offset behind the next.
    const inside = Buffer.concat([damaged(frameOf(BASE + 1)), frameOf(BASE + 2, Buffer.from('foreign'))]);
    const first = frameOf(BASE, Buffer.concat([Buffer.alloc(24, 'x'), inside, Buffer.alloc(24, 'x')]));
    first.writeUInt32BE(24, 0);
    const rest = [1, 2, 3, 4].map((number) => frameOf(BASE + number));
    expect(goodOffsets([first, ...rest], BASE + 5)).to.deep.equal(
      [1, 2, 3, 4].map((number) => BASE + number),
    );
    const second = damaged(rest[0] as Buffer);
    expect(goodOffsets([first, second, ...rest.slice(1)], BASE + 5)).to.deep.equal(
      [2, 3, 4].map((number) => BASE + number),
    );
  });
});
