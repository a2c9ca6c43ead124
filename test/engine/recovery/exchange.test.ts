/** Frames that stand in each other's places: what is put back, and what is left where there is a doubt. */
import { expect } from 'chai';
import { join } from 'node:path';
import { encodeFrame, FRAME_KIND, GAP_REASON } from '../../../src/engine/format/frame.ts';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  type HighWatermark,
} from '../../../src/engine/format/high-watermark.ts';
import { encodeLeb128 } from '../../../src/engine/format/leb128.ts';
import type { StandingFrame } from '../../../src/engine/damage-scan.ts';
import type { RegionDamage } from '../../../src/engine/recovery/damaged-region.ts';
import { partsByFlippedBits } from '../../../src/engine/recovery/bit-flip.ts';
import { exchangeFrames } from '../../../src/engine/recovery/exchange.ts';
import { planRecovery } from '../../../src/engine/recovery/plan.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { framePositions, lostOffsets, RecoveryScene, snapshotOf } from '../../support/recovery-scene.ts';

/** A frame that stands at byte `position` and checks out at `offset`. */
const frameAt = (position: number, offset: number, more: Partial<StandingFrame> = {}): StandingFrame => ({
  position,
  bytes: 40,
  offset,
  offsetCount: 1,
  timestamp: 1000,
  checksum: offset + 1,
  ...more,
});

/** A hole of one frame of 40 bytes where the record of `offset` is missing. */
function hole(
  offset: number,
  contents: { strays?: StandingFrame[]; moved?: StandingFrame[]; unexplainedCount?: number; count?: number },
  times: { before?: number; after?: number } = {},
): RegionDamage {
  const { strays = [], moved = [], unexplainedCount = 0, count = 1 } = contents;
  return {
    code: 'bad_checksum',
    baseOffset: 0,
    position: offset * 40,
    endPosition: (offset + count) * 40,
    offset,
    nextOffset: offset + count,
    timestamp: 1000,
    moved,
    exchange: {
      moved,
      strays,
      unexplainedCount,
      timestampBefore: times.before,
      timestampAfter: times.after,
    },
    checksum: 0,
    storeBytes: 10_000,
  };
}

/** What comes into each region from another: its offset, and where it stands. */
const comingInto = (regions: readonly RegionDamage[]): (readonly [number, number])[][] =>
  [...exchangeFrames(regions)].map(({ moved }) =>
    moved.flatMap(({ offset, position, source }) =>
      source === undefined ? [] : [[offset, position] as const],
    ),
  );

describe('exchangeFrames', () => {
  it('puts each of two frames into the place of the other, and says of both regions that they belong together', () => {
    const regions = [hole(2, { strays: [frameAt(80, 7)] }), hole(7, { strays: [frameAt(280, 2)] })];
    expect(comingInto(regions)).to.deep.equal([[[2, 280]], [[7, 80]]]);
    for (const region of exchangeFrames(regions))
      expect(region).to.include({ code: 'misplaced_frames', isExchanged: true, givenCount: 1 });
  });

  it('takes none where two that differ check out at one offset', () => {
    for (const other of [{ checksum: 99 }, { timestamp: 1001 }, { bytes: 41 }]) {
      const regions = [
        hole(2, {}),
        hole(7, { strays: [frameAt(280, 2)] }),
        hole(9, { strays: [frameAt(360, 2, other)] }),
      ];
      expect(comingInto(regions), JSON.stringify(other)).to.deep.equal([[], [], []]);
    }
  });

  it('takes one of two that are the same frame', () => {
    const regions = [
      hole(2, {}),
      hole(7, { strays: [frameAt(280, 2)] }),
      hole(9, { strays: [frameAt(360, 2)] }),
    ];
    expect(comingInto(regions)).to.deep.equal([[[2, 280]], [], []]);
  });

  it('takes none where so many check out nowhere that one might fit by accident', () => {
    const withUnexplained = (unexplainedCount: number): RegionDamage[] => [
      hole(2, {}),
      hole(7, { strays: [frameAt(280, 2)], unexplainedCount }),
    ];
    expect(comingInto(withUnexplained(2 ** 15 - 1))).to.deep.equal([[[2, 280]], []]);
    expect(comingInto(withUnexplained(2 ** 15))).to.deep.equal([[], []]);
  });

  it('takes none for an offset that is not missing, that a frame of the place itself has, or that reaches past it', () => {
    expect(comingInto([hole(2, {}), hole(7, { strays: [frameAt(280, 4)] })])).to.deep.equal([[], []]);
    const own = hole(2, { count: 2, moved: [frameAt(80, 3)] });
    expect(comingInto([own, hole(7, { strays: [frameAt(280, 3)] })])).to.deep.equal([[], []]);
    const tooMany = hole(7, { strays: [frameAt(280, 2, { offsetCount: 2 })] });
    expect(comingInto([hole(2, {}), tooMany])).to.deep.equal([[], []]);
  });

  it('takes none with which times would go back', () => {
    const from = hole(7, { strays: [frameAt(280, 2)] });
    expect(comingInto([hole(2, {}, { before: 1000, after: 1000 }), from])).to.deep.equal([[[2, 280]], []]);
    expect(comingInto([hole(2, {}, { before: 1001 }), from])).to.deep.equal([[], []]);
    expect(comingInto([hole(2, {}, { after: 999 }), from])).to.deep.equal([[], []]);
  });
});

describe('planRecovery', () => {
  it('flips no bit of a frame that is exchanged, and flips it where nothing is', () => {
    const flip = { position: 90, value: 1 };
    const planOf = (regions: RegionDamage[]): string[][] =>
      [
        ...planRecovery({
          topic: 't',
          generation: 1,
          startOffset: 0,
          regions,
          missingSegments: [],
          indexes: [],
          isSettingsUnsound: false,
          tryBitFlip: true,
        }).regions,
      ].map(({ layout }) => layout.parts.map(({ type }) => type));
    const first = { ...hole(2, { strays: [frameAt(80, 7)] }), flip };
    expect(planOf([first, hole(7, { strays: [frameAt(280, 2)] })])).to.deep.equal([['frame'], ['frame']]);
    expect(planOf([first])).to.deep.equal([['byte']]);
  });
});

describe('the first frames of two segments, exchanged', () => {
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fill([[3], [4], [4]], {
      payload: (offset) => Buffer.from(`record ${offset} `.padEnd(40, '.')),
    });
  });

  after(() => {
    scene.remove();
  });

  for (const tryBitFlip of [false, true])
    it(`are put back, no store renamed${tryBitFlip ? ', with --try-bitflip too' : ''}`, async () => {
      const stores = [...scene.healthy].filter(([name]) => name.endsWith('.store'));
      for (const [one, [left, leftBytes]] of stores.entries())
        for (const [right, rightBytes] of stores.slice(one + 1)) {
          const [end] = framePositions(leftBytes).slice(1);
          const put = (frame: Buffer, into: Buffer): Buffer =>
            Buffer.concat([frame.subarray(0, end), into.subarray(end)]);
          const changes = new Map([
            [left, put(rightBytes, leftBytes)],
            [right, put(leftBytes, rightBytes)],
          ]);
          scene.reset(changes);
          const verify = (): ReturnType<typeof verifyTopic> =>
            verifyTopic(scene.scratch.context(scene.fileSystem), { quick: false, onBytes: () => undefined });
          const seen = await verify();
          expect([...seen.findings].map(({ code, position }) => [code, position])).to.deep.equal([
            ['misplaced_frames', 0],
            ['misplaced_frames', 0],
          ]);
          expect([...seen.lost]).to.deep.equal([]);
          const report = await scene.recover({ tryBitFlip });
          expect([...report.lost]).to.deep.equal([]);
          expect(await scene.differences(new Set())).to.deep.equal([]);
          expect([...(await verify()).findings]).to.deep.equal([]);
          const repaired = snapshotOf(scene.directory);
          expect([...(await scene.recover({ tryBitFlip })).repairs]).to.deep.equal([]);
          expect(snapshotOf(scene.directory)).to.deep.equal(repaired);
          await scene.undoAll();
          for (const [name, bytes] of changes)
            expect(scene.stores().get(name), name).to.equal(bytes.toString('hex'));
        }
    });
});

describe('a frame of another log inside a damaged record', () => {
  const scene = new RecoveryScene();
  const LARGE = 3;
  const SMALL = 7;
  const PAYLOAD_BYTES = 120;
  let name: string;
  let bytes: Buffer;
  let positions: number[];

  /** As a topic that was copied into a record holds it: right at its offset, and not this log's. */
  function foreignFrame(payloadBytes: number): Buffer {
    const frame = Buffer.alloc(16 + payloadBytes);
    const timestamp = Number(bytes.readBigInt64BE((positions[SMALL] as number) + 4));
    const payload = Buffer.alloc(payloadBytes, 'of another log');
    encodeFrame(frame, 0, { kind: 0, offset: SMALL, timestamp, payload });
    return frame;
  }

  /** The record SMALL is overwritten, and what stands at LARGE begins with `contents`. */
  function damaged(contents: Buffer): Map<string, Buffer> {
    const store = Buffer.from(bytes);
    store.fill(0xff, positions[SMALL], positions[SMALL + 1]);
    contents.copy(store, positions[LARGE]);
    return new Map([[name, store]]);
  }

  async function expectLost(store: ReadonlyMap<string, Buffer>, lost: readonly number[]): Promise<void> {
    scene.reset(store);
    const report = await scene.recover();
    expect([...lostOffsets(report)]).to.deep.equal(lost);
    expect(await scene.differences(new Set(lost))).to.deep.equal([]);
  }

  before(async () => {
    await scene.fill([[12], [2]], { payload: () => Buffer.alloc(PAYLOAD_BYTES, 'record') });
    [name, bytes] = [...scene.healthy].find(([path]) => path.endsWith('.store')) as [string, Buffer];
    positions = framePositions(bytes);
  });

  after(() => {
    scene.remove();
  });

  it('is not taken for the record that is missing, when the head of the record around it is gone', async () => {
    const store = damaged(Buffer.concat([Buffer.alloc(16), foreignFrame(PAYLOAD_BYTES - 16)]));
    await expectLost(store, [LARGE, SMALL]);
  });

  it('is not taken for it where the place of the damaged record is not full of frames', async () => {
    const rest = Buffer.alloc(PAYLOAD_BYTES - 40, 0xff);
    await expectLost(damaged(Buffer.concat([foreignFrame(40), rest])), [LARGE, SMALL]);
  });
});

describe('frames of different lengths and times, exchanged', () => {
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fillInTime([[1, 1, 1, 1, 1, 1], [2]], {
      payload: (offset) => Buffer.from(`record ${offset} `.padEnd(40 + ((offset * 7) % 29), '.')),
    });
  });

  after(() => {
    scene.remove();
  });

  it('are put back with filler that no later recover finds fault with, and undo exchanges them again', async () => {
    const [name, bytes] = [...scene.healthy].find(([path]) => path.endsWith('.store')) as [string, Buffer];
    const at = framePositions(bytes);
    const frames = at.slice(0, -1).map((start, number) => bytes.subarray(start, at[number + 1]));
    for (const one of [0, 1, 2, 3, 4, 5])
      for (let other = one + 2; other < 6; other++) {
        const order = frames.map((_, number) => number);
        [order[one], order[other]] = [other, one];
        const store = Buffer.concat(order.map((number) => frames[number] as Buffer));
        scene.reset(new Map([[name, store]]));
        const report = await scene.recover();
        expect([...lostOffsets(report)], `${one} and ${other}`).to.deep.equal([]);
        expect(await scene.differences(new Set()), `${one} and ${other}`).to.deep.equal([]);
        expect([...(await scene.recover()).repairs], `${one} and ${other}, again`).to.deep.equal([]);
        await scene.undoAll();
        expect(scene.stores().get(name), `${one} and ${other}`).to.equal(store.toString('hex'));
      }
  });
});

describe('a frame that is put back behind a gap at the start of a segment', () => {
  const now = Date.now;
  const scene = new RecoveryScene();
  const [FIRST, SECOND] = ['00000000000000000000.store', '00000000000000000004.store'];
  const LAST = '00000000000000000008.store';
  /** When each record was appended: the clock was set back before the last segment began. */
  const minuteOf = (offset: number): number => (offset < 8 ? offset : offset - 8);

  before(async () => {
    const start = now();
    let clock = start;
    Date.now = () => clock;
    try {
      await scene.fill([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1], [1]], {
        payload: (offset) => {
          clock = start + minuteOf(offset) * 60_000;
          return Buffer.from(`record ${offset} `.padEnd(40, '.'));
        },
      });
    } finally {
      Date.now = now;
    }
  });

  after(() => {
    scene.remove();
  });

  /** A frame of a healthy store, by its number there. */
  function frame(name: string, number: number): Buffer {
    const bytes = scene.healthy.get(name) as Buffer;
    const positions = framePositions(bytes);
    return bytes.subarray(positions[number], positions[number + 1]);
  }

  function flipped(bytes: Buffer): Buffer {
    const changed = Buffer.from(bytes);
    changed[20] = (changed[20] as number) ^ 1;
    return changed;
  }

  /** A healthy store whose first frames are others. */
  const beginning = (name: string, frames: readonly Buffer[]): Buffer => {
    const begin = Buffer.concat(frames);
    return Buffer.concat([begin, (scene.healthy.get(name) as Buffer).subarray(begin.length)]);
  };

  it('belongs, in one case, to a segment that begins earlier than the one in front of it ends', () => {
    const timestampOf = (bytes: Buffer): number => Number(bytes.readBigInt64BE(4));
    expect(timestampOf(frame(LAST, 1))).to.be.lessThan(timestampOf(frame(SECOND, 3)));
  });

  for (const [what, lost, changes] of [
    [
      'out of the same region',
      0,
      () => [[FIRST, beginning(FIRST, [frame(FIRST, 1), flipped(frame(FIRST, 0))])]],
    ],
    [
      'out of another segment',
      4,
      () => [
        [FIRST, beginning(FIRST, [frame(FIRST, 0), frame(SECOND, 1)])],
        [SECOND, beginning(SECOND, [flipped(frame(SECOND, 0)), frame(FIRST, 1)])],
      ],
    ],
    [
      'where no good frame is left of the segment',
      8,
      () => [[LAST, beginning(LAST, [frame(LAST, 1), flipped(frame(LAST, 0))])]],
    ],
  ] as const)
    it(`${what}, stays: no later recover finds fault with it`, async () => {
      scene.reset(new Map(changes() as [string, Buffer][]));
      const damaged = scene.stores();
      const report = await scene.recover();
      expect([...lostOffsets(report)]).to.deep.equal([lost]);
      expect(await scene.differences(new Set([lost]))).to.deep.equal([]);
      expect([...(await scene.recover()).repairs]).to.deep.equal([]);
      await scene.undoAll();
      expect(scene.stores()).to.deep.equal(damaged);
    });
});

describe('frames exchanged that one flipped bit would explain as well', () => {
  const scene = new RecoveryScene();
  /** The offsets of two records of 7000 bytes for which one bit of the payload makes the same difference to a checksum. */
  const [ONE, OTHER] = [0, 91_828];
  const PAYLOAD_BYTES = 7000;
  const SEALED = '00000000000000000000.store';
  const ACTIVE = `${String(OTHER + 2).padStart(20, '0')}.store`;

  const frame = (offset: number, payload: Buffer, kind = 0): Buffer => {
    const bytes = Buffer.alloc(16 + payload.length);
    encodeFrame(bytes, 0, { kind, offset, timestamp: 1000, payload });
    return bytes;
  };
  const large = (offset: number): Buffer => frame(offset, Buffer.alloc(PAYLOAD_BYTES, `record ${offset} `));
  const between = frame(
    ONE + 1,
    Buffer.from([GAP_REASON.damage, ...encodeLeb128(OTHER - ONE - 1)]),
    FRAME_KIND.gap,
  );
  const last = frame(OTHER + 1, Buffer.from('last'));
  const healthy = Buffer.concat([large(ONE), between, large(OTHER), last]);
  const exchanged = Buffer.concat([large(OTHER), between, large(ONE), last]);

  function resetTo(sealed: Buffer): void {
    const active = frame(OTHER + 2, Buffer.from('active'));
    const mark = decodeHighWatermark(scene.healthy.get('high-watermark') as Buffer) as HighWatermark;
    const position = active.length;
    const [baseOffset, nextOffset] = [OTHER + 2, OTHER + 3];
    scene.reset(
      new Map([
        [SEALED, sealed],
        ['00000000000000000000.index', undefined],
        [ACTIVE, active],
        [
          'high-watermark',
          encodeHighWatermark({ ...mark, baseOffset, nextOffset, position, timestamp: 1000 }),
        ],
      ]),
    );
  }

  before(async () => {
    await scene.fill([[1]], { payload: () => Buffer.from('of another life') });
  });

  after(() => {
    scene.remove();
  });

  it('are a case that there is: either has a bit that would make it the record of the other place', () => {
    resetTo(exchanged);
    const store = scene.fileSystem.open(join(scene.directory, SEALED), 'read');
    const places = [
      { position: 0, offset: ONE },
      { position: large(ONE).length + between.length, offset: OTHER },
    ];
    for (const { position, offset } of places) {
      const endPosition = position + large(ONE).length;
      const times = { timestampBefore: undefined, timestampAfter: 1000 };
      const hole = { position, endPosition, offset, nextOffset: offset + 1, ...times };
      const [part] = partsByFlippedBits(store, hole);
      expect(part?.flip?.position).to.be.within(position + 16, endPosition);
    }
    store.close();
  });

  for (const tryBitFlip of [true, false])
    it(`are put back, ${tryBitFlip ? 'with --try-bitflip too' : 'and without'}`, async () => {
      resetTo(exchanged);
      const report = await scene.recover({ tryBitFlip });
      expect([...report.lost]).to.deep.equal([]);
      expect(scene.stores().get(SEALED)).to.equal(healthy.toString('hex'));
      await scene.undoAll();
      expect(scene.stores().get(SEALED)).to.equal(exchanged.toString('hex'));
    });
});
