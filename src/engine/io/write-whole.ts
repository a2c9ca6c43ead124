/** Writes that are done wholly or throw, and copies from one file to another. */
import { FastQueueError } from '../errors.ts';
import { isAllZeros } from '../format/zeros.ts';
import { READ_CHUNK_BYTES } from '../limits.ts';
import type { FileHandle } from './file-system.ts';

/**
 * Copies bytes of one file to a place in another, in chunks, as far as the first reaches. Zeros behind the other's end
 * take no room on the disk: a store may have been made larger than the disk is.
 */
export function copyBytes(
  source: FileHandle,
  target: FileHandle,
  range: { from: number; to: number; byteCount: number },
): void {
  const totalBytes = Math.min(range.byteCount, source.status().sizeBytes - range.from);
  const targetBytes = target.status().sizeBytes;
  const chunk = Buffer.alloc(Math.max(0, Math.min(READ_CHUNK_BYTES, totalBytes)));
  for (let done = 0; done < totalBytes;) {
    const part = chunk.subarray(0, Math.min(chunk.length, totalBytes - done));
    const byteCount = source.read(part, range.from + done);
    if (byteCount === 0) return;
    const bytes = part.subarray(0, byteCount);
    // The last of them is written in any case: the file ends where they do.
    const isHole = range.to + done >= targetBytes && done + byteCount < totalBytes && isAllZeros(bytes);
    if (!isHole) writeWhole(target, bytes, range.to + done);
    done += byteCount;
  }
}

/** Writes all of `bytes`, or throws: a short write is a full or failing disk. */
export function writeWhole(file: FileHandle, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    const byteCount = file.write(bytes.subarray(done), position + done);
    if (byteCount === 0) {
      throw new FastQueueError('io_error', `The disk took no more bytes for ${file.path}.`, {
        path: file.path,
      });
    }
    done += byteCount;
  }
}
