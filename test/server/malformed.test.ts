/**
 * Ten thousand requests that no client should send, from random bytes to requests that are right but for one thing, in
 * parallel over plain sockets. Whatever comes: an answer or a closed connection, soon, and never a 500.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import { parseAnswers, Server } from './serving.ts';

const REQUESTS = 10_000;
const PER_RUN = 1000;
const AT_ONCE = 250;
/** Longest that one request may take beside the others. */
const HANG_MS = 8000;
/** A client that has its answer leaves so much later, and one that has none gives up. */
const ANSWERED_MS = 15;
const UNANSWERED_MS = 250;

const METHODS = [
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'get',
  'G\0T',
  'M-SEARCH',
  '',
];
const TOPICS = [
  't',
  'empty',
  'none',
  '.',
  '..',
  '-x',
  '%2e%2e',
  'a%2fb',
  '%00',
  '%',
  '%ff',
  'x'.repeat(250),
  '',
  'ü',
];
const TAILS = [
  '/messages',
  '/offsets',
  '',
  '/',
  '/messages/',
  '//messages',
  '/messages/../..',
  '/x',
  '/messages;a=b',
];
const OTHER_PATHS = [
  '/',
  '/topics',
  '/health',
  '/metrics',
  '/openapi.json',
  '*',
  '//',
  'http://x/',
  '/%',
  '\\',
  '/topics/\0',
];
const PARAMETERS = [
  'offset',
  'limit',
  'max_bytes',
  'wait',
  'clamp',
  'timestamp',
  '',
  'x',
  '__proto__',
  'constructor',
];
const VALUES = [
  '0',
  '-1',
  '1',
  'end',
  'beginning',
  ':',
  '1:0',
  '@',
  '@-1h',
  '@9e99',
  'NaN',
  'true',
  '',
  '%00',
  '%zz',
  '9'.repeat(30),
  '1e9',
  '[]',
  '٣',
];
const HEADER_NAMES = [
  'Content-Length',
  'Transfer-Encoding',
  'Host',
  'Connection',
  'Upgrade',
  'Expect',
  'X y',
  '',
  'Accept',
  'Content-Type',
  'Content-Encoding',
  'Origin',
  'Sec-Fetch-Site',
  'Authorization',
  'If-None-Match',
  'If-Match',
  'Range',
  'Last-Event-ID',
  'FastQueue-Expected-Offset',
  'Cookie',
  '__proto__',
];
/** From here on a header says nothing of where the request begins and ends. */
const JUDGED_FROM = HEADER_NAMES.indexOf('Accept');
const HEADER_VALUES = [
  'application/json',
  'application/x-ndjson',
  'application/octet-stream',
  'application/vnd.fastqueue.records+json',
  'text/html;q=2',
  '*/*;q=-1',
  ',,,;;;===',
  '0',
  '-1',
  '99999999999999999999',
  'chunked',
  'gzip, chunked',
  'close',
  'keep-alive',
  'websocket',
  '100-continue',
  'null',
  'https://evil.example',
  'localhost',
  'evil.example',
  'Bearer \u00ff',
  '"',
  'W/"a", *',
  'bytes=0-1',
  'a'.repeat(20_000),
  '\0',
  '',
];
const TIDY_VALUES = HEADER_VALUES.filter((value) => /^[ -~]{1,100}$/.test(value));
const BODIES = [
  '',
  '{}',
  '[]',
  'null',
  '{"records":[]}',
  '{"records":[{}]}',
  '{"records":[{"payload":1}]}',
  '{"records":[{"payload_base64":"*"}]}',
  '{"records":{"length":1}}',
  '{"__proto__":{"records":[]}}',
  '{"settings":{"segmentBytes":"1"}}',
  '{"settings":{"segmentBytes":1e400}}',
  '{"segmentBytes":-1,"x":null}',
  '['.repeat(20_000),
  '\n\n',
  '\xff\xfe\0',
  '5\r\nhello\r\n0\r\n\r\n',
  'ffffffffffffffff\r\n',
  '-1\r\n\r\n',
  '0\r\nX: y\r\n\r\n',
];

const oneOf = fc.constantFrom;

/** Mostly one of the values that mean something, sometimes any text. */
const orAnyText = (values: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof(
    { arbitrary: oneOf(...values), weight: 7 },
    { arbitrary: fc.string({ maxLength: 12 }), weight: 1 },
  );

const target = fc
  .tuple(
    fc.oneof(
      {
        arbitrary: fc
          .tuple(orAnyText(TOPICS), oneOf(...TAILS))
          .map(([topic, tail]) => `/topics/${topic}${tail}`),
        weight: 5,
      },
      { arbitrary: oneOf(...OTHER_PATHS), weight: 1 },
    ),
    fc.array(fc.tuple(orAnyText(PARAMETERS), orAnyText(VALUES)), { maxLength: 3 }),
  )
  .map(
    ([path, query]) => path + (query.length === 0 ? '' : `?${query.map((pair) => pair.join('=')).join('&')}`),
  );

const shaped = fc
  .record({
    method: orAnyText(METHODS),
    target,
    version: fc.oneof(
      { arbitrary: fc.constant('HTTP/1.1'), weight: 9 },
      { arbitrary: oneOf('HTTP/1.0', 'HTTP/2.0', 'HTTP/9', '', 'XTTP/1.1'), weight: 1 },
    ),
    host: fc.boolean(),
    headers: fc.array(fc.tuple(orAnyText(HEADER_NAMES), orAnyText(HEADER_VALUES)), { maxLength: 4 }),
    body: orAnyText(BODIES),
    hasLength: fc.boolean(),
  })
  .map(({ method, target, version, host, headers, body, hasLength }) => {
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
    if (host) lines.push('Host: localhost\r\n');
    if (hasLength) lines.push(`Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n`);
    return Buffer.from(`${method} ${target} ${version}\r\n${lines.join('')}\r\n${body}`, 'latin1');
  });

/** What HTTP lets through and the server has to judge: nothing is wrong but what is asked for, and how. */
const judged = fc
  .record({
    method: oneOf('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'),
    target: target.map((path) => encodeURI(path).replaceAll('%25', '%')),
    headers: fc.array(fc.tuple(oneOf(...HEADER_NAMES.slice(JUDGED_FROM)), oneOf(...TIDY_VALUES)), {
      maxLength: 3,
    }),
    body: oneOf(...BODIES),
  })
  .map(({ method, target, headers, body }) => {
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    const length = Buffer.byteLength(body, 'latin1');
    const head = `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n${lines}\r\n`;
    return Buffer.from(head + body, 'latin1');
  });

/** A request that was right, with some of its bytes changed, dropped or doubled. */
const mutated = fc
  .tuple(
    shaped,
    fc.array(fc.tuple(fc.nat(), fc.nat(255), oneOf('change', 'drop', 'double')), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([request, changes]) =>
    changes.reduce((bytes, [place, byte, change]) => {
      const at = place % (bytes.length + 1);
      const rest = bytes.subarray(change === 'double' ? Math.max(0, at - 20) : at + 1);
      return Buffer.concat([
        bytes.subarray(0, at),
        change === 'change' ? Buffer.of(byte) : Buffer.alloc(0),
        rest,
      ]);
    }, request),
  );

const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

const malformed = fc.oneof(
  { arbitrary: judged, weight: 5 },
  { arbitrary: shaped, weight: 3 },
  { arbitrary: mutated, weight: 2 },
  { arbitrary: noise, weight: 1 },
);

const shown = (request: Buffer): string => JSON.stringify(request.toString('latin1').slice(0, 2000));

describe('serve under malformed requests', () => {
  const { sandbox, server } = Server.forAll();

  before(async () => {
    await server.publishLines('t', 'a\nb\nc');
    await sandbox.run(['topics', 'create', 'empty']);
  });

  after(async () => {
    const { stderr } = await server.ended;
    expect(stderr).to.not.match(/^\s+at .*:\d+:\d+/m);
  });

  /** Sends it, and says that nothing more comes once it was answered or nothing was; resolves with all that came. */
  async function send(request: Buffer): Promise<Buffer> {
    const socket = await server.connect();
    const chunks: Buffer[] = [];
    return new Promise((resolve, reject) => {
      const hanging = setTimeout(() => {
        socket.destroy();
        reject(new Error(`no end after ${HANG_MS} ms of ${shown(request)}`));
      }, HANG_MS);
      let quiet = setTimeout(() => socket.end(), UNANSWERED_MS);
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        clearTimeout(quiet);
        quiet = setTimeout(() => socket.end(), ANSWERED_MS);
        // Events never end, and have been answered well with their first bytes.
        if (chunk.includes('text/event-stream')) socket.destroy();
      });
      socket.on('close', () => {
        clearTimeout(hanging);
        clearTimeout(quiet);
        resolve(Buffer.concat(chunks));
      });
      socket.write(request);
    });
  }

  /** The same for many, some at a time. */
  async function sendAll(requests: readonly Buffer[]): Promise<Buffer[]> {
    const answers: Buffer[] = [];
    let next = 0;
    const sender = async (): Promise<void> => {
      while (next < requests.length) {
        const at = next++;
        answers[at] = await send(requests[at]!);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sender));
    return answers;
  }

  function judge(request: Buffer, bytes: Buffer): number[] {
    if (bytes.includes('text/event-stream') || request.includes('HEAD')) return [];
    const answers = parseAnswers(bytes);
    for (const { status, headers, body } of answers) {
      expect(status, `${shown(request)} ${body.toString()}`).to.be.lessThan(500);
      expect(body.includes(sandbox.directory), shown(request)).to.equal(false);
      if (status >= 400)
        expect(headers.get('content-type'), shown(request)).to.match(/^application\/problem\+json/);
    }
    return answers.map(({ status }) => status);
  }

  it(`answers or closes each of ${REQUESTS} of them, and serves on`, async () => {
    const seed = Number(process.env['FASTQUEUE_TEST_SEED'] ?? Date.now() % 2 ** 31);
    const counts = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(fc.array(malformed, { minLength: PER_RUN, maxLength: PER_RUN }), async (requests) => {
        const answers = await sendAll(requests);
        answers.forEach((bytes, at) => {
          for (const status of judge(requests[at]!, bytes)) counts.set(status, (counts.get(status) ?? 0) + 1);
        });
      }),
      { numRuns: REQUESTS / PER_RUN, seed, endOnFailure: true },
    );
    const statuses = [...counts].sort().map(([status, count]) => `${count} × ${status}`);
    console.log(`      seed ${seed}: ${statuses.join(', ')}`);
    expect((await server.get('/health')).json).to.include({ status: 'ok' });
    expect(server.child.exitCode).to.equal(null);
    await server.publish('t', 'after');
    const { status, stdout } = await sandbox.run(['verify', 't']);
    expect(status, stdout.toString()).to.equal(0);
  });
});
