/**
 * Which problems an operation may be answered with: by what it does, each with the status that the table of errors has.
 */
import { ERROR_TABLE, type ErrorCode } from '../../engine/index.ts';
import { PROBLEM_MEDIA_TYPE } from '../media-types.ts';
import { json, schema, type Json } from './parts.ts';

/** Problems that every request may meet before it is looked at. */
const COMMON_CODES: readonly ErrorCode[] = [
  'malformed_request',
  'unauthorized',
  'forbidden',
  'request_timeout',
  'headers_too_large',
  'stopping',
  'internal_error',
];

/** Problems of the disk, by what is done. */
export const READ_CODES: readonly ErrorCode[] = [
  'invalid_topic_name',
  'topic_not_found',
  'damaged',
  'newer_format',
  'io_error',
  'permission_denied',
  'too_many_open_files',
];
export const WRITE_CODES: readonly ErrorCode[] = [
  ...READ_CODES,
  'read_only',
  'disk_full',
  'locked',
  'locking_unavailable',
  'data_directory_not_found',
];

export const RETRY_AFTER: Json = { 'Retry-After': { schema: { type: 'integer' } } };

/** One answer for each status, naming the codes that come with it. */
export function problems(codes: readonly ErrorCode[]): Json {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...codes, ...COMMON_CODES])) {
    const { httpStatus } = ERROR_TABLE[code];
    byStatus.set(httpStatus, [...(byStatus.get(httpStatus) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([left], [right]) => left - right)
      .map(([status, ofStatus]) => [
        String(status),
        {
          description: ofStatus.map((code) => `\`${code}\`: ${ERROR_TABLE[code].title}`).join('; '),
          ...(ofStatus.some((code) => ERROR_TABLE[code].retryable) ? { headers: RETRY_AFTER } : {}),
          content: json(schema('Problem'), PROBLEM_MEDIA_TYPE),
        },
      ]),
  );
}
