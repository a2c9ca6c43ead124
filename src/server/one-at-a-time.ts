/**
 * Work that takes much memory while it lasts, one piece after the other, in the order in which it came.
 */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve();

  /** Begins when all that came before has ended, well or not; resolves and rejects as `work` does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
