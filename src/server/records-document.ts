/**
 * A document of records, `{"records":[{"payload":"…"},…]}`, as it comes in a request. It is never an object as a whole: one
 * of 32 MiB would take many times that, and hold everybody up while it is made. It is cut between records, without being
 * judged, into pieces of which JSON.parse makes what it will; others run in between.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { TextDecoder } from 'node:util';
import { briefJson, FastQueueError, NotAPayload, PackedSource, payloadFromJson } from '../engine/index.ts';
import {
  DOCUMENT_PIECE_BYTES,
  MAX_DOCUMENT_HEAD_BYTES,
  MAX_RECORD_COMMAS,
  MAX_RECORD_DEPTH,
} from './limits.ts';

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** JSON's own blanks (RFC 8259, section 2) around the brace that ends the document. */
const END_OF_DOCUMENT = /^[ \t\n\r]*\}[ \t\n\r]*$/;

const documentDecoder = new TextDecoder('utf-8', { fatal: true });
/** Only at the very beginning is a byte order mark no part of the text. */
const pieceDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The payloads of all its records.
 *
 * @throws FastQueueError `malformed_input`, naming the record where it is one; `record_too_large`; `batch_too_large`
 */
export async function parseRecords(body: Buffer): Promise<PackedSource> {
  const source = new PackedSource();
  const walk = new Walk(body);
  readHead(body, walk);
  let isFirst = true;
  for (const { start, end, isLast } of cutBetweenRecords(walk)) {
    const records = parseJson(`[${decode(pieceDecoder, body.subarray(start, end))}]`) as readonly unknown[];
    // Nothing stands between two commas, or behind the last.
    if (records.length === 0 && !(isFirst && isLast)) throw notJson();
    for (const record of records) source.add(payloadOf(record, source.recordCount + 1));
    isFirst = false;
    if (!isLast) await letOthersRun();
  }
  readTail(body.subarray(walk.at));
  return source;
}

/** Walks behind the bracket that opens the array, which nothing but its name stands before. */
function readHead(body: Buffer, walk: Walk): void {
  let byte: number | undefined;
  let memberCount = 1;
  while ((byte = walk.next(MAX_DOCUMENT_HEAD_BYTES)) !== OPEN_ARRAY) {
    if (byte === COMMA) memberCount += 1;
    if (byte !== undefined) continue;
    if (body.length <= MAX_DOCUMENT_HEAD_BYTES) parseJson(decode(documentDecoder, body));
    throw noRecords();
  }
  const head = decode(documentDecoder, body.subarray(0, walk.at));
  let names: string[];
  try {
    names = Object.keys(JSON.parse(`${head}]}`) as object);
  } catch {
    throw noRecords();
  }
  if (!names.includes('records')) throw noRecords();
  if (memberCount > 1) throw wouldBeLost(names.find((name) => name !== 'records') ?? 'records');
}

/** Nothing follows the array but the end of the document. */
function readTail(tail: Buffer): void {
  if (tail.length > MAX_DOCUMENT_HEAD_BYTES) throw malformed('The body goes on for long behind its records.');
  const text = decode(pieceDecoder, tail);
  if (END_OF_DOCUMENT.test(text)) return;
  const names = Object.keys(parseJson(`{"":0${text}`) as object);
  throw wouldBeLost(names[1] ?? '');
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly isLast: boolean;
}

/** From inside the array to behind its end. */
function* cutBetweenRecords(walk: Walk): Generator<Piece> {
  const { depth } = walk;
  let start = walk.at;
  let number = 1;
  let commaCount = 0;
  for (let byte = walk.next(); byte !== undefined; byte = walk.next()) {
    if (walk.depth < depth) {
      if (byte !== CLOSE_ARRAY) break;
      yield { start, end: walk.at - 1, isLast: true };
      return;
    }
    if (walk.depth > depth) {
      if (byte === COMMA) commaCount += 1;
      if (commaCount > MAX_RECORD_COMMAS || walk.depth > depth + MAX_RECORD_DEPTH) throw notARecord(number);
    } else if (byte === COMMA) {
      number += 1;
      commaCount = 0;
      if (walk.at - start <= DOCUMENT_PIECE_BYTES) continue;
      yield { start, end: walk.at - 1, isLast: false };
      start = walk.at;
    }
  }
  throw notJson();
}

/** Goes from one comma or bracket of JSON text to the next; what stands in strings is passed over. */
class Walk {
  readonly #bytes: Buffer;
  /** Behind the byte that was come to last. */
  at = 0;
  /** Brackets that are open. */
  depth = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** @returns undefined where there is no other before `end` */
  next(end: number = this.#bytes.length): number | undefined {
    const bytes = this.#bytes;
    for (let at = this.at; at < Math.min(end, bytes.length); at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        for (at += 1; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at += 1;
        continue;
      }
      if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.depth += 1;
      else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) this.depth -= 1;
      else if (byte !== COMMA) continue;
      this.at = at + 1;
      return byte;
    }
    this.at = bytes.length;
    return undefined;
  }
}

function decode(decoder: TextDecoder, bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw notJson();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notJson();
  }
}

function payloadOf(record: unknown, number: number): Buffer {
  try {
    return payloadFromJson(record);
  } catch (error) {
    if (error instanceof NotAPayload) throw malformed(`Record ${number} ${error.message}.`);
    throw error;
  }
}

const notJson = (): FastQueueError => malformed('The body is not JSON.');

const noRecords = (): FastQueueError =>
  malformed('The body is not an object with an array "records", and nothing else.');

const wouldBeLost = (name: string): FastQueueError =>
  malformed(`The body has the member ${briefJson(name)} beside "records", which would be lost.`);

const notARecord = (number: number): FastQueueError =>
  malformed(`Record ${number} has more members, or more levels of them, than a record can have.`);

function malformed(sentence: string): FastQueueError {
  return new FastQueueError('malformed_input', `${sentence} Nothing was written.`, { sideEffects: 'none' });
}
