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

/** What is written for one record: pieces of text and of bytes, in order. */
export type RecordFormatter = (record: FormattedRecord) => readonly (Buffer | string)[];

type Part = (record: FormattedRecord) => Buffer | string;

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
  return (record) => parts.map((part) => part(record));
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

/** The records' pieces as one stretch of bytes. Text is turned into bytes once for many records, not for each. */
export function formatRecords(records: readonly FormattedRecord[], formatter: RecordFormatter): Buffer {
  const chunks: Buffer[] = [];
  let text: string[] = [];
  const endText = (): void => {
    if (text.length > 0) chunks.push(Buffer.from(text.join('')));
    text = [];
  };
  for (const record of records) {
    for (const piece of formatter(record)) {
      if (typeof piece === 'string') {
        text.push(piece);
      } else {
        endText();
        chunks.push(piece);
      }
    }
  }
  endText();
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
}
