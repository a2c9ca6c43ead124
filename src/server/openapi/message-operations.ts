/**
 * Of /topics/{topic}/messages: publishing and reading.
 */
import { MAX_LIMIT, MAX_WAIT_SECONDS } from '../limits.ts';
import {
  EVENT_STREAM_MEDIA_TYPE,
  JSON_MEDIA_TYPE,
  NDJSON_MEDIA_TYPE,
  OCTETS_MEDIA_TYPE,
  RECORDS_MEDIA_TYPE,
} from '../media-types.ts';
import { json, query, schema, type Json } from './parts.ts';
import { problems, READ_CODES, WRITE_CODES } from './problems.ts';

export const PUBLISH: Json = {
  operationId: 'publish',
  summary: 'Append records as one batch: all or nothing, answered when they are durable.',
  description:
    'A request that never got an answer may be stored wholly, not at all, or as its first records: repeat it with FastQueue-Expected-Offset.',
  parameters: [
    {
      name: 'FastQueue-Expected-Offset',
      in: 'header',
      description: 'The offset that the first record must get, else 412 and nothing is written.',
      schema: { type: 'integer', minimum: 0 },
    },
  ],
  requestBody: {
    description: `${NDJSON_MEDIA_TYPE}: one record a line. ${RECORDS_MEDIA_TYPE}: payloads as text or base64; a member that would be lost is refused. Anything else, or no type: one record, verbatim.`,
    content: {
      [NDJSON_MEDIA_TYPE]: { schema: { type: 'string' } },
      [RECORDS_MEDIA_TYPE]: { schema: schema('Records') },
      '*/*': { schema: { type: 'string' } },
    },
  },
  responses: {
    '201': {
      description: 'Stored and synced.',
      headers: { Location: { description: 'The range of the new records.', schema: { type: 'string' } } },
      content: json(schema('Ack')),
    },
    ...problems([
      ...WRITE_CODES,
      'invalid_argument',
      'malformed_input',
      'no_records',
      'condition_failed',
      'record_too_large',
      'batch_too_large',
      'unsupported_media_type',
      'offsets_exhausted',
      'outcome_unknown',
      'closed',
    ]),
  },
};

const RANGE_HEADERS: Json = {
  'FastQueue-Next-Offset': {
    description: 'Where the next answer begins; of a stream of events, where it begins itself.',
    schema: { type: 'integer' },
  },
  'FastQueue-Start-Offset': { description: 'Where the topic begins.', schema: { type: 'integer' } },
  'FastQueue-End-Offset': { description: 'Where the topic ends, exclusive.', schema: { type: 'integer' } },
  Link: { description: 'The next range, `rel="next"`.', schema: { type: 'string' } },
};

const TAG_HEADERS: Json = {
  ETag: {
    description: 'Of a range below the end: another after a recovery or when the topic was made anew.',
    schema: { type: 'string' },
  },
};

const STOPPED_HEADERS: Json = {
  'FastQueue-Stopped-At': {
    description: 'The offset whose damage ended the answer early.',
    schema: { type: 'integer' },
  },
};

const RECORD_HEADERS: Json = {
  'FastQueue-Offset': {
    description: `${OCTETS_MEDIA_TYPE} only. Missing where there is no record: an empty one has it.`,
    schema: { type: 'integer' },
  },
  'FastQueue-Timestamp': {
    description: `${OCTETS_MEDIA_TYPE} only. Missing where there is no record.`,
    schema: { type: 'integer' },
  },
};

export const CONSUME: Json = {
  operationId: 'consume',
  summary: 'Read a range of records. Never moves anything.',
  parameters: [
    query(
      'offset',
      'Where to begin, or a range: `42`, `-10` (the last 10), `beginning`, `end`, `A:B` (B excluded, or `@TIME`), `@TIME`, `@T1:T2`. Default: beginning.',
      { type: 'string' },
    ),
    query('limit', 'Records at the most.', { type: 'integer', minimum: 1, maximum: MAX_LIMIT, default: 100 }),
    query(
      'max_bytes',
      'Bytes in the store at the most, 16 a record for its header; one record always comes. `64k`, `1MiB`.',
      {
        type: 'string',
        default: '1MiB',
      },
    ),
    query('wait', 'At the end: seconds to wait for a record.', {
      type: 'number',
      minimum: 0,
      maximum: MAX_WAIT_SECONDS,
      default: 0,
    }),
    query('clamp', 'Move an offset outside the topic to its nearest end.', {
      type: 'boolean',
      default: false,
    }),
    {
      name: 'If-None-Match',
      in: 'header',
      description: 'An ETag of this range: 304 where it still holds.',
      schema: { type: 'string' },
    },
    {
      name: 'Last-Event-ID',
      in: 'header',
      description: `${EVENT_STREAM_MEDIA_TYPE} only: go on behind this offset.`,
      schema: { type: 'integer', minimum: 0 },
    },
  ],
  responses: {
    '200': {
      description: 'The records, none at the end of the topic.',
      headers: { ...RANGE_HEADERS, ...TAG_HEADERS, ...RECORD_HEADERS, ...STOPPED_HEADERS },
      content: {
        [JSON_MEDIA_TYPE]: { schema: schema('Messages') },
        [NDJSON_MEDIA_TYPE]: {
          schema: { type: 'string', description: 'One Record a line, as `consume --json` prints it.' },
        },
        [EVENT_STREAM_MEDIA_TYPE]: {
          schema: {
            type: 'string',
            description:
              'For ever, or to the end of the range that `offset` names. `id` is the offset, `data` a Message; `event: gap` for offsets without a record; `event: damage` or `event: problem` with a Problem ends it.',
          },
        },
        [OCTETS_MEDIA_TYPE]: {
          schema: {
            type: 'string',
            description:
              'With limit=1: the payload itself. At the end nothing, and no FastQueue-Offset beside it.',
          },
        },
      },
    },
    '204': {
      description: `${EVENT_STREAM_MEDIA_TYPE} only: nothing of the range is left to come, and a client need not come back.`,
      headers: RANGE_HEADERS,
    },
    '304': {
      description: 'The range is what If-None-Match names.',
      headers: { ...RANGE_HEADERS, ...TAG_HEADERS, ...RECORD_HEADERS },
    },
    ...problems([
      ...READ_CODES,
      'invalid_argument',
      'gap',
      'not_acceptable',
      'offset_removed',
      'offset_out_of_range',
    ]),
  },
};
