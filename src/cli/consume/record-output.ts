/**
 * Records on their way to standard output, a stretch at a time. While one stretch is being taken by the reader of the
 * pipe, the next is read and checked: its bytes are copied out of the kernel's memory, which belongs to whoever reads
 * next. Files take bytes at once and need no copy.
 */
import type { Output } from '../output.ts';

export class RecordOutput {
  readonly #output: Output;
  #buffer = Buffer.alloc(0);
  #spare = Buffer.alloc(0);
  #underWay: Promise<void> = Promise.resolve();

  constructor(output: Output) {
    this.#output = output;
  }

  /** True once the reader has gone away. */
  get isClosed(): boolean {
    return this.#output.isClosed;
  }

  /**
   * Takes the bytes (they may change once this has returned, not once it has resolved) and passes them on when what
   * came before has been taken; resolves when there is room for more.
   *
   * @throws FastQueueError when what came before could not be written
   */
  async write(bytes: Buffer): Promise<void> {
    if (this.#output.isSynchronous) return this.#output.write(bytes);
    if (this.#buffer.length < bytes.length) this.#buffer = Buffer.allocUnsafeSlow(bytes.length);
    bytes.copy(this.#buffer);
    const stretch = this.#buffer.subarray(0, bytes.length);
    const before = this.#underWay;
    this.#underWay = before.then(() => this.#output.write(stretch));
    // Looked at by whoever waits next; a rejection must not count as unhandled until then.
    this.#underWay.catch(() => undefined);
    await before;
    // Now nobody holds the spare buffer any more.
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
  }

  /** Resolves when everything was taken. */
  async drain(): Promise<void> {
    await this.#underWay;
  }
}
