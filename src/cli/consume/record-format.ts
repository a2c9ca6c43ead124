/**
 * `-f`: kcat's format tokens, with modifiers in braces: `%T{iso} %o %s{hex}\n`. A format is parsed once into a list of
 * small writers; a token or modifier that there is not is refused by name.
 */
import { isUtf8 } from 'node:buffer';
import { FastQueueError, formatTime } from '../../engine/index.ts';
import { unescapeBytes } from '../delimiter.ts';

/** One record as a formatter sees it. */
export interface FormattedRecord {
  readonly topic: string;
  readonly offset: number;
  readonly timestamp: number;
  readonly payload: Buffer;
}

/** Makes one piece, of text or of bytes, of what is written for a record. */
type Part = (record: FormattedRecord) => Buffer | string;

/** What is written for one record: its pieces, in order. */
export type RecordFormatter = readonly Part[];

/** So much text is turned into bytes at once. A string can hold two pieces of JSON that are as large as they get, not three. */
const TEXT_CHARACTERS = 1024 * 1024;

/** It is all in memory, more than once, before it is written. */
const MAX_FORMATTED_BYTES = 1024 * 1024 * 1024;

const TOKENS: Readonly<Record<string, Readonly<Record<string, Part>>>> = {
  s: {
    '': ({ payload }) => payload,
    hex: ({ payload }) => payload.toString('hex'),
    base64: ({ payload }) => payload.toString('base64'),
    json: ({ payload }) =>
      isUtf8(payload)
        ? JSON.stringify(payload.toString('utf8'))
        : JSON.stringify({ base64: payload.toString('base64') }),
  },
  S: { '': ({ payload }) => String(payload.length) },
  o: { '': ({ offset }) => String(offset) },
  T: { '': ({ timestamp }) => String(timestamp), iso: ({ timestamp }) => formatTime(timestamp) },
  t: { '': ({ topic }) => topic, json: ({ topic }) => JSON.stringify(topic) },
  '%': { '': () => '%' },
};

/** @throws FastQueueError `invalid_argument`, naming the tokens there are */
export function parseRecordFormat(format: string): RecordFormatter {
  const parts: Part[] = [];
  for (let at = 0; at < format.length;) {
    const percent = format.indexOf('%', at);
    const literal = unescapeBytes(format.slice(at, percent === -1 ? format.length : percent));
    if (literal.length > 0) parts.push(() => literal);
    if (percent === -1) break;
    const [source, part] = readToken(format, percent);
    parts.push(part);
    at = percent + source.length;
  }
  return parts;
}

/** The token at `at`, which is a percent sign: its text and what it writes. */
function readToken(format: string, at: number): [string, Part] {
  const letter = format[at + 1] ?? '';
  const modifiers = TOKENS[letter];
  if (modifiers === undefined) {
    throw new FastQueueError(
      'invalid_argument',
      `There is no token %${letter}: there are %s payload, %S its size, %o offset, %T timestamp, %t topic, and %%.`,
    );
  }
  const braces = /^\{(\w*)\}/.exec(format.slice(at + 2));
  const name = braces?.[1] ?? '';
  const part = Object.hasOwn(modifiers, name) ? modifiers[name] : undefined;
  if (part === undefined) {
    const known = Object.keys(modifiers).filter((modifier) => modifier !== '');
    throw new FastQueueError(
      'invalid_argument',
      `%${letter} has no {${name}}${known.length === 0 ? '' : `: there are ${known.map((modifier) => `{${modifier}}`).join(' ')}`}.`,
    );
  }
  return [`%${letter}${braces?.[0] ?? ''}`, part];
}

/**
 * The records' pieces as one stretch of bytes. Text is turned into bytes once for many records, not for each.
 *
 * @throws FastQueueError `record_too_large` for more than 1 GiB
 */
export function formatRecords(records: readonly FormattedRecord[], formatter: RecordFormatter): Buffer {
  const chunks: Buffer[] = [];
  let text: string[] = [];
  let textLength = 0;
  let byteCount = 0;
  const add = (bytes: Buffer): void => {
    chunks.push(bytes);
    byteCount += bytes.length;
  };
  const endText = (): void => {
    if (text.length > 0) add(Buffer.from(text.join('')));
    text = [];
    textLength = 0;
  };
  for (const record of records) {
    for (const part of formatter) {
      const piece = part(record);
      if (typeof piece === 'string') {
        text.push(piece);
        textLength += piece.length;
        if (textLength > TEXT_CHARACTERS) endText();
      } else {
        endText();
        add(piece);
      }
      if (byteCount > MAX_FORMATTED_BYTES) throw tooLarge(record);
    }
  }
  endText();
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
}

function tooLarge({ offset, payload }: FormattedRecord): FastQueueError {
  return new FastQueueError(
    'record_too_large',
    `The record at offset ${offset}, of ${payload.length} bytes, comes to more than 1 GiB in this format: ask for its payload fewer times.`,
  );
}
