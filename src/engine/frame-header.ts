/** The header of one frame and what it stands for, read from a store by itself. Judges nothing. */
import {
  decodeFrameHeader,
  decodeGapPayload,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  type FrameHeader,
} from './format/frame.ts';
import type { FileHandle } from './io/file-system.ts';

/** Where a header is expected, and how far the store may be looked at; without an end, to its own. */
export interface HeaderPlace {
  readonly position: number;
  readonly endPosition?: number;
}

/** Its 16 bytes; undefined where the store ends before they do. */
export function headerBytesAt(file: FileHandle, place: HeaderPlace): Buffer | undefined {
  const { position, endPosition = Infinity } = place;
  if (position + FRAME_HEADER_BYTES > endPosition) return undefined;
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  return file.read(bytes, position) < FRAME_HEADER_BYTES ? undefined : bytes;
}

/** What it says; undefined where the store ends before it does. */
export function headerAt(file: FileHandle, place: HeaderPlace): FrameHeader | undefined {
  const bytes = headerBytesAt(file, place);
  return bytes === undefined ? undefined : decodeFrameHeader(bytes, 0);
}

/** Of a gap's payload, all that can mean something. */
const GAP_HEAD_BYTES = 9;

/** How many offsets the frame stands for; undefined where it is a gap that says none. */
export function offsetCountAt(
  file: FileHandle,
  { position, header }: { position: number; header: FrameHeader },
): number | undefined {
  if (header.kind === FRAME_KIND.record) return 1;
  if (header.kind === FRAME_KIND.control) return 0;
  const head = Buffer.alloc(Math.min(GAP_HEAD_BYTES, header.payloadBytes));
  if (file.read(head, position + FRAME_HEADER_BYTES) < head.length) return undefined;
  return decodeGapPayload(head, header.payloadBytes)?.count;
}
