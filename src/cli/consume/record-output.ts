/**
 * Records on their way to standard output, a stretch at a time. What there is room for is taken at once, as a file takes
 * everything. While the reader of a pipe takes the rest, the next stretch is read and checked: the rest is copied out of the
 * kernel's memory, which belongs to whoever reads next.
 */
import type { Output } from '../output.ts';

export class RecordOutput {
  readonly #output: Output;
  #buffer = Buffer.alloc(0);
  #spare = Buffer.alloc(0);
  #underWay: Promise<void> = Promise.resolve();
  #waitingCount = 0;

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
   * @throws FastQueueError when it or what came before could not be written
   */
  async write(bytes: Buffer): Promise<void> {
    const rest = this.#waitingCount > 0 ? bytes : bytes.subarray(this.#output.takeAtOnce(bytes));
    if (rest.length === 0) return;
    if (this.#buffer.length < rest.length) this.#buffer = Buffer.allocUnsafeSlow(rest.length);
    rest.copy(this.#buffer);
    const stretch = this.#buffer.subarray(0, rest.length);
    const before = this.#underWay;
    this.#underWay = before.then(() => this.#output.write(stretch)).finally(() => (this.#waitingCount -= 1));
    this.#waitingCount += 1;
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
