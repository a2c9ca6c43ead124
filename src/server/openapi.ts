/**
 * What the server answers, as OpenAPI 3.1: GET /openapi.json, and docs/openapi.yaml, which scripts/openapi.js writes from
 * here. Limits and error codes are those of the code.
 */
import { ERROR_TABLE, TOPIC_SETTING_NAMES, type ErrorCode } from '../engine/index.ts';
import { MAX_LIMIT, MAX_WAIT_SECONDS } from './limits.ts';
import {
  EVENT_STREAM_MEDIA_TYPE,
  JSON_MEDIA_TYPE,
  NDJSON_MEDIA_TYPE,
  OCTETS_MEDIA_TYPE,
  PROBLEM_MEDIA_TYPE,
  RECORDS_MEDIA_TYPE,
} from './media-types.ts';

type Json = Readonly<Record<string, unknown>>;

const ref = (kind: string, name: string): Json => ({ $ref: `#/components/${kind}/${name}` });
const schema = (name: string): Json => ref('schemas', name);
const json = (content: Json, mediaType: string = JSON_MEDIA_TYPE): Json => ({
  [mediaType]: { schema: content },
});
const offset = (description: string): Json => ({ type: 'integer', minimum: 0, format: 'int64', description });
const timestamp = (description: string): Json => ({
  type: ['integer', 'null'],
  format: 'int64',
  description: `${description}, in milliseconds since 1970`,
});

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
const READ_CODES: readonly ErrorCode[] = [
  'invalid_topic_name',
  'topic_not_found',
  'damaged',
  'newer_format',
  'io_error',
  'permission_denied',
  'too_many_open_files',
];
const WRITE_CODES: readonly ErrorCode[] = [
  ...READ_CODES,
  'read_only',
  'disk_full',
  'locked',
  'locking_unavailable',
  'data_directory_not_found',
];

/** One answer for each status, naming the codes that come with it. */
function problems(codes: readonly ErrorCode[]): Json {
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
          ...(ofStatus.some((code) => ERROR_TABLE[code].retryable)
            ? { headers: { 'Retry-After': { schema: { type: 'integer' } } } }
            : {}),
          content: json(schema('Problem'), PROBLEM_MEDIA_TYPE),
        },
      ]),
  );
}

const RANGE_HEADERS: Json = {
  'FastQueue-Next-Offset': { description: 'Where the next answer begins.', schema: { type: 'integer' } },
  'FastQueue-Start-Offset': { description: 'Where the topic begins.', schema: { type: 'integer' } },
  'FastQueue-End-Offset': { description: 'Where the topic ends, exclusive.', schema: { type: 'integer' } },
  Link: { description: 'The next range, `rel="next"`.', schema: { type: 'string' } },
};

const RANGE_ONLY_HEADERS: Json = {
  ETag: {
    description: 'Of a range below the end: another after a recovery or when the topic was made anew.',
    schema: { type: 'string' },
  },
  'FastQueue-Stopped-At': {
    description: 'The offset whose damage ended the answer early.',
    schema: { type: 'integer' },
  },
  'FastQueue-Offset': { description: `${OCTETS_MEDIA_TYPE} only.`, schema: { type: 'integer' } },
  'FastQueue-Timestamp': { description: `${OCTETS_MEDIA_TYPE} only.`, schema: { type: 'integer' } },
};

const query = (name: string, description: string, content: Json): Json => ({
  name,
  in: 'query',
  description,
  schema: content,
});

const PUBLISH: Json = {
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
    description: `${NDJSON_MEDIA_TYPE}: one record a line. ${RECORDS_MEDIA_TYPE}: payloads as text or base64. Anything else, or no type: one record, verbatim.`,
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

const CONSUME: Json = {
  operationId: 'consume',
  summary: 'Read a range of records. Never moves anything.',
  parameters: [
    query(
      'offset',
      'Where to begin, or a range: `42`, `-10` (the last 10), `beginning`, `end`, `A:B` (B excluded), `@TIME`, `@T1:T2`. Default: beginning.',
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
      headers: { ...RANGE_HEADERS, ...RANGE_ONLY_HEADERS },
      content: {
        [JSON_MEDIA_TYPE]: { schema: schema('Messages') },
        [NDJSON_MEDIA_TYPE]: {
          schema: { type: 'string', description: 'One Record a line, as `consume --json` prints it.' },
        },
        [EVENT_STREAM_MEDIA_TYPE]: {
          schema: {
            type: 'string',
            description:
              'For ever. `id` is the offset, `data` a Message; `event: gap` for offsets without a record; `event: damage` or `event: problem` with a Problem ends it.',
          },
        },
        [OCTETS_MEDIA_TYPE]: { schema: { type: 'string', description: 'With limit=1: the payload itself.' } },
      },
    },
    '204': { description: `At the end of the topic, as ${OCTETS_MEDIA_TYPE}.`, headers: RANGE_HEADERS },
    '304': { description: 'The range is what If-None-Match names.', headers: RANGE_HEADERS },
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

const SHOW_OFFSETS: Json = {
  operationId: 'showOffsets',
  summary: 'Where the topic begins and ends.',
  parameters: [
    query(
      'timestamp',
      'Also the first record at or after this time: milliseconds since 1970, RFC 3339, or `-2h`.',
      {
        type: 'string',
      },
    ),
  ],
  responses: {
    '200': { description: 'Its bounds.', content: json(schema('Offsets')) },
    ...problems([...READ_CODES, 'invalid_argument']),
  },
};

const TOPIC_OPERATIONS: Json = {
  get: {
    operationId: 'showTopic',
    summary: 'Everything about one topic.',
    responses: {
      '200': { description: 'The topic.', content: json(schema('Topic')) },
      ...problems([...READ_CODES, 'invalid_argument']),
    },
  },
  put: {
    operationId: 'putTopic',
    summary: 'Make the topic, or change the settings that the body names.',
    requestBody: { description: 'None: the defaults.', content: json(schema('SettingsChange')) },
    responses: {
      '200': { description: 'It was there; its settings are these now.', content: json(schema('Topic')) },
      '201': {
        description: 'Made.',
        headers: { Location: { schema: { type: 'string' } } },
        content: json(schema('Topic')),
      },
      ...problems([
        ...WRITE_CODES,
        'invalid_argument',
        'malformed_input',
        'unsupported_media_type',
        'batch_too_large',
      ]),
    },
  },
  delete: {
    operationId: 'deleteTopic',
    summary: 'Delete the topic with its records and groups. Nothing brings them back.',
    responses: { '204': { description: 'Deleted.' }, ...problems([...WRITE_CODES, 'invalid_argument']) },
  },
};

const OTHER_PATHS: Json = {
  '/topics': {
    get: {
      operationId: 'listTopics',
      summary: 'Every topic, with its bounds.',
      responses: {
        '200': { description: 'The topics, by name.', content: json(schema('TopicList')) },
        ...problems(['data_directory_not_found', 'io_error', 'permission_denied', 'invalid_argument']),
      },
    },
  },
  '/health': {
    get: {
      operationId: 'showHealth',
      summary: 'Whether the server can do its work. Needs no token.',
      security: [],
      responses: {
        '200': { description: 'It can.', content: json(schema('Health')) },
        '503': {
          description: 'It cannot: `code` says why, and it goes on by itself when it can.',
          content: json(schema('Problem'), PROBLEM_MEDIA_TYPE),
        },
        ...without('503', problems(['invalid_argument'])),
      },
    },
  },
  '/metrics': {
    get: {
      operationId: 'showMetrics',
      summary: 'What the server counts, for Prometheus.',
      responses: {
        '200': {
          description: 'Text format 0.0.4.',
          content: { 'text/plain': { schema: { type: 'string' } } },
        },
        ...problems(['invalid_argument', 'data_directory_not_found', 'io_error']),
      },
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'showDescription',
      summary: 'This description.',
      responses: {
        '200': { description: 'OpenAPI 3.1.', content: json({ type: 'object' }) },
        ...problems(['invalid_argument']),
      },
    },
  },
};

function without(status: string, answers: Json): Json {
  return Object.fromEntries(Object.entries(answers).filter(([name]) => name !== status));
}

const PAYLOAD: Json = {
  payload: { type: 'string', description: 'Where the bytes are UTF-8.' },
  payload_base64: { type: 'string', contentEncoding: 'base64', description: 'Where they are not.' },
};

const BOUNDS: Json = {
  topic: { type: 'string' },
  startOffset: offset('First offset that the topic still has.'),
  endOffset: offset('Next offset that will be assigned.'),
  count: { type: 'integer', description: 'Offsets from start to end; gaps count too.' },
  bytes: { type: 'integer', description: 'Of all stores.' },
  segments: { type: 'integer' },
  firstTimestamp: timestamp('Of the first record'),
  lastTimestamp: timestamp('Of the last record'),
};

const object = (properties: Json, optional: readonly string[] = []): Json => ({
  type: 'object',
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
});

const SETTINGS_CHANGE: Json = {
  type: 'object',
  properties: Object.fromEntries(
    TOPIC_SETTING_NAMES.map((name) => [
      name,
      {
        type: ['integer', 'string'],
        description: 'Bytes or milliseconds, or text like `64M`, `30d`, `none`.',
      },
    ]),
  ),
  additionalProperties: false,
};

const SCHEMAS: Json = {
  Ack: object({
    topic: { type: 'string' },
    offset: offset('Of the first record.'),
    lastOffset: offset('Of the last.'),
    nextOffset: offset('The one after it.'),
    count: { type: 'integer', minimum: 1 },
    timestamp: offset('When they were stored: milliseconds since 1970.'),
  }),
  Records: object({
    records: { type: 'array', minItems: 1, items: { type: 'object', properties: PAYLOAD } },
  }),
  Message: object(
    {
      offset: offset('Which record.'),
      timestamp: offset('When it was stored: milliseconds since 1970.'),
      ...PAYLOAD,
    },
    ['payload', 'payload_base64'],
  ),
  Messages: object(
    {
      topic: { type: 'string' },
      messages: { type: 'array', items: schema('Message') },
      nextOffset: offset('Where the next answer begins.'),
      startOffset: offset('Where the topic begins.'),
      endOffset: offset('Where it ends, exclusive.'),
      stoppedAt: {
        ...object({
          offset: offset('That cannot be read.'),
          nextReadable: offset('From which reading can go on.'),
          code: { const: 'damaged' },
        }),
        description: 'Damage ended the answer early.',
      },
    },
    ['stoppedAt'],
  ),
  Offsets: object({ ...BOUNDS, offset: offset('With `timestamp`: first record at or after it.') }, [
    'offset',
  ]),
  TopicList: object({
    topics: {
      type: 'array',
      items: {
        oneOf: [
          object(BOUNDS),
          {
            ...object({ topic: { type: 'string' }, code: { type: 'string' } }),
            description: 'One that cannot be read.',
          },
        ],
      },
    },
  }),
  Topic: object({
    ...BOUNDS,
    id: { type: ['string', 'null'], format: 'uuid' },
    generation: { type: 'integer' },
    settings: object(Object.fromEntries(TOPIC_SETTING_NAMES.map((name) => [name, { type: 'integer' }]))),
    groups: {
      type: 'array',
      items: object({
        name: { type: 'string' },
        nextOffset: { type: ['integer', 'null'] },
        behind: { type: ['integer', 'null'] },
        storedAt: timestamp('When it was stored'),
      }),
    },
  }),
  SettingsChange: {
    oneOf: [SETTINGS_CHANGE, { ...object({ settings: SETTINGS_CHANGE }), additionalProperties: false }],
  },
  Health: object({
    status: { const: 'ok' },
    version: { type: 'string' },
    uptimeSeconds: { type: 'integer' },
    topics: { type: 'integer' },
    dataDir: { enum: ['writable', 'read-only'] },
  }),
  Problem: object(
    {
      type: { type: 'string', format: 'uri' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string', description: 'What is wrong and what to do.' },
      instance: { type: 'string' },
      code: { enum: Object.keys(ERROR_TABLE) },
      retryable: { type: 'boolean', description: 'The same request may succeed later.' },
      sideEffects: { enum: ['none', 'unknown'], description: 'Whether anything may have been stored.' },
      topic: { type: 'string' },
      offset: { type: 'integer' },
      startOffset: { type: 'integer' },
      endOffset: { type: 'integer' },
      nextReadable: { type: 'integer' },
      nextOffset: { type: 'integer' },
      expectedOffset: { type: 'integer' },
      actualOffset: { type: 'integer' },
    },
    [
      'topic',
      'offset',
      'startOffset',
      'endOffset',
      'nextReadable',
      'nextOffset',
      'expectedOffset',
      'actualOffset',
    ],
  ),
};

const TOPIC_PARAMETER: Json = {
  name: 'topic',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: '^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$' },
};

export const OPENAPI_DOCUMENT: Json = {
  openapi: '3.1.0',
  info: {
    title: 'FastQueue',
    version: '1',
    summary: 'A persistent message queue on log files, over HTTP.',
    description:
      'HEAD is answered wherever GET is. OPTIONS names the methods. Every error is an application/problem+json document whose `code` is in docs/ERRORS.md.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: 'http://127.0.0.1:8080' }],
  security: [{}, { token: [] }],
  paths: {
    '/topics/{topic}/messages': { parameters: [TOPIC_PARAMETER], get: CONSUME, post: PUBLISH },
    '/topics/{topic}/offsets': { parameters: [TOPIC_PARAMETER], get: SHOW_OFFSETS },
    '/topics/{topic}': { parameters: [TOPIC_PARAMETER], ...TOPIC_OPERATIONS },
    ...OTHER_PATHS,
  },
  components: {
    schemas: SCHEMAS,
    securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
  },
};
