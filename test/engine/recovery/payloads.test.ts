/**
 * Records whose payloads are stores: whatever is damaged, none of what somebody stored is ever taken for a record of the
 * log itself.
 */
import { expect } from 'chai';
import { encodeFrame, FRAME_KIND } from '../../../src/engine/format/frame.ts';
import { framePositions, lostOffsets, RecoveryScene } from '../../support/recovery-scene.ts';
import { note } from '../../support/scratch-topic.ts';
import type { Seen } from '../../support/scratch-topic.ts';

const LATER = 4_000_000_000_000;

/** A store that holds offsets `from` to before `to`, all of it later than anything in the log. */
function storeOf(from: number, to: number): Buffer {
  const bytes = Buffer.alloc((to - from) * 40);
  let at = 0;
  for (let offset = from; offset < to; offset++)
    at = encodeFrame(bytes, at, {
      kind: FRAME_KIND.record,
      offset,
      timestamp: LATER,
      payload: Buffer.from(`foreign ${offset}`.padEnd(24)),
    });
  return bytes;
}

const SEALED = '00000000000000000003.store';

describe('recover, where payloads are stores', () => {
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fill([[3], [2, 2, 2, 2], [2]], {
      payload: (offset) => {
        // Such as begin before, at and behind their own offset, and such as go on behind the segment.
        if (offset === 4) return storeOf(0, 9);
        if (offset === 6) return storeOf(7, 10);
        if (offset === 8) return storeOf(8, 40);
        if (offset === 10) return storeOf(10, 11);
        return Buffer.from(`record ${offset}`.padEnd(30, '.'));
      },
    });
  });

  after(() => {
    scene.remove();
  });

  /** What `consume --on-damage skip` reads of the damaged log. */
  async function skipped(): Promise<Map<number, Seen>> {
    const topic = await scene.scratch.dataDirectory(scene.fileSystem).openTopic('t', { mode: 'read' });
    const seen = new Map<number, Seen>();
    const reader = await topic.openReader({ from: 0, onDamage: 'skip' });
    try {
      for (;;) {
        const step = reader.read({ maxBytes: 1024, maxRecords: 1, untilOffset: Infinity });
        if (step.type === 'end') return seen;
        if (step.type !== 'records') continue;
        for (const { offset, timestamp, payload } of step.records)
          note(seen, { type: 'record', offset, timestamp, payload });
      }
    } finally {
      reader.close();
      await topic.close();
    }
  }

  const indexes = (): [string, undefined][] =>
    [...scene.healthy.keys()].filter((name) => name.endsWith('.index')).map((name) => [name, undefined]);

  for (const withIndex of [true, false]) {
    describe(withIndex ? 'with its index' : 'without any index', () => {
      it('loses the record that was hit, by a flip in its Length or behind it, and invents none', async () => {
        const bytes = scene.healthy.get(SEALED) as Buffer;
        const frames = framePositions(bytes);
        for (const [number, start] of frames.slice(0, -1).entries()) {
          for (const [at, bit] of [
            [0, 1],
            [1, 128],
            [2, 1],
            [2, 64],
            [3, 4],
            [3, 32],
            [7, 1],
            [13, 1],
            [20, 1],
          ] as const) {
            const damaged = Buffer.from(bytes);
            damaged[start + at] = damaged[start + at]! ^ bit;
            scene.reset(new Map([[SEALED, damaged], ...(withIndex ? [] : indexes())]));
            const title = `frame ${number}, byte ${at}`;
            const read = await skipped();
            const hit = 3 + number;
            for (const [offset, text] of scene.seen)
              expect(read.get(offset), `${title}: skip, offset ${offset}`).to.equal(
                offset === hit ? undefined : text,
              );
            const lost = lostOffsets(await scene.recover());
            expect([...lost], title).to.deep.equal([hit]);
            expect(await scene.differences(lost), title).to.deep.equal([]);
          }
        }
      });

      it('loses just the two records of two holes (and one alone between them), wherever they are', async () => {
        const bytes = scene.healthy.get(SEALED) as Buffer;
        const frames = framePositions(bytes);
        // The last record's payload is the very frame that could stand there: with a second hole before it nobody can tell.
        const count = frames.length - 2;
        for (let first = 0; first < count; first++)
          for (let second = first + 1; second < count; second++) {
            const damaged = Buffer.from(bytes);
            for (const number of [first, second]) {
              const at = frames[number]! + 2;
              damaged[at] = damaged[at]! ^ 0x40;
            }
            scene.reset(new Map([[SEALED, damaged], ...(withIndex ? [] : indexes())]));
            const lost = lostOffsets(await scene.recover());
            // One frame alone between two holes has nothing behind it that confirms it, unless the index names it.
            if (second === first + 2) lost.delete(4 + first);
            expect([...lost], `${first} and ${second}`).to.deep.equal([3 + first, 3 + second]);
            const differences = await scene.differences(lost);
            expect(differences.filter((text) => text !== `${4 + first}: gap 1`)).to.deep.equal([]);
          }
      });
    });
  }
});
