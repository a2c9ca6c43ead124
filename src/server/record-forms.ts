/**
 * How records look in an answer: the elements of a JSON array, the lines of `consume --json` (the engine's), the events
 * of a stream.
 */
import type { RecordTextForm } from '../engine/index.ts';

/** Elements of an array, each with a comma behind it. */
export const ELEMENTS: RecordTextForm = {
  starts: [Buffer.from('{"offset":')],
  end: Buffer.from('},'),
};

export const EVENTS: RecordTextForm = {
  starts: [Buffer.from('id: '), Buffer.from('\ndata: {"offset":')],
  end: Buffer.from('}\n\n'),
};
