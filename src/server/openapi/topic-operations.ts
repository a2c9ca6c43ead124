/**
 * Of topics: their list, one of them, where it begins and ends.
 */
import { json, query, schema, type Json } from './parts.ts';
import { problems, READ_CODES, WRITE_CODES } from './problems.ts';

export const LIST_TOPICS: Json = {
  operationId: 'listTopics',
  summary: 'Every topic, with its bounds.',
  responses: {
    '200': { description: 'The topics, by name.', content: json(schema('TopicList')) },
    ...problems(['data_directory_not_found', 'io_error', 'permission_denied', 'invalid_argument']),
  },
};

export const SHOW_OFFSETS: Json = {
  operationId: 'showOffsets',
  summary: 'Where the topic begins and ends.',
  parameters: [
    query(
      'timestamp',
      'Also the first record at or after this time: milliseconds since 1970 (13 digits), seconds (10), RFC 3339, `2026-01-31`, or `-2h`.',
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

export const TOPIC_OPERATIONS: Json = {
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
    parameters: [
      {
        name: 'If-None-Match',
        in: 'header',
        description: '`*`: only make it; where it is there, 412 and nothing is changed. A topic has no ETag.',
        schema: { type: 'string' },
      },
    ],
    requestBody: {
      description: 'None: a new topic gets the defaults, one that is there stays as it is.',
      content: json(schema('SettingsChange')),
    },
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
        'condition_failed',
        'unsupported_media_type',
        'batch_too_large',
      ]),
    },
  },
  delete: {
    operationId: 'deleteTopic',
    summary: 'Delete the topic with its records and groups. Nothing brings them back.',
    responses: {
      '204': { description: 'Deleted.' },
      ...problems([...WRITE_CODES, 'invalid_argument', 'unsupported_media_type', 'batch_too_large']),
    },
  },
};
