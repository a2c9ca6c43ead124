/**
 * What the server answers, as OpenAPI 3.1: GET /openapi.json, and docs/openapi.yaml, which scripts/openapi.js writes from
 * here. Limits and error codes are those of the code.
 */
import { CONSUME, PUBLISH } from './openapi/message-operations.ts';
import type { Json } from './openapi/parts.ts';
import { SCHEMAS } from './openapi/schemas.ts';
import { SERVER_PATHS } from './openapi/server-paths.ts';
import { LIST_TOPICS, SHOW_OFFSETS, TOPIC_OPERATIONS } from './openapi/topic-operations.ts';

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
      'HEAD is answered wherever GET is. OPTIONS names the methods. Answers to GET that may change carry `Cache-Control`: `no-cache` where they have an ETag, `no-store` where they have none, errors too. Every error is an application/problem+json document whose `code` is in docs/ERRORS.md.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: 'http://127.0.0.1:8080' }],
  security: [{}, { token: [] }],
  paths: {
    '/topics/{topic}/messages': { parameters: [TOPIC_PARAMETER], get: CONSUME, post: PUBLISH },
    '/topics/{topic}/offsets': { parameters: [TOPIC_PARAMETER], get: SHOW_OFFSETS },
    '/topics/{topic}': { parameters: [TOPIC_PARAMETER], ...TOPIC_OPERATIONS },
    '/topics': { get: LIST_TOPICS },
    ...SERVER_PATHS,
  },
  components: {
    schemas: SCHEMAS,
    securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
  },
};
