/** When somebody in this process begins to wait for a lock. */
import { lockLibrary } from '../../src/engine/io/locks.ts';
import { watchCalls } from './watch-calls.ts';

/** Settles once a lock that is held is asked for from here on: it was refused, and is waited for. */
export function nextRefusedLock(): Promise<void> {
  return new Promise((resolve) => {
    const undo = watchCalls(lockLibrary() as object, 'tryLock', (isTaken) => {
      if (isTaken === true) return;
      undo();
      resolve();
    });
  });
}
