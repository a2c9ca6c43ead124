/**
 * What a damaged region of a store becomes: good frames where they belong, one gap frame for each run of lost offsets,
 * padding where no offset is missing. Pure arithmetic over places and lengths; the bytes are content.ts's.
 *
 * A region keeps its length wherever that is possible, so that no other byte of the segment moves. It is not where the
 * frames that are needed do not fit: then the region grows (or, where nothing is lost, goes), and whoever applies the
 * plan extends the file or rewrites the segment.
 */
import { FRAME_HEADER_BYTES } from '../format/frame.ts';
import { encodeLeb128 } from '../format/leb128.ts';
import { MAX_PAYLOAD_FIELD } from '../limits.ts';
import type { RegionDamage, RegionPlace } from './damaged-region.ts';

/** One part of what the region becomes; `at` counts from the beginning of the region. */
export type RegionPart =
  | {
      readonly type: 'frame';
      readonly at: number;
      readonly byteCount: number;
      /** Where it stands, from the beginning of the region that it stands in. */
      readonly from: number;
      /** That region, where it is another. */
      readonly source?: RegionPlace | undefined;
    }
  | {
      /** A gap of `count` offsets from `offset` on, or padding where `count` is 0. */
      readonly type: 'filler';
      readonly at: number;
      readonly byteCount: number;
      readonly offset: number;
      readonly count: number;
      /**
       * Of the frame before it in the region; at the start of a segment, of the first frame behind it there. Undefined
       * where there is none: then what stands around the region says it.
       */
      readonly timestamp?: number | undefined;
    }
  | { readonly type: 'byte'; readonly at: number; readonly byteCount: 1; readonly value: number };

/** What a region becomes. */
export interface RegionLayout {
  readonly parts: readonly RegionPart[];
  /** Length of the whole; the region's own wherever that is possible. */
  readonly byteCount: number;
  /** Offsets that have no record any more. */
  readonly lost: readonly { readonly from: number; readonly to: number }[];
}

export interface RegionRequest {
  /** Byte in the store; at 0 no frame stands before the region. */
  readonly position: number;
  readonly byteCount: number;
  /** Offset expected at the beginning of the region, and that of what follows it. */
  readonly offset: number;
  readonly nextOffset: number;
  readonly moved?: RegionDamage['moved'];
  /** True where the store ends with this region: then it may grow without anything having to move. */
  readonly mayGrow: boolean;
}

const MAX_FRAME_BYTES = FRAME_HEADER_BYTES + MAX_PAYLOAD_FIELD;

/** Fewest bytes of a frame that stands for so many lost offsets. */
export function smallestGapBytes(count: number): number {
  return count <= 1 ? FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + 1 + encodeLeb128(count).length;
}

/** Lays out one region. */
export function layOutRegion(request: RegionRequest): RegionLayout {
  const sequence = sequenceOf(request);
  const holes = sequence.filter((element) => element.type === 'hole');
  const neededBytes = sequence.reduce((sum, element) => sum + element.byteCount, 0);
  const spareBytes = request.byteCount - neededBytes;
  const firstHole = holes[0];
  if (firstHole !== undefined) {
    if (spareBytes > 0) firstHole.byteCount += spareBytes;
  } else if (spareBytes >= FRAME_HEADER_BYTES || (spareBytes > 0 && request.mayGrow)) {
    sequence.push({
      type: 'hole',
      byteCount: Math.max(spareBytes, FRAME_HEADER_BYTES),
      offset: request.nextOffset,
      count: 0,
    });
  }
  return {
    parts: partsOf(sequence, request.position),
    byteCount: sequence.reduce((sum, element) => sum + element.byteCount, 0),
    lost: holes.map(({ offset, count }) => ({ from: offset, to: offset + count })),
  };
}

type Element =
  | {
      type: 'frame';
      byteCount: number;
      from: number;
      source?: RegionPlace | undefined;
      timestamp: number | undefined;
    }
  | { type: 'hole'; byteCount: number; offset: number; count: number };

/** Frames and holes in offset order, each hole as small as it can be. A frame that came before (a double) is left out. */
function sequenceOf(request: RegionRequest): Element[] {
  const sequence: Element[] = [];
  let { offset } = request;
  const addHole = (untilOffset: number): void => {
    const count = untilOffset - offset;
    if (count > 0) sequence.push({ type: 'hole', byteCount: smallestGapBytes(count), offset, count });
    offset = untilOffset;
  };
  const moved = [...(request.moved ?? [])].sort((left, right) => left.offset - right.offset);
  for (const frame of moved) {
    const nextOffset = frame.offset + (frame.offsetCount ?? 1);
    if (frame.offset < offset || nextOffset > request.nextOffset) continue;
    addHole(frame.offset);
    const { source } = frame;
    const from = frame.position - (source ?? request).position;
    sequence.push({ type: 'frame', byteCount: frame.bytes, from, source, timestamp: frame.timestamp });
    offset = nextOffset;
  }
  addHole(request.nextOffset);
  return sequence;
}

function partsOf(sequence: readonly Element[], position: number): RegionPart[] {
  const parts: RegionPart[] = [];
  let at = 0;
  // What the segment begins with must not be later than the first frame that is put back behind it.
  let timestamp =
    position === 0 ? sequence.find((element) => element.type === 'frame')?.timestamp : undefined;
  for (const element of sequence) {
    if (element.type === 'frame') {
      parts.push({
        type: 'frame',
        at,
        byteCount: element.byteCount,
        from: element.from,
        source: element.source,
      });
      ({ timestamp } = element);
    } else parts.push(...fillersOf(element, at).map((filler) => ({ ...filler, timestamp })));
    at += element.byteCount;
  }
  return parts;
}

/** A frame's length has 28 bits: a longer hole takes several, the first with the whole count, the others padding. */
function fillersOf(hole: { byteCount: number; offset: number; count: number }, start: number): RegionPart[] {
  const fillers: RegionPart[] = [];
  let { count } = hole;
  for (let done = 0; done < hole.byteCount;) {
    const restBytes = hole.byteCount - done;
    let byteCount = Math.min(restBytes, MAX_FRAME_BYTES);
    // No piece is under a header's length.
    const behindBytes = restBytes - byteCount;
    if (behindBytes > 0 && behindBytes < FRAME_HEADER_BYTES) byteCount -= FRAME_HEADER_BYTES;
    const offset = done === 0 ? hole.offset : hole.offset + hole.count;
    fillers.push({ type: 'filler', at: start + done, byteCount, offset, count });
    count = 0;
    done += byteCount;
  }
  return fillers;
}
