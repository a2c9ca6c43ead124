/**
 * How long an append waits for others to share its write and its sync. Those who have just been acknowledged come back
 * in a moment: syncing at once for the first of them would let all the others wait for another sync.
 *
 * As many are waited for as have come of late, all of them where a sync takes long, else half, so that one half comes
 * while the other is synced. One caller that comes again and again waits for nobody.
 */

/** A sync that takes longer than callers need to come back is worth waiting for everybody. */
const LONG_SYNC_MS = 3;

/** Nobody waits longer than this share of a sync, and hardly at all where a sync is short. */
const WAIT_SHARE = 0.25;
const SHORT_WAIT_MS = 1;

export class GroupGather {
  /** Callers that were there at once when the last group was acknowledged. */
  #callerCount = 1;
  #syncMs = 0;
  #target = Infinity;
  #arrived: (() => void) | undefined;

  /** Whether one caller comes again and again, and nobody else. */
  get isForOne(): boolean {
    return this.#callerCount === 1;
  }

  /** Told of a group when its sync has ended: `waitingCount` have come meanwhile. */
  noteGroup(group: { appendCount: number; waitingCount: number; syncMs: number }): void {
    this.#callerCount = group.appendCount + group.waitingCount;
    this.#syncMs = group.syncMs;
  }

  /** Resolves when enough have come, or it is not worth waiting any longer. Undefined: enough have. */
  wait(pendingCount: number): Promise<void> | undefined {
    const isLong = this.#syncMs > LONG_SYNC_MS;
    this.#target = isLong ? this.#callerCount : Math.floor(this.#callerCount / 2);
    if (pendingCount >= this.#target) return undefined;
    const waitMs = isLong ? this.#syncMs * WAIT_SHARE : SHORT_WAIT_MS;
    return new Promise((resolve) => {
      const arrived = (): void => {
        clearTimeout(timer);
        this.#arrived = undefined;
        resolve();
      };
      const timer = setTimeout(arrived, waitMs);
      this.#arrived = arrived;
    });
  }

  /** Told of every append. */
  noteArrival(pendingCount: number): void {
    if (pendingCount >= this.#target) this.#arrived?.();
  }
}
