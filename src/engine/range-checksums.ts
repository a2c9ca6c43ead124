/**
 * CRC-32 of any range of a file at the cost of a few KiB, however long the range: sums of everything from one position
 * on are kept at intervals, made once and as far as they are asked for. So a hostile file whose every byte looks like
 * the beginning of a long frame costs one pass over it, not one for each. What lies behind whoever asks is let go, so that
 * memory grows with the longest frame, not with the file. Reads only.
 */
import { crc32, crc32Combine } from './format/crc32.ts';
import type { FileHandle } from './io/file-system.ts';

const INTERVAL_BYTES = 1024;
/** Ranges up to this length are simply read. */
const SHORT_BYTES = 2 * INTERVAL_BYTES;
const BLOCK_BYTES = 256 * INTERVAL_BYTES;

export class RangeChecksums {
  readonly #file: FileHandle;
  #fromPosition: number;
  /** Intervals from there to the first sum that is kept. */
  #forgottenCount = 0;
  /** Sum number i is that of the intervals from fromPosition on, i more than were forgotten. */
  #sums: number[] = [0];
  #block: Buffer | undefined;
  readonly #short = Buffer.alloc(SHORT_BYTES);

  /** @param fromPosition no range begins before it */
  constructor(file: FileHandle, fromPosition: number) {
    this.#file = file;
    this.#fromPosition = fromPosition;
  }

  /** NaN where the file ends before the range does. */
  of(range: { position: number; byteCount: number }): number {
    if (range.byteCount <= SHORT_BYTES) return this.#readOn(0, range);
    const end = this.#upTo(range.position + range.byteCount);
    return Number.isNaN(end)
      ? NaN
      : crc32Combine(this.#upTo(range.position), { checksum: end, byteCount: range.byteCount });
  }

  /** From now on no range begins before this position, which never goes back. */
  forgetBefore(position: number): void {
    const count = this.#intervalsBefore(position) - this.#forgottenCount;
    if (count < this.#sums.length) {
      this.#sums.splice(0, count);
      this.#forgottenCount += count;
      return;
    }
    // Nothing of it was asked for: what lies before need not be summed up either.
    this.#fromPosition = position;
    this.#forgottenCount = 0;
    this.#sums = [0];
  }

  #intervalsBefore(position: number): number {
    return Math.floor((position - this.#fromPosition) / INTERVAL_BYTES);
  }

  #upTo(position: number): number {
    const intervals = this.#intervalsBefore(position);
    const number = intervals - this.#forgottenCount;
    while (this.#sums.length <= number) if (!this.#sumBlock()) return NaN;
    const start = this.#fromPosition + intervals * INTERVAL_BYTES;
    return this.#readOn(this.#sums[number] as number, { position: start, byteCount: position - start });
  }

  /** Adds the sums of the next block; false at the end of the file. */
  #sumBlock(): boolean {
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    const summedCount = this.#forgottenCount + this.#sums.length - 1;
    const position = this.#fromPosition + summedCount * INTERVAL_BYTES;
    const byteCount = this.#file.read(this.#block, position);
    let sum = this.#sums.at(-1) as number;
    for (let end = INTERVAL_BYTES; end <= byteCount; end += INTERVAL_BYTES) {
      sum = crc32(this.#block.subarray(end - INTERVAL_BYTES, end), sum);
      this.#sums.push(sum);
    }
    return byteCount >= INTERVAL_BYTES;
  }

  #readOn(sum: number, range: { position: number; byteCount: number }): number {
    if (range.byteCount === 0) return sum;
    const bytes = this.#short.subarray(0, range.byteCount);
    return this.#file.read(bytes, range.position) < range.byteCount ? NaN : crc32(bytes, sum);
  }
}
