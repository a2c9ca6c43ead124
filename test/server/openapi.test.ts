/**
 * The OpenAPI description against the running server. That no answer is missing there is held for every answer that any
 * test here is given (described.ts); this file holds the other way: what it describes, the server does.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import { SCHEMAS } from '../../src/server/openapi/schemas.ts';
import { damageRecord } from './damaging.ts';
import { OPERATIONS, operationOf, type DescribedAnswer } from './described.ts';
import { EventStream, Server, type Answer, type RequestOptions } from './serving.ts';

interface Given {
  readonly status: number;
  readonly mediaType: string | undefined;
  /** In lower case. */
  readonly headers: readonly string[];
}

const BATCH = 'application/vnd.fastqueue.records+json';

describe('GET /openapi.json', () => {
  const { sandbox, server } = Server.forAll();
  /** Answers by the name of their operation. */
  const given = new Map<string, Given[]>();

  function note(operation: string, answer: Pick<Answer, 'status' | 'headers'>): void {
    const mediaType = answer.headers['content-type']?.split(';')[0];
    const entry = { status: answer.status, mediaType, headers: Object.keys(answer.headers) };
    given.set(operation, [...(given.get(operation) ?? []), entry]);
  }

  async function ask(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const answer = await server.request(method, path, options);
    note(operationOf(method, path)!.name, answer);
    return answer;
  }

  const accept = (type: string): RequestOptions => ({ headers: { accept: type } });

  before('asks for everything that is described', async () => {
    const messages = '/topics/t/messages';
    await ask('PUT', '/topics/t', { body: '{"settings":{"segmentBytes":"1MiB"}}' });
    await ask('PUT', '/topics/t', { body: '{"retentionAgeMs":"30d"}' });
    for (const type of ['application/x-ndjson', 'text/plain'])
      await ask('POST', messages, { body: 'a\nb\n', headers: { 'content-type': type } });
    await ask('POST', messages, {
      body: '{"records":[{"payload":"a"},{"payload_base64":"/w=="}]}',
      headers: { 'content-type': BATCH, 'FastQueue-Expected-Offset': '3' },
    });
    const { headers } = await ask('GET', `${messages}?offset=0&limit=2&max_bytes=1k&wait=0.1&clamp=true`);
    await ask('GET', `${messages}?offset=0&limit=2`, {
      headers: { 'if-none-match': headers.etag as string },
    });
    await ask('GET', messages, accept('application/x-ndjson'));
    const octets = { accept: 'application/octet-stream' };
    const record = await ask('GET', `${messages}?limit=1`, { headers: octets });
    await ask('GET', `${messages}?limit=1`, {
      headers: { ...octets, 'if-none-match': record.headers.etag as string },
    });
    await ask('GET', `${messages}?limit=1&offset=end`, accept('application/octet-stream'));
    await ask('GET', `${messages}?offset=0:0`, accept('text/event-stream'));
    const stream = await EventStream.open(server, `${messages}?limit=1`, { 'last-event-id': '0' });
    note(`GET ${messages.replace('/t/', '/{topic}/')}`, {
      status: stream.answer.statusCode as number,
      headers: stream.answer.headers,
    });
    stream.close();
    await server.publishLines('damaged', 'a\nb\nc');
    damageRecord(sandbox, { topic: 'damaged', offset: 1 });
    await ask('GET', '/topics/damaged/messages', accept('application/x-ndjson'));
    await ask('GET', '/topics/damaged/messages');
    await ask('GET', '/topics/t/offsets?timestamp=-1h');
    for (const path of ['/topics/t', '/topics', '/health', '/metrics', '/openapi.json'])
      await ask('GET', path);
    await ask('DELETE', '/topics/t');
  });

  it('is OpenAPI 3.1', async () => {
    const { json, headers } = await server.get('/openapi.json');
    expect(headers['content-type']).to.match(/^application\/json/);
    expect(json['openapi']).to.match(/^3\.1\./);
  });

  it('describes the records that the server takes, and none that it refuses', async () => {
    const isDescribed = new Ajv2020({ allowUnionTypes: true }).compile(SCHEMAS['Records'] as object);
    const documents: unknown[] = [
      {},
      [],
      { records: [] },
      { records: {} },
      { records: [{ payload: 'a' }], acks: 'all' },
      ...[
        {},
        [],
        'a',
        { payload: 'a' },
        { payload: 1 },
        { payload_base64: '/w==' },
        { payload: 'a', payload_base64: '/w==' },
        { payload: 'a', key: 'k' },
        { payload: 'a', type: 'record' },
        { payload: 'a', type: 'ack' },
        { payload: 'a', topic: 'u', offset: 7, timestamp: 1 },
        { payload: 'a', topic: null, offset: '7', timestamp: [] },
      ].map((record) => ({ records: [record] })),
    ];
    for (const document of documents) {
      const body = JSON.stringify(document);
      const { status } = await server.publish('described', body, { 'content-type': BATCH });
      expect(isDescribed(document), `${body} was answered ${status}`).to.equal(status === 201);
    }
  });

  for (const { name, responses } of OPERATIONS) {
    for (const [status, described] of Object.entries(responses).filter(([status]) => Number(status) < 400)) {
      it(`has a ${status} of ${name} that the server gives, in every form and with every header`, () => {
        const answers = (given.get(name) ?? []).filter((answer) => String(answer.status) === status);
        expect(answers, 'answers').to.not.have.length(0);
        const forms = answers.flatMap(({ mediaType }) => mediaType ?? []);
        expect(forms).to.include.members(Object.keys(described.content ?? {}));
        expect(answers.flatMap(({ headers }) => headers)).to.include.members(headersOf(described));
      });
    }
  }
});

const headersOf = ({ headers }: DescribedAnswer): string[] =>
  Object.keys(headers ?? {}).map((header) => header.toLowerCase());
