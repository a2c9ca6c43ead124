/**
 * Of the server itself: its health, its metrics, this description.
 */
import { PROBLEM_MEDIA_TYPE } from '../media-types.ts';
import { json, schema, type Json } from './parts.ts';
import { problems, RETRY_AFTER } from './problems.ts';

export const SERVER_PATHS: Json = {
  '/health': {
    get: {
      operationId: 'showHealth',
      summary: 'Whether the server can do its work. Needs no token.',
      security: [],
      responses: {
        '200': { description: 'It can.', content: json(schema('Health')) },
        '503': {
          description: 'It cannot: `code` says why, and it goes on by itself when it can.',
          headers: RETRY_AFTER,
          content: json(schema('HealthProblem'), PROBLEM_MEDIA_TYPE),
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
