/**
 * The bytes of what a damaged region becomes. Filler frames keep the bytes that stand there and are written by their
 * beginning alone (at most 25 bytes each); where frames move, the region's whole new content is made beside the store.
 * Reads and makes bytes; touches no store.
 */
import { encodeLeb128 } from '../format/leb128.ts';
import {
  CHECKSUM_AT,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  frameChecksumStart,
  GAP_REASON,
  TIMESTAMP_AT,
} from '../format/frame.ts';
import { writeInt64 } from '../format/big-endian.ts';
import { crc32 } from '../format/crc32.ts';
import { payloadChecksum } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { copyBytes, writeWhole } from '../io/write-whole.ts';
import type { RegionPlace } from './damaged-region.ts';
import type { RegionLayout, RegionPart } from './regions.ts';

/** Bytes to be written at a place in a file. */
export interface Patch {
  readonly position: number;
  readonly bytes: Buffer;
}

type FillerPart = Extract<RegionPart, { type: 'filler' }>;

/** True where every part can be written by its beginning alone: nothing moves. */
export function isPatchable(layout: RegionLayout): boolean {
  return layout.parts.every((part) => part.type !== 'frame');
}

/**
 * The first bytes of a gap or padding frame whose remaining bytes stand in `file` already.
 *
 * @param position where the frame begins in the file
 */
export function fillerHead(
  file: FileHandle,
  position: number,
  filler: FillerPart,
  timestamp: number,
): Buffer {
  const payloadBytes = filler.byteCount - FRAME_HEADER_BYTES;
  const meaning = filler.count === 0 ? [0] : [GAP_REASON.damage, ...encodeLeb128(filler.count)];
  const payloadHead = Buffer.from(meaning).subarray(0, payloadBytes);
  const head = Buffer.alloc(FRAME_HEADER_BYTES + payloadHead.length);
  const kind = filler.count === 0 ? FRAME_KIND.control : FRAME_KIND.gap;
  head.writeUInt32BE(((kind << 28) | payloadBytes) >>> 0, 0);
  writeInt64(head, timestamp, TIMESTAMP_AT);
  payloadHead.copy(head, FRAME_HEADER_BYTES);
  const checksum = payloadChecksum(file, {
    position: position + head.length,
    byteCount: payloadBytes - payloadHead.length,
    startChecksum: crc32(payloadHead, frameChecksumStart(head, filler.offset)),
  });
  head.writeUInt32BE(checksum, CHECKSUM_AT);
  return head;
}

/** What has to be written to turn a region into its layout, where nothing moves. */
export function patchesOf(
  file: FileHandle,
  region: { position: number; layout: RegionLayout; timestamp: number },
): Patch[] {
  return region.layout.parts.map((part) => {
    const position = region.position + part.at;
    if (part.type === 'byte') return { position, bytes: Buffer.of(part.value) };
    if (part.type === 'frame') throw new TypeError('a frame that moves is no patch');
    return { position, bytes: fillerHead(file, position, part, region.timestamp) };
  });
}

/**
 * Writes the whole new content of a region into `target`, from byte 0. Filler keeps what `source` has at its place, as
 * far as that reaches.
 *
 * @param source the region's old content, from byte 0
 * @param region `contentOf` opens the old content of another region that a frame comes from; it is closed here
 */
export function writeContent(
  source: FileHandle,
  target: FileHandle,
  region: {
    byteCount: number;
    layout: RegionLayout;
    timestamp: number;
    contentOf: (place: RegionPlace) => FileHandle;
  },
): void {
  const { layout } = region;
  copyBytes(source, target, { from: 0, to: 0, byteCount: Math.min(region.byteCount, layout.byteCount) });
  for (const part of layout.parts) {
    if (part.type === 'frame') copyFrame(part, { source, target, contentOf: region.contentOf });
    if (part.type === 'byte') writeWhole(target, Buffer.of(part.value), part.at);
  }
  for (const part of layout.parts) {
    if (part.type === 'filler')
      writeWhole(target, fillerHead(target, part.at, part, part.timestamp ?? region.timestamp), part.at);
  }
}

function copyFrame(
  part: Extract<RegionPart, { type: 'frame' }>,
  files: { source: FileHandle; target: FileHandle; contentOf: (place: RegionPlace) => FileHandle },
): void {
  const range = { from: part.from, to: part.at, byteCount: part.byteCount };
  if (part.source === undefined) {
    copyBytes(files.source, files.target, range);
    return;
  }
  const other = files.contentOf(part.source);
  try {
    copyBytes(other, files.target, range);
  } finally {
    other.close();
  }
}
