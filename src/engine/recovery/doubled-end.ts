/**
 * Frames at the end of a sealed store that stand once more at the beginning of the next one: a merged store that is
 * damaged beside those that it is made of, or a block that was written twice. Reads only.
 */
import type { FrameVisitor } from '../damage-scan.ts';
import { headerAt } from '../frame-header.ts';
import type { FileHandle } from '../io/file-system.ts';
import { READ_CHUNK_BYTES } from '../limits.ts';
import type { SegmentPlace } from '../offset-index.ts';
import { withStore } from '../segment-list.ts';
import { listStoreBases, type TopicContext } from '../topic-directory.ts';

/** Sees the frames of a store go by, and remembers where those of an offset stand. */
export class PlaceOfOffset {
  readonly visitor: FrameVisitor;
  /** Of the run of records, or the frame, in which the offset is. */
  #near: SegmentPlace | undefined;

  constructor(offset: number, told: FrameVisitor) {
    const note = (place: SegmentPlace, count: number): void => {
      if (place.offset <= offset && offset < place.offset + count) this.#near = place;
    };
    this.visitor = {
      onRecords: (frames, place, recordCount) => {
        note(place, recordCount);
        told.onRecords?.(frames, place, recordCount);
      },
      onSpecial: (frame, place) => {
        note(place, 1);
        told.onSpecial?.(frame, place);
      },
      onPassed: told.onPassed,
    };
  }

  /** Where the frame of the offset begins; undefined where none begins with it. */
  find(store: FileHandle, offset: number): number | undefined {
    if (this.#near === undefined) return undefined;
    let { position } = this.#near;
    for (let at = this.#near.offset; at < offset; at++) {
      const header = headerAt(store, { position });
      if (header === undefined) return undefined;
      position += header.frameBytes;
    }
    return position;
  }
}

/** True where the next stores hold these very bytes, one behind the other from the first byte of the first one on. */
export function isBeginOf(
  context: TopicContext,
  nextBase: number,
  { store, position, endPosition }: { store: FileHandle; position: number; endPosition: number },
): boolean {
  let at = position;
  for (const base of listStoreBases(context).filter((each) => each >= nextBase)) {
    if (at === endPosition) break;
    const from = at;
    const sameBytes = withStore(context, base, (next) => {
      const byteCount = Math.min(endPosition - from, next.status().sizeBytes);
      return areSame({ file: store, position: from }, { file: next, position: 0 }, byteCount) ? byteCount : 0;
    });
    if (sameBytes === undefined || sameBytes === 0) return false;
    at += sameBytes;
  }
  return at === endPosition;
}

interface Bytes {
  readonly file: FileHandle;
  readonly position: number;
}

function areSame(left: Bytes, right: Bytes, byteCount: number): boolean {
  for (let done = 0; done < byteCount; done += READ_CHUNK_BYTES) {
    const chunkBytes = Math.min(READ_CHUNK_BYTES, byteCount - done);
    const [here, there] = [Buffer.alloc(chunkBytes), Buffer.alloc(chunkBytes)];
    left.file.read(here, left.position + done);
    right.file.read(there, right.position + done);
    if (!here.equals(there)) return false;
  }
  return true;
}
