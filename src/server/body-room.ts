/**
 * The room that large bodies have in memory, all together. Each takes it in steps, as it comes: what was announced and does
 * not come keeps nobody waiting. No two starve each other: all but the one that holds most leave free what a body may need
 * at the most, so that one can go on to its end whatever the others do, and then the next.
 */
import { BODY_STEP_BYTES } from './limits.ts';

/** What one body holds. */
export class BodyShare {
  heldBytes = 0;
  /** Called once the step that it waits for is had. */
  onGrown: (() => void) | undefined;
}

export class BodyRoom {
  readonly #maxBodyBytes: number;
  /** What all but the largest may hold together. */
  readonly #othersBytes: number;
  /** In the order in which they came. */
  readonly #shares = new Set<BodyShare>();
  #heldBytes = 0;
  #largestBytes = 0;

  constructor(options: { readonly maxBodyBytes: number; readonly totalBytes: number }) {
    this.#maxBodyBytes = options.maxBodyBytes;
    this.#othersBytes = options.totalBytes - options.maxBodyBytes;
  }

  /**
   * Adds a step to a share, which may hold as much as the largest body has.
   *
   * @returns false where it has to wait: then `onGrown` is called once it has it, unless it is released before
   */
  grow(share: BodyShare, onGrown: () => void): boolean {
    this.#shares.add(share);
    if (this.#growIfFree(share)) return true;
    share.onGrown = onGrown;
    return false;
  }

  /** Gives all of it back. Calling it twice does nothing. */
  release(share: BodyShare): void {
    if (!this.#shares.delete(share)) return;
    this.#heldBytes -= share.heldBytes;
    this.#largestBytes = 0;
    for (const { heldBytes } of this.#shares) this.#largestBytes = Math.max(this.#largestBytes, heldBytes);
    for (const waiting of this.#shares) {
      const { onGrown } = waiting;
      if (onGrown === undefined || !this.#growIfFree(waiting)) continue;
      waiting.onGrown = undefined;
      onGrown();
    }
  }

  #growIfFree(share: BodyShare): boolean {
    const grownBytes = Math.min(share.heldBytes + BODY_STEP_BYTES, this.#maxBodyBytes);
    const heldBytes = this.#heldBytes + grownBytes - share.heldBytes;
    const largestBytes = Math.max(this.#largestBytes, grownBytes);
    if (heldBytes - largestBytes > this.#othersBytes) return false;
    share.heldBytes = grownBytes;
    this.#heldBytes = heldBytes;
    this.#largestBytes = largestBytes;
    return true;
  }
}
