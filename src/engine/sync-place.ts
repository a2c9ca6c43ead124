/**
 * Which thread waits for the sync of a small batch. Handing it to another one and being woken takes a quarter of what a
 * good disk takes for it. So while one append follows another, the thread that appends waits itself, as long as hardly
 * anybody can miss it: syncs have been short of late, and the event loop has just had its turn. A disk that gets stuck
 * holds it up once; until syncs are short again, another thread waits.
 */

/** A longer one is not waited for here, nor are those behind it until so many in a row were shorter. */
const SHORT_SYNC_MS = 2;
const SHORT_COUNT = 8;

/** A caller that awaits one append after another would else never let anything else run. */
const TURN_MS = 5;

export class SyncPlace {
  #shortCount = 0;
  #waitedHereMs = 0;

  /** Whether the thread that appends should wait for the next sync itself. */
  get isHere(): boolean {
    return this.#shortCount >= SHORT_COUNT && this.#waitedHereMs < TURN_MS;
  }

  /** Told how long the write and the sync of a small batch took, and who waited. */
  note(sync: { isHere: boolean; durationMs: number }): void {
    this.#shortCount = sync.durationMs < SHORT_SYNC_MS ? this.#shortCount + 1 : 0;
    this.#waitedHereMs = sync.isHere ? this.#waitedHereMs + sync.durationMs : 0;
  }
}
