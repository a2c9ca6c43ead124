/**
 * Holds answers to the OpenAPI description: status, form, body and headers have to be among what it says of the operation,
 * and a document has no member that it does not name. Every answer that a test is given passes here.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import type { IncomingHttpHeaders } from 'node:http';
import { OPENAPI_DOCUMENT } from '../../src/server/openapi.ts';

type Json = Record<string, unknown>;

export interface DescribedAnswer {
  readonly headers?: Record<string, Json>;
  readonly content?: Record<string, { readonly schema: Json }>;
}

interface DescribedOperation {
  readonly responses: Readonly<Record<string, DescribedAnswer>>;
}

export interface Operation extends DescribedOperation {
  /** `GET /topics/{topic}` */
  readonly name: string;
  readonly path: string;
  readonly method: string;
}

const METHODS = ['get', 'post', 'put', 'delete'];

/** Every operation that is described. */
export const OPERATIONS: readonly Operation[] = Object.entries(
  OPENAPI_DOCUMENT['paths'] as Record<string, Record<string, DescribedOperation>>,
).flatMap(([path, item]) =>
  METHODS.filter((method) => item[method] !== undefined).map((method) => ({
    ...item[method]!,
    name: `${method.toUpperCase()} ${path}`,
    path,
    method: method.toUpperCase(),
  })),
);

/** Headers that mean something to a client of this server; the others are HTTP's own. */
const OWN_HEADERS = /^(location|etag|link|retry-after|fastqueue-.*)$/;

/** Problems of a request that meets no operation, which the description tells once for all. */
const BESIDE_OPERATIONS = new Set([404, 405]);

const validators = new Ajv2020({
  allowUnionTypes: true,
  formats: { int64: true, uri: /^[a-z][a-z0-9+.-]*:\S+$/, uuid: /^[0-9a-f-]{36}$/ },
});
for (const [name, schema] of Object.entries(
  (OPENAPI_DOCUMENT['components'] as { schemas: Record<string, Json> }).schemas,
)) {
  validators.addSchema(exact(schema) as Json, `#/components/schemas/${name}`);
}
const compiled = new Map<Json, ValidateFunction>();

/** The schema, where an object has the members that are named and no other. */
function exact(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(exact);
  if (typeof schema !== 'object' || schema === null) return schema;
  const members = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, exact(value)]));
  return 'properties' in schema ? { additionalProperties: false, ...members } : members;
}

/** The operation that a request means; undefined where there is none of that path and method. */
export function operationOf(method: string, target: string): Operation | undefined {
  const path = target.replace(/[?#].*$/s, '');
  const sought = method === 'HEAD' ? 'GET' : method;
  return OPERATIONS.find(
    (operation) =>
      operation.method === sought &&
      new RegExp(`^${operation.path.replace('{topic}', '[^/]+').replaceAll('.', '\\.')}$`).test(path),
  );
}

export interface GivenAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** @throws AssertionError where the answer is not one of those that the description has for the request */
export function expectDescribed(request: { method: string; target: string }, answer: GivenAnswer): void {
  const { method, target } = request;
  expectToldToCaches(request, answer);
  const operation = operationOf(method, target);
  if (operation === undefined) return;
  const where = `${operation.name} ${answer.status}`;
  const described = operation.responses[String(answer.status)];
  if (described === undefined) {
    expect(BESIDE_OPERATIONS.has(answer.status), `${where} is not described`).to.equal(true);
    return;
  }
  expectHeaders(where, described, answer);
  if (method !== 'HEAD') expectBody(where, described, answer);
}

/** As the description says of all answers to GET: kept for a second look at most, and only where there is a tag. */
function expectToldToCaches(request: { method: string; target: string }, answer: GivenAnswer): void {
  const { status, headers } = answer;
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!isRead || (request.target === '/openapi.json' && status === 200)) return;
  const expected = headers.etag === undefined ? 'no-store' : 'no-cache';
  expect(headers['cache-control'], `Cache-Control of ${request.target} ${status}`).to.equal(expected);
}

function expectHeaders(where: string, described: DescribedAnswer, answer: GivenAnswer): void {
  const known = Object.keys(described.headers ?? {}).map((name) => name.toLowerCase());
  const given = Object.keys(answer.headers).filter((name) => OWN_HEADERS.test(name));
  for (const name of given) expect(known, `headers of ${where}`).to.include(name);
}

function expectBody(where: string, described: DescribedAnswer, answer: GivenAnswer): void {
  if (described.content === undefined) {
    expect(answer.body.length, `body of ${where}`).to.equal(0);
    return;
  }
  const mediaType = (answer.headers['content-type'] ?? 'none').split(';')[0]!;
  const content = described.content[mediaType];
  expect(content, `${where} as ${mediaType} is not described`).to.not.equal(undefined);
  const isJson = /[/+]json$/.test(mediaType);
  const value: unknown = isJson ? JSON.parse(answer.body.toString()) : answer.body.toString('latin1');
  const { schema } = content!;
  let validate = compiled.get(schema);
  if (validate === undefined) {
    validate = validators.compile(exact(schema) as Json);
    compiled.set(schema, validate);
  }
  if (!validate(value)) {
    expect.fail(
      `${where} is not as described: ${validators.errorsText(validate.errors)} in ${String(answer.body)}`,
    );
  }
}
