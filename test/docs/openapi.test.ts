import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ERROR_TABLE } from '../../src/engine/errors.ts';
import { OPENAPI_DOCUMENT } from '../../src/server/openapi.ts';
import { ROUTES } from '../../src/server/router.ts';

interface Operation {
  readonly operationId: string;
  readonly responses: Record<string, { description: string }>;
}

const paths = OPENAPI_DOCUMENT['paths'] as Record<string, Record<string, Operation>>;
const METHODS = ['get', 'post', 'put', 'delete'];

const described = Object.entries(paths).flatMap(([path, operations]) =>
  METHODS.filter((method) => operations[method] !== undefined).map((method) => ({
    name: `${method.toUpperCase()} ${path}`,
    operation: operations[method]!,
  })),
);

/** Every `$ref` of the document. */
function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) =>
    key === '$ref' ? [String(member)] : references(member),
  );
}

describe('docs/openapi.yaml', () => {
  it('is what GET /openapi.json answers', () => {
    const page = readFileSync(new URL('../../docs/openapi.yaml', import.meta.url), 'utf8');
    expect(parse(page)).to.deep.equal(OPENAPI_DOCUMENT);
  });

  it('describes every route and method of the server, and no other', () => {
    const served = ROUTES.flatMap(({ path, methods }) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(described.map(({ name }) => name)).to.have.members(served);
  });

  it('names only statuses that the table of errors has, and each code with its own', () => {
    const statusOf = Object.fromEntries(
      Object.entries(ERROR_TABLE).map(([code, { httpStatus }]) => [code, httpStatus]),
    );
    for (const { name, operation } of described) {
      for (const [status, { description }] of Object.entries(operation.responses)) {
        for (const [, code] of description.matchAll(/`(\w+)`: /g)) {
          expect(statusOf[code!], `${name} ${status} ${code!}`).to.equal(Number(status));
        }
      }
    }
  });

  it('names every code that an answer can carry', () => {
    const named = new Set(
      described.flatMap(({ operation }) =>
        Object.values(operation.responses).flatMap(({ description }) =>
          [...description.matchAll(/`(\w+)`: /g)].map(([, code]) => code!),
        ),
      ),
    );
    // Said of every resource or of none: they are met before there is one, or by commands only.
    const elsewhere = [
      'no_such_resource',
      'method_not_allowed',
      'recovery_incomplete',
      'address_unavailable',
    ];
    expect([...named, ...elsewhere]).to.have.members(Object.keys(ERROR_TABLE));
  });

  it('refers to nothing that it does not define', () => {
    const { schemas } = OPENAPI_DOCUMENT['components'] as { schemas: Record<string, unknown> };
    for (const reference of references(OPENAPI_DOCUMENT)) {
      expect(Object.keys(schemas)).to.include(reference.replace('#/components/schemas/', ''));
    }
  });

  it('gives every operation a name of its own', () => {
    const ids = described.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).to.equal(ids.length);
  });
});
