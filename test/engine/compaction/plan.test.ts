import { expect } from 'chai';
import {
  compactGapBytes,
  FrameCompactor,
  type CompactGap,
  type FrameSource,
} from '../../../src/engine/compaction/frames.ts';
import type { SealedSegment } from '../../../src/engine/compaction/list.ts';
import { planCompaction, type CompactPlan, type CompactPolicy } from '../../../src/engine/compaction/plan.ts';
import { decodeFrameHeader, FRAME_KIND } from '../../../src/engine/format/frame.ts';
import type { SoundFrame } from '../../../src/engine/frame-scanner.ts';

const POLICY: CompactPolicy = { mergeBelowBytes: 1000, maxMergedBytes: 10_000, maxSpanMs: Infinity };

/** Ten offsets and 100 bytes each, one second long, unless the change says otherwise. */
function segments(...changes: (Partial<SealedSegment> & { sizeBytes?: number })[]): SealedSegment[] {
  return changes.map(({ sizeBytes = 100, ...change }, number) => ({
    baseOffset: number * 10,
    endOffset: (number + 1) * 10,
    file: {
      sizeBytes,
      device: 1n,
      inode: BigInt(number),
      isDirectory: false,
      isFile: true,
      isBrokenLink: false,
    },
    compactBytes: sizeBytes,
    firstGap: undefined,
    lastGap: undefined,
    firstTimestamp: number * 1000,
    lastTimestamp: number * 1000 + 999,
    damage: undefined,
    isIndexFree: true,
    isIndexComplete: true,
    ...change,
  }));
}

function plan(list: SealedSegment[], policy: Partial<CompactPolicy> = {}): CompactPlan {
  return planCompaction({ generation: 7, segments: list, damage: undefined }, { ...POLICY, ...policy });
}

/** Base offsets of each group that is written again. */
const rewritten = (...given: Parameters<typeof plan>): number[][] =>
  plan(...given).rewrites.map((rewrite) => rewrite.segments.map(({ baseOffset }) => baseOffset));

describe('planCompaction', () => {
  it('merges neighbours that are all smaller than the bound', () => {
    expect(rewritten(segments({}, {}, {}))).to.deep.equal([[0, 10, 20]]);
    expect(rewritten(segments({}, { sizeBytes: 1000 }, {}, {}))).to.deep.equal([[20, 30]]);
  });

  it('leaves a segment as it is whose index is no file', () => {
    const list = segments({}, { isIndexFree: false, compactBytes: 1 }, {}, {});
    expect(rewritten(list)).to.deep.equal([[20, 30]]);
    expect(plan(list).kept.map(({ baseOffset }) => baseOffset)).to.deep.equal([0]);
  });

  it('merges nothing where merging is off, and no segment with itself', () => {
    expect(rewritten(segments({}, {}), { mergeBelowBytes: 0 })).to.deep.equal([]);
    expect(rewritten(segments({}))).to.deep.equal([]);
  });

  it('makes no merged segment larger than the bound for it', () => {
    expect(rewritten(segments({}, {}, {}, {}, {}), { maxMergedBytes: 200 })).to.deep.equal([
      [0, 10],
      [20, 30],
    ]);
  });

  it('makes no merged segment span a longer time than it may, so that retention goes on in small steps', () => {
    expect(rewritten(segments({}, {}, {}), { maxSpanMs: 1999 })).to.deep.equal([[0, 10]]);
    expect(rewritten(segments({}, {}, {}), { maxSpanMs: 1998 })).to.deep.equal([]);
  });

  it('does not merge across a clock that was set back: times never go back within a segment', () => {
    expect(rewritten(segments({}, { firstTimestamp: 998 }, {}))).to.deep.equal([[10, 20]]);
  });

  it('merges and shortens nothing that is damaged, and names it', () => {
    const damage = { path: 'x', position: 3, offset: 12 };
    const list = segments({}, { damage, compactBytes: 1 }, {}, {});
    expect(rewritten(list)).to.deep.equal([[20, 30]]);
    expect(plan(list).damaged).to.deep.equal([damage]);
    expect(plan(list).kept.map(({ baseOffset }) => baseOffset)).to.deep.equal([0]);
  });

  it('writes a segment again that has filler, also by itself', () => {
    expect(rewritten(segments({}, { compactBytes: 99 }, {}), { mergeBelowBytes: 0 })).to.deep.equal([[10]]);
  });

  it('counts gaps of one reason that meet where two stores did as one, over stores that are nothing else', () => {
    const lost = (count: number, reason = 1): CompactGap => ({ reason, count });
    const store = (first: CompactGap | undefined, last = first): Partial<SealedSegment> => ({
      firstGap: first,
      lastGap: last,
      ...(first === undefined || first !== last ? {} : { compactBytes: compactGapBytes(first) }),
    });
    const bytesOf = (...stores: Partial<SealedSegment>[]): number =>
      plan(segments(...stores)).rewrites[0]!.bytesAfter;
    // 16 bytes for one offset lost to damage, 18 for a few, 19 for more than 127.
    expect(bytesOf(store(undefined, lost(1)), store(lost(1), lost(9)))).to.equal(200 - 16 - 16 + 18);
    expect(bytesOf(store(undefined, lost(1)), store(lost(60)), store(lost(70)))).to.equal(100 - 16 + 19);
    expect(bytesOf(store(undefined, lost(1)), store(lost(60)), { firstGap: lost(70) })).to.equal(
      200 - 16 - 18 + 19,
    );
    expect(bytesOf(store(undefined, lost(1)), store(lost(60, 2)), store(lost(70)))).to.equal(100 + 18 + 18);
    expect(bytesOf(store(undefined, lost(1)), {}, store(lost(70)))).to.equal(200 + 18);
  });

  it('keeps every other segment, whose index is then looked at', () => {
    const list = segments({}, { compactBytes: 99 }, {});
    const bases = plan(list, { mergeBelowBytes: 0 }).kept.map(({ baseOffset }) => baseOffset);
    expect(bases).to.deep.equal([0, 20]);
  });

  it('carries the generation that it was made under', () => {
    expect(plan([]).generation).to.equal(7);
  });
});

/** What the compactor puts out: `records 3@10`, `gap 5@12 reason 1`, `copy@17`. */
function compacted(feed: (compactor: FrameCompactor) => void): string[] {
  const out: string[] = [];
  const compactor = new FrameCompactor({
    records: (_, offset, count) => out.push(`records ${count}@${offset}`),
    gap: (frame, { offset }) => {
      const { payloadBytes, kind, timestamp } = decodeFrameHeader(frame, 0);
      expect(kind).to.equal(FRAME_KIND.gap);
      const payload = [...frame.subarray(16)].join(' ');
      expect(payloadBytes).to.equal(frame.length - 16);
      out.push(`gap [${payload}]@${offset} at ${timestamp}`);
    },
    copy: ({ source, byteCount }) => out.push(`copy ${byteCount}@${source.offset}`),
  });
  feed(compactor);
  compactor.end();
  return out;
}

const header = (payloadBytes: number, timestamp = 5): SoundFrame['header'] => ({
  lengthField: 0,
  kind: 1,
  payloadBytes,
  frameBytes: 16 + payloadBytes,
  timestamp,
  checksum: 0,
});

const gap = (offsetCount: number, reason: number, timestamp?: number): SoundFrame => ({
  type: 'gap',
  header: header(99, timestamp),
  offsetCount,
  reason,
});

const control = (payloadBytes: number): SoundFrame => ({
  type: 'control',
  header: header(payloadBytes),
  offsetCount: 0,
});

/** A place in a store whose every byte is `type`. */
const at = (offset: number, type = 0): FrameSource => ({
  store: { read: (target: Buffer) => target.fill(type).length } as unknown as FrameSource['store'],
  position: 0,
  offset,
});

describe('FrameCompactor', () => {
  const frames = { start: 0, end: 10 };

  it('passes records on as they stand', () => {
    expect(
      compacted((each) => {
        each.records(frames, at(4), 3);
      }),
    ).to.deep.equal(['records 3@4']);
  });

  it('writes a gap in its shortest form: nothing, the reason, or reason and count', () => {
    expect(
      compacted((each) => {
        each.special(gap(1, 1), at(4));
      }),
    ).to.deep.equal(['gap []@4 at 5']);
    expect(
      compacted((each) => {
        each.special(gap(1, 2), at(4));
      }),
    ).to.deep.equal(['gap [2]@4 at 5']);
    expect(
      compacted((each) => {
        each.special(gap(300, 1), at(4));
      }),
    ).to.deep.equal(['gap [1 172 2]@4 at 5']);
  });

  it('joins neighbouring gaps of one reason, with the time of the first', () => {
    const joined = compacted((each) => {
      each.special(gap(1, 1, 5), at(4));
      each.special(gap(2, 1, 6), at(5));
      each.records(frames, at(7), 1);
    });
    expect(joined).to.deep.equal(['gap [1 3]@4 at 5', 'records 1@7']);
  });

  it('keeps gaps of different reasons apart, and gaps with records between them', () => {
    const apart = compacted((each) => {
      each.special(gap(1, 1), at(4));
      each.special(gap(1, 2), at(5));
      each.records(frames, at(6), 1);
      each.special(gap(1, 2), at(7));
    });
    expect(apart).to.deep.equal(['gap []@4 at 5', 'gap [2]@5 at 5', 'records 1@6', 'gap [2]@7 at 5']);
  });

  it('drops padding, and copies control frames of types that it does not know', () => {
    const left = compacted((each) => {
      each.special(gap(1, 1), at(4));
      each.special(control(0), at(5));
      each.special(control(40), at(5, 0));
      each.special(gap(1, 1), at(5));
      each.special(control(40), at(6, 9));
    });
    expect(left).to.deep.equal(['gap [1 2]@4 at 5', 'copy 56@6']);
  });
});
