/**
 * Delimiters as people write them: several bytes, with the escapes `\n \r \t \0 \\ \xNN`.
 */
import { FastQueueError } from '../engine/index.ts';

/** Longer ones are a mistake. */
const MAX_DELIMITER_BYTES = 1024;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '0': '\0', '\\': '\\' };

export const NEWLINE_DELIMITER: Buffer = Buffer.from('\n');
export const NUL_DELIMITER: Buffer = Buffer.from('\0');

/** What Node makes of bytes in an argument that are not UTF-8: which they were nobody can tell any more. */
const REPLACEMENT = '\ufffd';

/**
 * The bytes that a text with escapes stands for.
 *
 * @throws FastQueueError `invalid_argument` for an escape that is none, and for bytes that are not UTF-8
 */
export function unescapeBytes(text: string): Buffer {
  if (text.includes(REPLACEMENT)) {
    throw new FastQueueError(
      'invalid_argument',
      `${JSON.stringify(text)} holds what is not UTF-8: write each such byte as \\xNN (and U+FFFD itself as \\xef\\xbf\\xbd).`,
    );
  }
  const parts: Buffer[] = [];
  for (let at = 0; at < text.length;) {
    const backslash = text.indexOf('\\', at);
    const plainEnd = backslash === -1 ? text.length : backslash;
    parts.push(Buffer.from(text.slice(at, plainEnd), 'utf8'));
    if (backslash === -1) break;
    const [source, bytes] = readEscape(text, backslash);
    parts.push(bytes);
    at = backslash + source.length;
  }
  return Buffer.concat(parts);
}

/** The escape at `at`, which is a backslash: its text and its bytes. */
function readEscape(text: string, at: number): [string, Buffer] {
  const hex = /^\\x([0-9A-Fa-f]{2})/.exec(text.slice(at, at + 4));
  if (hex !== null) return [hex[0], Buffer.from(hex[1] as string, 'hex')];
  const plain = ESCAPES[text[at + 1] ?? ''];
  if (plain === undefined) {
    throw new FastQueueError(
      'invalid_argument',
      `${JSON.stringify(text.slice(at, at + 2))} is not an escape: there are \\n \\r \\t \\0 \\\\ and \\xNN.`,
    );
  }
  return [text.slice(at, at + 2), Buffer.from(plain)];
}

/** What is written after a payload: nothing at all is fine. @throws FastQueueError `invalid_argument` */
export function parseTerminator(text: string): Buffer {
  return text === '' ? Buffer.alloc(0) : parseDelimiter(text);
}

/** A delimiter: at least one byte. @throws FastQueueError `invalid_argument` */
export function parseDelimiter(text: string): Buffer {
  const delimiter = unescapeBytes(text);
  if (delimiter.length === 0 || delimiter.length > MAX_DELIMITER_BYTES) {
    throw new FastQueueError(
      'invalid_argument',
      `A delimiter has 1 to ${MAX_DELIMITER_BYTES} bytes; this one has ${delimiter.length}. "-i raw" takes the whole input as one record.`,
    );
  }
  return delimiter;
}
