/**
 * How records look in an answer: the objects of a JSON array, the lines of `consume --json`, the events of a stream.
 */
import { payloadAsJson, recordAsJson, type RecordView } from '../engine/index.ts';

/** The object of one record, as it stands in `messages` and in the data of an event. */
function messageAsJson({ offset, timestamp, payload }: RecordView): string {
  return JSON.stringify({ offset, timestamp, ...payloadAsJson(payload) });
}

/** Many records at once: text is turned into bytes once for all of them. */
export type RecordForm = (topic: string, records: readonly RecordView[]) => string;

export const asLines: RecordForm = (topic, records) => {
  let text = '';
  for (const record of records) text += `${JSON.stringify(recordAsJson(topic, record))}\n`;
  return text;
};

/** Elements of an array, without a comma before the first or behind the last. */
export const asElements: RecordForm = (_, records) => records.map(messageAsJson).join(',');

export const asEvents: RecordForm = (_, records) => {
  let text = '';
  for (const record of records) text += `id: ${record.offset}\ndata: ${messageAsJson(record)}\n\n`;
  return text;
};
