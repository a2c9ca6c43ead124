/**
 * The base offset of a store that may have any name: from its name where its first frames agree, else solved for from
 * the checksums of its first frames. Reads only.
 */
import { basename } from 'node:path';
import { decodeFrameHeader, FRAME_HEADER_BYTES, solveFrameOffset } from '../format/frame.ts';
import { isSound, payloadChecksum, readFrameAt } from '../frame-scanner.ts';
import type { ChecksumName } from './checks.ts';
import type { FileHandle } from '../io/file-system.ts';
import { MAX_OFFSET } from '../limits.ts';

export interface SegmentBase {
  readonly baseOffset: number;
  /** Where it comes from. `unknown`: nothing says, so that offsets are counted from 0. */
  readonly source: 'name' | 'checksums' | 'unknown';
  /** What the name says, where it says anything. */
  readonly namedOffset: number | undefined;
}

/** Frames that must agree before their checksums are believed against a name, or without one. */
const MIN_AGREEING = 2;
/** Frames that are asked when a base is solved for. */
const MAX_ASKED = 64;
/** High words of an offset that are tried: offsets up to 2^40. */
const HIGH_WORDS = 256;

/** The offset in a file's name: a store's own, in a copy's (`old-<20 digits>.store.bak`), or a Java FastQueue2's (`segment-7.store`). */
export function offsetInName(path: string): number | undefined {
  const name = basename(path);
  const match = /(\d{20})/.exec(name) ?? /^segment-(\d{1,16})\./.exec(name);
  const offset = match === null ? NaN : Number(match[1]);
  return offset <= MAX_OFFSET ? offset : undefined;
}

export function findBase(file: FileHandle, checksum: ChecksumName, endPosition: number): SegmentBase {
  const namedOffset = offsetInName(file.path);
  if (checksum === 'crc32') {
    const first = firstFrames(file, endPosition);
    if (namedOffset !== undefined && agreeing(first, namedOffset) > 0)
      return { baseOffset: namedOffset, source: 'name', namedOffset };
    const solved = solveBase(first);
    // A store whose first frames are missing begins behind what its name says; another name is what is wrong otherwise.
    const isBehind = namedOffset !== undefined && solved !== undefined && solved > namedOffset;
    if (solved !== undefined && !(isBehind && /^\d{20}\.store$/.test(basename(file.path))))
      return { baseOffset: solved, source: 'checksums', namedOffset };
  }
  if (namedOffset !== undefined) return { baseOffset: namedOffset, source: 'name', namedOffset };
  return { baseOffset: 0, source: 'unknown', namedOffset };
}

interface FirstFrame {
  readonly headerBytes: Buffer;
  readonly payloadChecksum: number;
  /** Offsets between the base and this frame. */
  readonly ahead: number;
}

/** The frames that follow one another from the first byte by their own lengths, at most MAX_ASKED. */
function firstFrames(file: FileHandle, endPosition: number): FirstFrame[] {
  const found: FirstFrame[] = [];
  for (let position = 0; found.length < MAX_ASKED && position + FRAME_HEADER_BYTES <= endPosition;) {
    const headerBytes = Buffer.alloc(FRAME_HEADER_BYTES);
    file.read(headerBytes, position);
    const header = decodeFrameHeader(headerBytes, 0);
    if (header.kind !== 0 || position + header.frameBytes > endPosition) break;
    const place = { position: position + FRAME_HEADER_BYTES, byteCount: header.payloadBytes };
    found.push({
      headerBytes,
      payloadChecksum: payloadChecksum(file, place),
      ahead: found.length,
    });
    position += header.frameBytes;
  }
  // A store may begin with a gap, which says how many offsets it stands for.
  return found.length > 0 ? found : leadingGap(file, endPosition);
}

function leadingGap(file: FileHandle, endPosition: number): FirstFrame[] {
  const named = offsetInName(file.path);
  if (named === undefined) return [];
  const frame = readFrameAt(file, { position: 0, offset: named, endPosition, minTimestamp: -Infinity });
  if (!isSound(frame)) return [];
  const headerBytes = Buffer.alloc(FRAME_HEADER_BYTES);
  file.read(headerBytes, 0);
  const place = { position: FRAME_HEADER_BYTES, byteCount: frame.header.payloadBytes };
  return [{ headerBytes, payloadChecksum: payloadChecksum(file, place), ahead: 0 }];
}

function solveBase(frames: readonly FirstFrame[]): number | undefined {
  let best: { offset: number; count: number } | undefined;
  for (const frame of frames.slice(0, 8)) {
    for (let highWord = 0; highWord < HIGH_WORDS; highWord++) {
      const offset =
        solveFrameOffset(frame.headerBytes, { payloadChecksum: frame.payloadChecksum, highWord }) -
        frame.ahead;
      if (offset < 0 || offset > MAX_OFFSET) continue;
      const count = agreeing(frames, offset);
      if (count >= MIN_AGREEING && count > (best?.count ?? 0)) best = { offset, count };
      // The lowest offset that most frames agree on: nothing but the checksums of more frames could tell them apart.
      if (highWord === 0 && best !== undefined && best.count * 2 > frames.length) return best.offset;
    }
    if (best !== undefined) return best.offset;
  }
  return undefined;
}

function agreeing(frames: readonly FirstFrame[], baseOffset: number): number {
  return frames.filter(({ headerBytes, payloadChecksum: tail, ahead }) => {
    const highWord = Math.floor((baseOffset + ahead) / 2 ** 32);
    return solveFrameOffset(headerBytes, { payloadChecksum: tail, highWord }) === baseOffset + ahead;
  }).length;
}
