/**
 * A process warning fails the run, and so does an unhandled rejection: a leaking listener, a deprecation or a forgotten
 * promise is a defect. It fails the hook behind the test that it came from, the first hook of a file whose loading it
 * came from, or else the process. Mocha by itself lets a rejection pass that nobody handled.
 */
import type { RootHookObject } from 'mocha';

const defects: Error[] = [];

function note(defect: unknown): void {
  defects.push(defect instanceof Error ? defect : new Error(`rejected with ${String(defect)}`));
}

function failOnDefects(): void {
  const [first] = defects.splice(0);
  if (first !== undefined) throw first;
}

/** Rejections and warnings are told once the turn that they come from is over. */
async function failAfterTurn(): Promise<void> {
  await new Promise(setImmediate);
  failOnDefects();
}

process.on('warning', note);
process.on('exit', failOnDefects);

export const mochaHooks: RootHookObject = {
  beforeAll() {
    process.on('unhandledRejection', note);
    failOnDefects();
  },
  afterEach: failAfterTurn,
  afterAll: failAfterTurn,
};
