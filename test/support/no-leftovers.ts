/**
 * What a test begins ends with its file: a timer, socket, watch or process that would keep the process alive fails the
 * last hook. By itself a process would never end for it, and a worker of `mocha --parallel` would be ended all the same.
 */
import type { RootHookObject } from 'mocha';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';

/** Connections that were closed, and delayed work that is under way, take a moment to go. */
const PATIENCE_MS = 5000;

let resourcesBefore: readonly string[] = [];

/** What keeps the process alive now and did not before. */
function leftovers(): string[] {
  const left = process.getActiveResourcesInfo();
  for (const resource of resourcesBefore) {
    const at = left.indexOf(resource);
    if (at !== -1) left.splice(at, 1);
  }
  return left;
}

export const mochaHooks: RootHookObject = {
  async beforeAll() {
    // They are made when they are first used, and stay.
    for (const stream of [process.stdout, process.stderr]) stream.write('');
    // From the first turn on a hook has a timer of Mocha's, here and below.
    await turn();
    resourcesBefore = process.getActiveResourcesInfo();
  },

  async afterAll() {
    await turn();
    const giveUpAt = performance.now() + PATIENCE_MS;
    while (leftovers().length > 0 && performance.now() < giveUpAt) {
      await wait(10);
      await turn();
    }
    const left = leftovers();
    if (left.length > 0)
      throw new Error(`The tests of this file are over, and left running: ${left.join(', ')}`);
  },
};
