/**
 * Good frames behind damage that other good frames contradict: doubled ones, and frames inside payloads. What stands whole
 * on the disk is kept, and nothing that somebody stored is taken for a record of the log.
 */
import { expect } from 'chai';
import { encodeFrame, FRAME_KIND } from '../../../src/engine/format/frame.ts';
import { framePositions, lostOffsets, RecoveryScene } from '../../support/recovery-scene.ts';

const SEALED = '00000000000000000002.store';
const ACTIVE = '00000000000000000032.store';
const LATER = 4_000_000_000_000;
const JUNK = Buffer.from('eleven junk');

/** A store that holds offsets `from` to before `to`. */
function storeOf(from: number, to: number, timestamp: number): Buffer {
  const bytes = Buffer.alloc((to - from) * 40);
  let at = 0;
  for (let offset = from; offset < to; offset++)
    at = encodeFrame(bytes, at, {
      kind: FRAME_KIND.record,
      offset,
      timestamp,
      payload: Buffer.from(`foreign ${offset}`.padEnd(24)),
    });
  return bytes;
}

describe('chains of good frames that contradict one another', () => {
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fillInTime([[2], [10, 10, 10], [10, 10, 10]], {
      payload: (offset, clock) => {
        // Of the same time as the record itself; of a later time than any.
        if (offset === 20) return storeOf(10, 13, clock + 10);
        if (offset === 25) return storeOf(26, 29, LATER);
        if (offset === 30) return storeOf(29, 31, LATER);
        if (offset === 59) return storeOf(60, 63, clock + 10);
        return Buffer.from(`record ${offset} `.padEnd(40 + ((offset * 7) % 29), '.'));
      },
    });
  });

  after(() => {
    scene.remove();
  });

  /** The frames of a store, to be put together otherwise. */
  function framesOf(name: string): Buffer[] {
    const store = scene.healthy.get(name) as Buffer;
    const positions = framePositions(store);
    return positions.slice(0, -1).map((start, number) => store.subarray(start, positions[number + 1]));
  }

  /** Recovers the log with another content of one store, and expects that these offsets are lost and all else is there. */
  async function expectLost(
    title: string,
    damage: { name: string; frames: readonly Buffer[]; withIndex: boolean },
    expected: readonly number[],
  ): Promise<void> {
    const changes = new Map<string, Buffer | undefined>([[damage.name, Buffer.concat(damage.frames)]]);
    if (!damage.withIndex)
      for (const name of scene.healthy.keys()) if (name.endsWith('.index')) changes.set(name, undefined);
    scene.reset(changes);
    const lost = lostOffsets(await scene.recover());
    expect([...lost], title).to.deep.equal(expected);
    expect(await scene.differences(lost), title).to.deep.equal([]);
  }

  for (const withIndex of [true, false])
    for (const name of [SEALED, ACTIVE])
      it(`lose nothing where bytes came in and frames are doubled behind them, in ${name} ${withIndex ? 'with' : 'without'} its index`, async () => {
        const frames = framesOf(name);
        for (let first = 1; first < frames.length; first += 3)
          for (const count of [1, 4]) {
            const doubled = frames.slice(first, first + count);
            const all = [frames[0]!, JUNK, ...frames.slice(1, first), ...doubled, ...frames.slice(first)];
            await expectLost(`frames ${first} and on`, { name, frames: all, withIndex }, []);
          }
      });

  it('lose no frame that was exchanged with one that stands right behind doubled ones', async () => {
    const frames = framesOf(SEALED);
    for (const count of [1, 3]) {
      const doubled = frames.slice(12 - count, 12);
      const exchanged = frames.with(1, frames[13]!).with(13, frames[1]!);
      const all = [...exchanged.slice(0, 12), ...doubled, ...exchanged.slice(12)];
      await expectLost(`${count} doubled`, { name: SEALED, frames: all, withIndex: false }, []);
    }
  });

  it('lose nothing to a shorter one that stands in a damaged record behind them', async () => {
    const frames = framesOf(SEALED);
    const hit = Buffer.from(frames[18]!);
    hit[14] = hit[14]! ^ 1;
    const all = [...frames.slice(0, 5), JUNK, ...frames.slice(5, 18), hit, ...frames.slice(19)];
    await expectLost('record 20', { name: SEALED, frames: all, withIndex: false }, [20]);
  });

  it('invent nothing where the payload of a doubled record claims the offsets behind it', async () => {
    const frames = framesOf(ACTIVE);
    const all = [...frames.slice(0, 28), frames[27]!, ...frames.slice(28), JUNK];
    await expectLost('record 59', { name: ACTIVE, frames: all, withIndex: false }, []);
  });

  it('invent nothing where times would go back behind a payload that claims just what is missing', async () => {
    const frames = framesOf(SEALED);
    const hit = Buffer.from(frames[23]!);
    hit[2] = hit[2]! ^ 0x40;
    const all = [...frames.slice(0, 23), hit, ...frames.slice(27)];
    await expectLost('record 25', { name: SEALED, frames: all, withIndex: false }, [25, 26, 27, 28]);
  });

  it('invent nothing where a payload leads to a frame that the index names, and is later than that', async () => {
    const frames = framesOf(SEALED);
    const hit = frames.slice(27, 29).map((frame) => Buffer.from(frame));
    for (const frame of hit) frame[2] = frame[2]! ^ 0x40;
    const all = [...frames.slice(0, 27), ...hit, ...frames.slice(29)];
    await expectLost('records 29 and 30', { name: SEALED, frames: all, withIndex: true }, [29, 30]);
  });
});
