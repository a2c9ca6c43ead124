/**
 * Errors as RFC 9457 problem documents. Codes, statuses and titles are those of the engine's one table; a document says
 * no path of this machine and carries no stack trace, whatever was thrown.
 */
import { ERROR_TABLE, FastQueueError, type ErrorCode, type ErrorDetails } from '../engine/index.ts';
import { PROBLEM_MEDIA_TYPE } from './media-types.ts';

/** What is answered instead of what was asked for. */
export interface Problem {
  readonly code: ErrorCode;
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** Where the problem was met. */
export interface ProblemPlace {
  /** Path and query of the request. */
  readonly instance: string;
  /** Path of the data directory, which no answer names. */
  readonly dataDirectory: string;
  /** Members that the document gets besides. */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** Details that mean something to a client; the others are about files of this machine. */
const TOLD_DETAILS = [
  'topic',
  'offset',
  'startOffset',
  'endOffset',
  'nextReadable',
  'expectedOffset',
  'actualOffset',
] as const satisfies readonly (keyof ErrorDetails)[];

/** Seconds after which a request that failed for a passing reason may be tried again. */
const RETRY_AFTER_SECONDS = '1';

/** What is said over HTTP where the engine's sentence tells of this machine, or of commands and their flags. */
const SENTENCES: Partial<Record<ErrorCode, (details: ErrorDetails) => string>> = {
  locked: () => 'Another process holds the topic. Nothing was written; try again.',
  topic_not_found: ({ topic = '' }) => `There is no topic "${topic}". GET /topics lists those there are.`,
};

/** Headers that belong to a code wherever it is answered. */
const HEADERS_OF_CODE: Partial<Record<ErrorCode, readonly string[]>> = {
  unauthorized: ['WWW-Authenticate', 'Bearer realm="fastqueue"'],
};

export function problemOf(error: unknown, place: ProblemPlace): Problem {
  const known = error instanceof FastQueueError ? error : internalError();
  const { code, details } = known;
  const { httpStatus, retryable, title } = ERROR_TABLE[code];
  const told = Object.fromEntries(TOLD_DETAILS.map((name) => [name, details[name]]));
  const document = {
    type: `urn:fastqueue:problem:${code}`,
    title,
    status: httpStatus,
    detail: SENTENCES[code]?.(details) ?? withoutPaths(known.message, place.dataDirectory),
    instance: place.instance,
    code,
    retryable,
    sideEffects: details.sideEffects ?? (code === 'internal_error' ? 'unknown' : 'none'),
    ...told,
    ...(code === 'gap' ? { nextOffset: details.nextReadable } : {}),
    ...place.members,
  };
  return {
    code,
    status: httpStatus,
    headers: [
      'Content-Type',
      PROBLEM_MEDIA_TYPE,
      ...(retryable ? ['Retry-After', RETRY_AFTER_SECONDS] : []),
      ...(HEADERS_OF_CODE[code] ?? []),
    ],
    body: `${JSON.stringify(document)}\n`,
  };
}

function internalError(): FastQueueError {
  return new FastQueueError(
    'internal_error',
    'The server met a case that it does not know. What it was stands in the log of the server.',
  );
}

/** The sentence with the last part only of every path in the data directory: which file, not where it is. */
function withoutPaths(sentence: string, dataDirectory: string): string {
  if (!sentence.includes(dataDirectory)) return sentence;
  const pieces = sentence.split(dataDirectory);
  return pieces.slice(1).reduce((told, piece) => {
    const [path = ''] = /^[\w./-]*/.exec(piece) ?? [];
    const name = path.replace(/[.]*$/, '').split('/').at(-1) ?? '';
    const isName = name !== '';
    return `${told}${isName ? name : 'the data directory'}${piece.slice(isName ? path.lastIndexOf(name) + name.length : 0)}`;
  }, pieces[0] ?? '');
}
