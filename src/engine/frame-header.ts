/** The header of one frame, read from a store by itself. Judges nothing. */
import { decodeFrameHeader, FRAME_HEADER_BYTES, type FrameHeader } from './format/frame.ts';
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
