/**
 * What stands in bodies, of requests and of answers.
 */
import { ERROR_TABLE, PRINTED_BESIDE_PAYLOAD, TOPIC_SETTING_NAMES } from '../../engine/index.ts';
import { object, offset, schema, timestamp, type Json } from './parts.ts';

const PAYLOAD: Json = {
  payload: { type: 'string', description: 'Where the bytes are UTF-8.' },
  payload_base64: { type: 'string', contentEncoding: 'base64', description: 'Where they are not.' },
};

/** Of a record that was read elsewhere. */
const NOT_STORED: Json = { description: 'As it was printed: any value. It is not stored.' };

/** To be stored: its payload alone, and any member that would be lost is refused. */
const RECORD: Json = {
  type: 'object',
  properties: {
    ...PAYLOAD,
    ...Object.fromEntries(PRINTED_BESIDE_PAYLOAD.map((name) => [name, NOT_STORED])),
    type: { const: 'record' },
  },
  oneOf: [{ required: ['payload'] }, { required: ['payload_base64'] }],
  additionalProperties: false,
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

const SERVER_FACTS: Json = {
  version: { type: 'string' },
  uptimeSeconds: { type: 'integer' },
  topics: { type: 'integer' },
};

const PROBLEM: Json = {
  type: { type: 'string', format: 'uri' },
  title: { type: 'string' },
  status: { type: 'integer' },
  detail: { type: 'string', description: 'What is wrong and what to do.' },
  instance: { type: 'string' },
  code: { enum: Object.keys(ERROR_TABLE) },
  retryable: { type: 'boolean', description: 'The same request may succeed later.' },
  sideEffects: { enum: ['none', 'unknown'], description: 'Whether anything may have been stored.' },
};

/** Where the problem is about a topic. */
const PROBLEM_DETAILS: Json = {
  topic: { type: 'string' },
  offset: { type: 'integer' },
  startOffset: { type: 'integer' },
  endOffset: { type: 'integer' },
  nextReadable: { type: 'integer' },
  nextOffset: { type: 'integer' },
  expectedOffset: { type: 'integer' },
  actualOffset: { type: 'integer' },
};

export const SCHEMAS: Json = {
  Ack: object({
    topic: { type: 'string' },
    offset: offset('Of the first record.'),
    lastOffset: offset('Of the last.'),
    nextOffset: offset('The one after it.'),
    count: { type: 'integer', minimum: 1 },
    timestamp: offset('When they were stored: milliseconds since 1970.'),
  }),
  Records: {
    ...object({ records: { type: 'array', minItems: 1, items: RECORD } }),
    additionalProperties: false,
  },
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
    ...SERVER_FACTS,
    status: { const: 'ok' },
    dataDir: { enum: ['writable', 'read-only'] },
  }),
  HealthProblem: object({
    ...PROBLEM,
    ...SERVER_FACTS,
    dataDir: { enum: ['full', 'not writable', 'missing', 'writable', 'failing'] },
  }),
  Problem: object({ ...PROBLEM, ...PROBLEM_DETAILS }, Object.keys(PROBLEM_DETAILS)),
};
