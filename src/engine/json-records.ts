/**
 * JSON objects of one thing at a time: offsets that have no record, and the payload that an object carries to be stored.
 * What could not give back exactly the bytes that were meant is refused. Records become JSON in record-text.ts.
 */
import { GAP_REASON } from './format/frame.ts';
import type { DamageStep, GapStep } from './read-steps.ts';

/**
 * Offsets without a record as an object; field names are stable. Damage that was stepped over is a gap that recovery has
 * not recorded yet.
 */
export function missingAsJson(topic: string, missing: GapStep | DamageStep): object {
  if (missing.type === 'damage') {
    const { offset, nextReadable, error } = missing;
    const { path, position } = error.details;
    return { type: 'gap', topic, offset, count: nextReadable - offset, reason: 'unreadable', path, position };
  }
  return {
    type: 'gap',
    topic,
    offset: missing.offset,
    count: missing.count,
    reason: reasonName(missing.reason),
  };
}

function reasonName(reason: GapStep['reason']): string | number {
  if (reason === GAP_REASON.damage) return 'damage';
  return reason === GAP_REASON.compaction ? 'compaction' : reason;
}

/** Why an object gives no payload, to follow "the record": `is not an object`. */
export class NotAPayload extends Error {}

const REPLACEMENT = Buffer.from('\ufffd');

/** What `consume --json` prints of a record beside its payload, and `inspect-segment --payload --json` besides. */
export const PRINTED_BESIDE_PAYLOAD: readonly string[] = [
  'type',
  'topic',
  'offset',
  'timestamp',
  'position',
  'size',
  'payloadBytes',
  'checksum',
  'valid',
];

const ACCEPTED_MEMBERS: ReadonlySet<string> = new Set([
  'payload',
  'payload_base64',
  ...PRINTED_BESIDE_PAYLOAD,
]);

/**
 * The payload of a record, as JSON.parse gives it. What is printed of a record beside its payload says where it stood, and
 * may come back; any other member would be lost.
 *
 * @throws NotAPayload
 */
export function payloadFromJson(record: unknown): Buffer {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    throw new NotAPayload('is not an object');
  }
  for (const name in record) if (!ACCEPTED_MEMBERS.has(name)) throw wouldBeLost(name);
  const { type, payload: text, payload_base64: base64 } = record as Readonly<Record<string, unknown>>;
  if (type !== undefined && type !== 'record') {
    throw new NotAPayload(`has the type ${briefJson(type)}, which is not a record`);
  }
  if (typeof text === 'string' && base64 === undefined) {
    const bytes = Buffer.from(text, 'utf8');
    // A surrogate without its other half has no bytes of its own and would be stored as another character.
    if (bytes.includes(REPLACEMENT) && bytes.toString('utf8') !== text) {
      throw new NotAPayload('has half a surrogate pair in its payload');
    }
    return bytes;
  }
  if (typeof base64 === 'string' && text === undefined) {
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.toString('base64') !== base64) throw new NotAPayload('has a payload_base64 that is not base64');
    return bytes;
  }
  throw new NotAPayload('needs either "payload" or "payload_base64", as text');
}

const wouldBeLost = (name: string): NotAPayload =>
  new NotAPayload(
    `has the member ${briefJson(name)}, which would be lost: a record carries its payload alone`,
  );

const SHOWN_CHARACTERS = 100;

/** What somebody sent, as JSON, and no longer than a sentence can hold. */
export function briefJson(value: unknown): string {
  const json = JSON.stringify(value);
  return json.length <= SHOWN_CHARACTERS ? json : `${json.slice(0, SHOWN_CHARACTERS)}…`;
}
