/**
 * Several records in a row that one flipped bit each has damaged: `recover --try-bitflip` brings all of them back, wherever
 * the bits are.
 */
import { expect } from 'chai';
import { join } from 'node:path';
import { encodeFrame, FRAME_KIND } from '../../../src/engine/format/frame.ts';
import { explainPosition } from '../../../src/engine/inspection/explain.ts';
import { framePositions, lostOffsets, RecoveryScene } from '../../support/recovery-scene.ts';

const SEALED = '00000000000000000002.store';
const ACTIVE = '00000000000000000012.store';

/** Bytes of a header's fields and of a payload, and a bit of each: of Length only such as leave it in the store. */
const PLACES = [
  [2, 0],
  [3, 1],
  [3, 6],
  [11, 0],
  [14, 7],
  [17, 3],
] as const;

describe('neighbours that one flipped bit each has damaged', () => {
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fill([[2], [4, 3, 3], [4, 3, 3]], {
      payload: (offset) => Buffer.from(`record ${offset} `.padEnd(40 + ((offset * 7) % 29), '.')),
    });
  });

  after(() => {
    scene.remove();
  });

  /** Flips a bit of each of these frames. */
  function flipped(
    name: string,
    hits: readonly (readonly [frame: number, byte: number, bit: number])[],
  ): Buffer {
    const store = Buffer.from(scene.healthy.get(name) as Buffer);
    const starts = framePositions(store);
    for (const [frame, byte, bit] of hits) {
      const at = (starts[frame] as number) + byte;
      store[at] = (store[at] as number) ^ (1 << bit);
    }
    return store;
  }

  async function expectBack(title: string, name: string, store: Buffer, withIndex: boolean): Promise<void> {
    const changes = new Map<string, Buffer | undefined>([[name, store]]);
    if (!withIndex)
      for (const each of scene.healthy.keys()) if (each.endsWith('.index')) changes.set(each, undefined);
    scene.reset(changes);
    const preview = await scene.recover({ tryBitFlip: true, dryRun: true });
    const done = await scene.recover({ tryBitFlip: true });
    expect([...preview.repairs], title).to.deep.equal([...done.repairs]);
    const others = [...done.repairs].filter(
      ({ code, repair }) => !code.startsWith('index_') && !repair.startsWith('one bit'),
    );
    expect(others, title).to.deep.equal([]);
    expect([...lostOffsets(done)], title).to.deep.equal([]);
    expect(scene.stores().get(name), title).to.equal((scene.healthy.get(name) as Buffer).toString('hex'));
    await scene.undoAll();
    expect(scene.stores().get(name), title).to.equal(store.toString('hex'));
  }

  for (const withIndex of [true, false])
    for (const name of [SEALED, ACTIVE])
      it(`are both brought back, wherever the bits are, in ${name} ${withIndex ? 'with' : 'without'} its index`, async () => {
        for (const first of [0, 4, 8])
          for (const one of PLACES)
            for (const other of PLACES) {
              const store = flipped(name, [
                [first, ...one],
                [first + 1, ...other],
              ]);
              const title = `byte ${one[0]} of frame ${first}, byte ${other[0]} of the next`;
              await expectBack(title, name, store, withIndex);
            }
      });

  it('are all brought back where there are many, and with them the good one between two', async () => {
    const all = Array.from({ length: 8 }, (_, number) => [1 + number, 2 + number, number % 8] as const);
    await expectBack('eight in a row', SEALED, flipped(SEALED, all), false);
    const around = flipped(SEALED, [
      [3, 2, 0],
      [5, 2, 0],
    ]);
    await expectBack('one between two', SEALED, around, false);
  });

  it('are brought back around one that no bit explains, which alone becomes a gap', async () => {
    const store = flipped(SEALED, [
      [3, 17, 1],
      [4, 18, 1],
      [4, 19, 2],
      [5, 20, 3],
    ]);
    scene.reset(new Map([[SEALED, store]]));
    const lost = lostOffsets(await scene.recover({ tryBitFlip: true }));
    expect([...lost]).to.deep.equal([6]);
    expect(await scene.differences(lost)).to.deep.equal([]);
  });

  it('are brought back beside frames that were exchanged in one place with them', async () => {
    const store = flipped(SEALED, [[5, 20, 3]]);
    const [start, middle, end] = framePositions(store).slice(3, 6) as [number, number, number];
    const swapped = [
      store.subarray(0, start),
      store.subarray(middle, end),
      store.subarray(start, middle),
      store.subarray(end),
    ];
    scene.reset(new Map([[SEALED, Buffer.concat(swapped)]]));
    expect([...(await scene.recover({ tryBitFlip: true })).lost]).to.deep.equal([]);
    expect(scene.stores().get(SEALED)).to.equal((scene.healthy.get(SEALED) as Buffer).toString('hex'));
  });

  it('are left where more is put back without them', async () => {
    const store = flipped(SEALED, [[4, 20, 3]]);
    const [start, middle, end, behind] = framePositions(store).slice(3, 7) as [
      number,
      number,
      number,
      number,
    ];
    const exchanged = [
      store.subarray(0, start),
      store.subarray(end, behind),
      store.subarray(middle, end),
      store.subarray(start, middle),
      Buffer.alloc(20, 'x'),
      store.subarray(behind),
    ];
    scene.reset(new Map([[SEALED, Buffer.concat(exchanged)]]));
    const lost = lostOffsets(await scene.recover({ tryBitFlip: true }));
    expect([...lost]).to.deep.equal([6]);
    expect(await scene.differences(lost)).to.deep.equal([]);
  });

  it('are not made of a frame with which times would go back', async () => {
    const store = flipped(SEALED, []);
    const start = framePositions(store)[3] as number;
    const payload = store.subarray(start + 16, framePositions(store)[4]);
    encodeFrame(store, start, {
      kind: FRAME_KIND.record,
      offset: 5,
      timestamp: 4_000_000_000_000,
      payload: Buffer.from(payload),
    });
    store[start + 17] = (store[start + 17] as number) ^ 1;
    scene.reset(new Map([[SEALED, store]]));
    expect([...(await scene.recover({ tryBitFlip: true })).lost]).to.deep.equal([{ from: 5, to: 6 }]);
  });

  it('are each explained by inspect-segment, and the good one between them is not', () => {
    const store = flipped(SEALED, [
      [3, 2, 0],
      [5, 2, 0],
    ]);
    scene.reset(
      new Map([
        [SEALED, store],
        [SEALED.replace('store', 'index'), undefined],
      ]),
    );
    const path = join(scene.directory, SEALED);
    const starts = framePositions(scene.healthy.get(SEALED) as Buffer);
    for (const [frame, isHit] of [
      [3, true],
      [4, false],
      [5, true],
    ] as const) {
      const start = starts[frame] as number;
      const { reasons } = explainPosition(path, start, { checksum: 'crc32' });
      expect(reasons.join(' ').includes(`With byte ${start + 2} changed`), `frame ${frame}`).to.equal(isHit);
      expect(reasons.join(' ').includes('With byte'), `frame ${frame}`).to.equal(isHit);
    }
  });
});
