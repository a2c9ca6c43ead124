/**
 * What becomes of the frames of a sealed store when it is written again: records stand as they are, since a checksum is
 * bound to an offset and not to a position; a gap loses its filler, and neighbouring gaps of one reason become one, which
 * explains the same offsets; padding goes. Control frames of other types are copied, whatever they mean.
 *
 * Knows nothing of files: measuring a plan and carrying it out go through the same decisions.
 */
import { encodeFrame, FRAME_HEADER_BYTES, FRAME_KIND, GAP_REASON } from '../format/frame.ts';
import { encodeLeb128 } from '../format/leb128.ts';
import type { SoundFrame } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import type { Region } from '../kernel/kernel.ts';

/** Where a frame stood. */
export interface FrameSource {
  readonly store: FileHandle;
  readonly position: number;
  readonly offset: number;
}

/** Takes the frames that stay, in order. */
export interface FrameOutput {
  /** Whole frames of kind 0, in the kernel's memory for the length of the call. */
  records(frames: Region, firstOffset: number, recordCount: number): void;
  /** A gap frame made anew, and what it says. */
  gap(frame: Buffer, gap: CompactGap & { readonly offset: number }): void;
  /** A frame that is copied from where it stood. */
  copy(frame: { source: FrameSource; byteCount: number; lengthField: number; offsetCount: number }): void;
}

/** A gap as it is written again: what tells how long its frame is, and which others it is joined with. */
export interface CompactGap {
  readonly reason: number;
  readonly count: number;
}

/** The gap that stands for the offsets of both, where they are neighbours; undefined where they stay two. */
export const joinGaps = (
  left: CompactGap | undefined,
  right: CompactGap | undefined,
): CompactGap | undefined =>
  left === undefined || left.reason !== right?.reason
    ? undefined
    : { reason: left.reason, count: left.count + right.count };

/** Length of its frame, without filler. */
export const compactGapBytes = (gap: CompactGap): number => FRAME_HEADER_BYTES + payloadOf(gap).length;

interface PendingGap extends CompactGap {
  readonly offset: number;
  readonly timestamp: number;
}

/** Give it every frame in order, then `end`. */
export class FrameCompactor {
  readonly #output: FrameOutput;
  #gap: PendingGap | undefined;

  constructor(output: FrameOutput) {
    this.#output = output;
  }

  records(frames: Region, source: { offset: number }, recordCount: number): void {
    this.end();
    this.#output.records(frames, source.offset, recordCount);
  }

  special(frame: SoundFrame, source: FrameSource): void {
    if (frame.type === 'gap') {
      if (frame.offsetCount > 0) this.#addGap(frame, source.offset);
    } else if (!isPadding(frame, source)) {
      this.end();
      const { frameBytes, lengthField } = frame.header;
      this.#output.copy({ source, byteCount: frameBytes, lengthField, offsetCount: 0 });
    }
  }

  /** No gap follows that could be joined to the last one. */
  end(): void {
    const gap = this.#gap;
    if (gap === undefined) return;
    this.#gap = undefined;
    this.#output.gap(encodeShortGap(gap), gap);
  }

  #addGap(frame: SoundFrame & { type: 'gap' }, offset: number): void {
    const gap = { reason: frame.reason, count: frame.offsetCount };
    const joined = joinGaps(this.#gap, gap);
    if (this.#gap !== undefined && joined !== undefined) {
      this.#gap = { ...this.#gap, ...joined };
      return;
    }
    this.end();
    this.#gap = { ...gap, offset, timestamp: frame.header.timestamp };
  }
}

/** Empty, or of type 0: stands for no offset and means nothing. */
function isPadding(frame: SoundFrame, source: FrameSource): boolean {
  if (frame.header.payloadBytes === 0) return true;
  const type = Buffer.alloc(1);
  source.store.read(type, source.position + FRAME_HEADER_BYTES);
  return type[0] === 0;
}

/** A gap without filler. */
function encodeShortGap(gap: PendingGap): Buffer {
  const { offset, timestamp } = gap;
  const payload = payloadOf(gap);
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  encodeFrame(frame, 0, { kind: FRAME_KIND.gap, offset, timestamp, payload: Uint8Array.from(payload) });
  return frame;
}

const payloadOf = ({ reason, count }: CompactGap): number[] =>
  count === 1 ? oneOffset(reason) : [reason, ...encodeLeb128(count)];

const oneOffset = (reason: number): number[] => (reason === GAP_REASON.damage ? [] : [reason]);
