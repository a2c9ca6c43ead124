/** What may be asked: methods, paths, topic names, many requests on one connection. */
import { expect } from 'chai';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Sandbox } from '../cli/fastqueue.ts';
import { expectProblem, messagesOf, NDJSON, OCTETS } from './answers.ts';
import { parseAnswers, Server, untilClosed, type RawAnswer } from './serving.ts';

/** What there is in the directories of these tests besides what no name may make. */
const KNOWN_ENTRIES = ['data', 't', 'ranges', 'html', 'kept', 'half'];

describe('serve, what may be asked', () => {
  const { sandbox, server } = Server.forAll();

  before(() => server.publish('t', 'x'));

  describe('methods', () => {
    const methods: [string, string[]][] = [
      ['/topics/t/messages', ['GET', 'HEAD', 'POST']],
      ['/topics/t/offsets', ['GET', 'HEAD']],
      ['/topics/t', ['DELETE', 'GET', 'HEAD', 'PUT']],
      ['/topics', ['GET', 'HEAD']],
      ['/health', ['GET', 'HEAD']],
      ['/metrics', ['GET', 'HEAD']],
      ['/openapi.json', ['GET', 'HEAD']],
    ];
    for (const [path, allowed] of methods) {
      it(`${path} answers 405 to every other, with Allow: ${allowed.join(', ')}`, async () => {
        for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'PROPFIND', 'TRACE', 'OPTIONS']) {
          if (allowed.includes(method)) continue;
          const answer = await server.request(method, path);
          const names = (answer.headers.allow ?? '').split(', ').filter((name) => name !== 'OPTIONS');
          expect(names.sort(), method).to.deep.equal(allowed);
          if (method !== 'OPTIONS') expectProblem(answer, 405);
        }
        expect((await server.get('/topics/t')).status).to.equal(200);
      });

      it(`${path} answers HEAD as GET, without the body`, async () => {
        const [head, get] = [await server.request('HEAD', path), await server.get(path)];
        expect(get.status).to.equal(200);
        expect([head.status, head.body.length]).to.deep.equal([200, 0]);
        expect(head.headers['content-type']).to.equal(get.headers['content-type']);
        expect(Object.keys(head.headers)).to.deep.equal(Object.keys(get.headers));
      });
    }
  });

  it('* answers OPTIONS, of the server as a whole, with every method that there is, and is nothing to GET', async () => {
    const options = await server.request('OPTIONS', '*');
    expect([options.status, options.body.length]).to.deep.equal([204, 0]);
    expect((options.headers.allow ?? '').split(', ').sort()).to.deep.equal([
      'DELETE',
      'GET',
      'HEAD',
      'OPTIONS',
      'POST',
      'PUT',
    ]);
    for (const method of ['GET', 'POST']) expectProblem(await server.request(method, '*'), 404);
  });

  it('answers 404 as a problem to every other path', async () => {
    for (const path of [
      '/',
      '/topic',
      '/topics/t/message',
      '/topics/t/messages/1',
      '/topics//messages',
      '/healthz',
      '//',
      '/topics/t/',
    ]) {
      const answer = await server.get(path);
      expect(answer.status, path).to.be.oneOf([400, 404]);
      expect(answer.headers['content-type'], path).to.match(/^application\/problem\+json/);
    }
  });

  describe('a topic name', () => {
    const names = [
      '..',
      '.',
      '.hidden',
      '-flag',
      'fastqueue.json',
      'a%2Fb',
      '..%2F..%2Fetc%2Fpasswd',
      '%2e%2e',
      '%2e%2e%2fescaped',
      'a%5Cb',
      'a%00b',
      'a%0Ab',
      'gr%C3%BCn',
      '%F0%9F%90%8C',
      'a b',
      'a%20b',
      'a:b',
      'a*',
      'a%25b',
      '%zz',
      '%ff',
      '%',
      'x'.repeat(201),
      'x'.repeat(4000),
      ';rm',
      'a;b=c',
      'a+b',
      '~',
      'con%24',
    ];
    for (const name of names) {
      it(`${JSON.stringify(name.slice(0, 40))} is refused, and nothing is made anywhere`, async () => {
        const answers: RawAnswer[] = [];
        for (const [method, path] of [
          ['POST', `/topics/${name}/messages`],
          ['GET', `/topics/${name}/messages`],
          ['PUT', `/topics/${name}`],
          ['DELETE', `/topics/${name}`],
          ['GET', `/topics/${name}`],
          ['GET', `/topics/${name}/offsets`],
        ] as const) {
          const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n`;
          answers.push(...(await server.exchange(`${head}\r\n{}`)));
        }
        expect(answers).to.have.length(6);
        for (const { status } of answers) expect(status).to.be.oneOf([400, 404, 405]);
        for (const directory of [sandbox.directory, sandbox.dataDirectory])
          expect(readdirSync(directory).filter((entry) => !KNOWN_ENTRIES.includes(entry))).to.deep.equal([]);
      });
    }

    it('that the settings of the directory have is refused with a sentence that says so', async () => {
      const answer = await server.publish('fastqueue.json', 'x');
      expectProblem(answer, 400, 'invalid_topic_name');
      expect(answer.json['detail']).to.match(
        /^"fastqueue\.json" is not a topic name: .* and not fastqueue\.json\.$/,
      );
    });

    it('of 200 allowed characters works, and one that needs no escape may be escaped', async () => {
      const own = new Sandbox();
      const named = await Server.start(own);
      const longest = 'Az09._-'.padEnd(200, 'x');
      expect((await named.publish(longest, 'x')).status).to.equal(201);
      expect((await named.get(`/topics/${longest}/offsets`)).status).to.equal(200);
      expect((await named.get(`/topics/%41z09._-${'x'.repeat(193)}`)).status).to.equal(200);
      await named.stop();
      own.remove();
    });
  });

  describe('a connection', () => {
    it('takes many requests, answered in their order', async () => {
      const socket = await server.connect();
      const closed = untilClosed(socket);
      const request = (path: string, last = false): string =>
        `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
      const paths = ['/health', '/topics/t/messages', '/nowhere', '/topics/none', '/topics/t/offsets'];
      socket.write(paths.map((path, at) => request(path, at === paths.length - 1)).join(''));
      const answers = parseAnswers(await closed);
      expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 404, 404, 200]);
    });

    it('is kept after an error, and after a refused body that was small', async () => {
      const post = (topic: string, body: string, extra = ''): string =>
        `POST /topics/${topic}/messages HTTP/1.1\r\nHost: localhost\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`;
      const answers = await server.exchange(
        post('-bad', 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n') +
          post('kept', 'x', 'FastQueue-Expected-Offset: 7\r\n') +
          post('kept', 'x') +
          'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
      );
      expect(answers.map(({ status }) => status)).to.deep.equal([400, 412, 201, 200]);
    });

    it('answers the good requests before one whose body is none, which is told so behind them', async () => {
      const record =
        'POST /topics/before/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nok';
      const broken =
        'POST /topics/before/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n';
      const answers = await server.exchange(record + record + broken);
      expect(answers.map(({ status }) => status)).to.deep.equal([201, 201, 400]);
      expect((await server.get('/topics/before/messages')).json['messages']).to.have.length(2);
    });

    it('answers thousands of requests that are sent ahead, in their order', async () => {
      const socket = await server.connect();
      const closed = untilClosed(socket);
      const request = (topic: number, last = ''): string =>
        `GET /topics/${topic} HTTP/1.1\r\nHost: localhost\r\n${last}\r\n`;
      const count = 5000;
      socket.write(
        Array.from({ length: count }, (_, at) =>
          request(at, at === count - 1 ? 'Connection: close\r\n' : ''),
        ).join(''),
      );
      const topics = parseAnswers(await closed).map(
        ({ body }) => (JSON.parse(body.toString()) as { topic: string }).topic,
      );
      expect(topics).to.deep.equal(Array.from({ length: count }, (_, at) => String(at)));
    });

    describe('whose client has said that it sends no more', () => {
      const post = (topic: string, body: string, extra = ''): string =>
        `POST /topics/${topic}/messages HTTP/1.1\r\nHost: localhost\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`;
      const get = (path: string, extra = ''): string =>
        `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${extra}\r\n`;
      const chunked = post('half', '', 'Transfer-Encoding: chunked\r\n').replace('Content-Length: 0\r\n', '');

      const requests: [string, string, number[]][] = [
        ['a record', post('half', 'stored'), [201]],
        ['a record in chunks', `${chunked}6\r\nstored\r\n0\r\n\r\n`, [201]],
        ['a record as HTTP/1.0', post('half', 'stored').replace('1.1', '1.0'), [201]],
        ['a read', get('/topics/t/messages'), [200]],
        ['a condition that does not hold', post('t', 'x', 'FastQueue-Expected-Offset: 9\r\n'), [412]],
        ['a path that there is not', get('/nowhere'), [404]],
        ['no request', 'NONSENSE\r\n\r\n', [400]],
        ['half a head', 'GET /health HT', [400]],
        ['half a body', post('halved', 'stored').slice(0, -1), [400]],
        ['many requests', post('half', 'a') + get('/nowhere') + post('half', 'b'), [201, 404, 201]],
        ['nothing', '', []],
      ];
      for (const [what, bytes, expected] of requests) {
        it(`is answered ${JSON.stringify(expected)} for ${what}, and closed`, async () => {
          const answers = await server.exchange(bytes, { halfClose: true });
          expect(answers.map(({ status }) => status)).to.deep.equal(expected);
        });
      }

      it('stored what was answered with 201, and nothing of half a body', async () => {
        const stored = await server.get('/topics/half/messages');
        expect(messagesOf(stored).map(({ payload }) => payload)).to.deep.equal([
          ...Array<string>(3).fill('stored'),
          'a',
          'b',
        ]);
        expect((await server.get('/topics/halved')).status).to.equal(404);
      });

      it('gets at once what there is, where it would have waited for more', async () => {
        const begun = performance.now();
        const [poll] = await server.exchange(get('/topics/half/messages?offset=end&wait=60'), {
          halfClose: true,
        });
        expect(JSON.parse(poll!.body.toString())).to.deep.include({ messages: [], nextOffset: 5 });
        const [stream] = await server.exchange(
          get('/topics/half/messages', 'Accept: text/event-stream\r\n'),
          {
            halfClose: true,
          },
        );
        expect([...stream!.body.toString().matchAll(/^id: (\d+)$/gm)].map(([, id]) => id)).to.deep.equal([
          '0',
          '1',
          '2',
          '3',
          '4',
        ]);
        expect(performance.now() - begun).to.be.lessThan(5000);
      });
    });

    it('that asks for a proxy is told that this is none', async () => {
      const [answer] = await server.exchange('CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n');
      expect(answer?.status).to.equal(400);
      expect(JSON.parse(answer!.body.toString()))
        .to.include({ code: 'malformed_request' })
        .and.to.have.property('detail')
        .that.includes('CONNECT');
    });

    it('goes on behind an answer whose sentence has more bytes than characters', async () => {
      const request = (path: string, extra = ''): string =>
        `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${extra}\r\n`;
      const [problem, after] = await server.exchange(
        request('/topics/t/messages?offset=gr%C3%BCn%E2%88%92') + request('/health', 'Connection: close\r\n'),
      );
      expect((JSON.parse(problem!.body.toString()) as { detail: string }).detail).to.include('grün−');
      expect(after?.status).to.equal(200);
    });

    it('that brings no request, piece by piece behind one that waits, is told so once', async () => {
      const socket = await server.connect();
      const answers = untilClosed(socket).then(parseAnswers);
      socket.write('GET /topics/t/messages?offset=end&wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n');
      for (let piece = 0; piece < 30; piece++) {
        socket.write(' no request at all\r\n');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect((await answers).map(({ status }) => status)).to.deep.equal([200, 400]);
    });

    it('keeps going where a refusal comes before the body that it refuses', async () => {
      const socket = await server.connect();
      const answers = untilClosed(socket).then(parseAnswers);
      const head = 'POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\n';
      const refused = once(socket, 'data');
      socket.write(`${head}FastQueue-Expected-Offset: none\r\nContent-Length: 4\r\n\r\n`);
      await refused;
      socket.write(`body${head}Connection: close\r\nContent-Length: 4\r\n\r\nmore`);
      expect((await answers).map(({ status }) => status)).to.deep.equal([400, 201]);
    });

    it('of HTTP/1.0 is answered and closed', async () => {
      const [answer] = await server.exchange('GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n');
      expect(answer?.status).to.equal(200);
    });
  });

  describe('an answer to GET', () => {
    const kept: [string, Record<string, string>, number, string | undefined][] = [
      ['/topics/ranges/messages?limit=1', {}, 200, 'no-cache'],
      ['/topics/ranges/messages?limit=1', { 'if-none-match': '*' }, 304, 'no-cache'],
      ['/topics/ranges/messages?limit=1', OCTETS, 200, 'no-cache'],
      ['/topics/ranges/messages?limit=1', { ...OCTETS, 'if-none-match': '*' }, 304, 'no-cache'],
      ['/topics/ranges/messages?limit=9999', NDJSON, 200, 'no-cache'],
      ['/topics/ranges/messages?offset=-5', NDJSON, 200, 'no-store'],
      ['/topics/ranges/messages', {}, 200, 'no-cache'],
      ['/topics/ranges/messages?limit=1&offset=end', OCTETS, 200, 'no-store'],
      ['/topics/ranges/messages?offset=0:0', { accept: 'text/event-stream' }, 204, 'no-store'],
      ['/topics/ranges/messages?offset=99999', {}, 416, 'no-store'],
      ['/topics/ranges/offsets', {}, 200, 'no-store'],
      ['/topics/ranges', {}, 200, 'no-store'],
      ['/topics', {}, 200, 'no-store'],
      ['/health', {}, 200, 'no-store'],
      ['/metrics', {}, 200, 'no-store'],
      ['/topics/none', {}, 404, 'no-store'],
      ['/nowhere', {}, 404, 'no-store'],
      ['/openapi.json?x=1', {}, 400, 'no-store'],
      ['/openapi.json', {}, 200, undefined],
    ];

    before(() => server.publishLines('ranges', 'x'.repeat(99).concat('\n').repeat(10_000)));

    for (const [path, headers, status, expected] of kept) {
      it(`${path} with ${JSON.stringify(headers)}, ${status}: Cache-Control: ${expected ?? 'none'}`, async () => {
        for (const method of ['GET', 'HEAD']) {
          const answer = await server.request(method, path, { headers });
          expect(answer.status).to.equal(status);
          expect(answer.headers['cache-control'], method).to.equal(expected);
        }
      });
    }
  });

  it('says nothing to caches in an answer that none may keep: to POST, PUT, DELETE', async () => {
    const answers = [
      await server.publish('uncached', 'x'),
      await server.publishLines('uncached', ''),
      await server.request('PUT', '/topics/uncached'),
      await server.request('DELETE', '/topics/uncached'),
    ];
    expect(answers.map(({ status }) => status)).to.deep.equal([201, 400, 200, 204]);
    for (const { headers } of answers) expect(headers).to.not.have.property('cache-control');
  });

  it('lets no cache keep what is answered to a request that cannot be read', async () => {
    const [answer] = await server.exchange('GET\r\n\r\n');
    expect(answer?.status).to.equal(400);
    expect(answer?.headers.get('cache-control')).to.equal('no-store');
  });

  it('marks answers so that a browser takes none for a page', async () => {
    await server.publish('html', '<script>alert(1)</script>');
    for (const accept of ['application/octet-stream', 'application/x-ndjson']) {
      const { headers } = await server.get('/topics/html/messages?limit=1', { accept });
      expect(headers['x-content-type-options']).to.equal('nosniff');
    }
  });
});
