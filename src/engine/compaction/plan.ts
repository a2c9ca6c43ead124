/**
 * What compact does to the sealed segments of a log: which are merged, which are written again without filler, which stay
 * and may need a new index. Pure; `--dry-run` prints it.
 */
import { compactGapBytes, joinGaps, type CompactGap } from './frames.ts';
import type { DamagedPlace, SealedList, SealedSegment } from './list.ts';

export interface CompactPolicy {
  /** Neighbours smaller than this are merged; 0: nothing is merged. */
  readonly mergeBelowBytes: number;
  /** A merged store has no more bytes than this. */
  readonly maxMergedBytes: number;
  /** From the first record of a merged segment to its last: retention deletes whole segments only. Infinity: no limit. */
  readonly maxSpanMs: number;
}

/** Segments that become one. A single one loses its filler. */
export interface Rewrite {
  readonly segments: readonly SealedSegment[];
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface CompactPlan {
  /** Generation that the plan was made under. */
  readonly generation: number;
  readonly rewrites: readonly Rewrite[];
  /** Sound segments whose stores stay. */
  readonly kept: readonly SealedSegment[];
  /** What is left alone because it is damaged. */
  readonly damaged: readonly DamagedPlace[];
}

/** Neighbours are taken together in order, each group as large as the policy lets it be. */
export function planCompaction(list: SealedList, policy: CompactPolicy): CompactPlan {
  const rewrites: Rewrite[] = [];
  const kept: SealedSegment[] = [];
  for (const group of groupsOf(list.segments, policy)) {
    const rewrite = rewriteOf(group);
    if (group.length > 1 || rewrite.bytesAfter < rewrite.bytesBefore) rewrites.push(rewrite);
    else kept.push(...group);
  }
  const places = [list.damage, ...list.segments.map(({ damage }) => damage)];
  return {
    generation: list.generation,
    rewrites,
    kept,
    damaged: places.filter((place) => place !== undefined),
  };
}

/** Sound segments only, whose indexes can be replaced. */
function groupsOf(segments: readonly SealedSegment[], policy: CompactPolicy): SealedSegment[][] {
  const groups: SealedSegment[][] = [];
  let group: SealedSegment[] = [];
  for (const segment of segments) {
    if (segment.damage !== undefined || !segment.isIndexFree) {
      group = [];
    } else if (group.length > 0 && joins(group, segment, policy)) {
      group.push(segment);
    } else {
      group = [segment];
      groups.push(group);
    }
  }
  return groups;
}

function joins(group: readonly SealedSegment[], next: SealedSegment, policy: CompactPolicy): boolean {
  const [first, last] = [group[0], group.at(-1)] as [SealedSegment, SealedSegment];
  const areSmall = Math.max(last.file.sizeBytes, next.file.sizeBytes) < policy.mergeBelowBytes;
  const mergedBytes = bytesOfOne([...group, next]);
  return (
    areSmall &&
    last.endOffset === next.baseOffset &&
    mergedBytes <= policy.maxMergedBytes &&
    // Times never go back within a segment: where a clock was set back, a segment ends.
    next.firstTimestamp >= last.lastTimestamp &&
    next.lastTimestamp - first.firstTimestamp <= policy.maxSpanMs
  );
}

function rewriteOf(segments: readonly SealedSegment[]): Rewrite {
  return {
    segments,
    bytesBefore: segments.reduce((sum, { file }) => sum + file.sizeBytes, 0),
    bytesAfter: bytesOfOne(segments),
  };
}

/** Of the store that they become: gaps that meet where two stores did are one then. */
function bytesOfOne(segments: readonly SealedSegment[]): number {
  let bytes = 0;
  let gapBefore: CompactGap | undefined;
  for (const { compactBytes, firstGap, lastGap } of segments) {
    const joined = joinGaps(gapBefore, firstGap);
    const isOneGap = firstGap !== undefined && compactBytes === compactGapBytes(firstGap);
    bytes += compactBytes;
    if (joined !== undefined && gapBefore !== undefined && firstGap !== undefined)
      bytes -= compactGapBytes(gapBefore) + compactGapBytes(firstGap) - compactGapBytes(joined);
    gapBefore = isOneGap ? (joined ?? firstGap) : lastGap;
  }
  return bytes;
}
