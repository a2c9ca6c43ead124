/** Who may ask, and how: hosts, origins, tokens, methods, paths, topic names, connections. */
import { expect } from 'chai';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox } from '../cli/fastqueue.ts';
import { parseAnswers, Server, untilClosed, type Answer, type RawAnswer } from './serving.ts';

/** What there is in the directories of these tests besides what no name may make. */
const KNOWN_ENTRIES = ['data', 't', 'html', 'kept'];

const expectProblem = (answer: Answer, status: number): void => {
  expect(answer.status, answer.body.toString()).to.equal(status);
  expect(answer.headers['content-type']).to.match(/^application\/problem\+json/);
  expect(answer.json).to.include({ status, retryable: false, sideEffects: 'none' });
};

describe('serve, who may ask', () => {
  const sandbox = new Sandbox();
  let server: Server;

  before(async () => {
    server = await Server.start(sandbox);
    await server.publish('t', 'x');
  });

  after(async () => {
    await server.stop();
    sandbox.remove();
  });

  describe('Host', () => {
    const hosts: [string, boolean][] = [
      ['localhost', true],
      ['localhost:1234', true],
      ['LOCALHOST', true],
      ['127.0.0.1', true],
      ['127.0.0.1:80', true],
      ['evil.example', false],
      ['evil.example:8080', false],
      ['localhost.evil.example', false],
      ['127.0.0.1.evil.example', false],
      ['evil-localhost', false],
      ['localhost@evil.example', false],
      ['192.0.2.1', false],
    ];
    for (const [host, isAllowed] of hosts) {
      it(`"${host}" is ${isAllowed ? 'answered' : 'refused with 403 or 421, and nothing is stored'}`, async () => {
        const answer = await server.publish(isAllowed ? 'allowed' : 'refused', 'x', { host });
        if (isAllowed) expect(answer.status, answer.body.toString()).to.equal(201);
        else expectProblem(answer, answer.status === 421 ? 421 : 403);
      });
    }

    it('refused stored nothing', async () => {
      expect((await server.get('/topics/refused')).status).to.equal(404);
    });

    it('left out, empty, or given twice, is refused', async () => {
      for (const hosts of ['', 'Host:\r\n', 'Host: localhost\r\nHost: evil.example\r\n']) {
        const [answer] = await server.exchange(`GET /health HTTP/1.1\r\n${hosts}Connection: close\r\n\r\n`);
        expect(answer?.status, hosts).to.be.oneOf([400, 403]);
      }
    });
  });

  describe('a web page', () => {
    const pages: [Record<string, string>, boolean][] = [
      [{ origin: 'https://evil.example' }, false],
      [{ origin: 'null' }, false],
      [{ origin: 'http://localhost.evil.example' }, false],
      [{ 'sec-fetch-site': 'cross-site' }, false],
      [{ 'sec-fetch-site': 'same-origin' }, true],
      [{ 'sec-fetch-site': 'none' }, true],
    ];
    for (const [headers, isAllowed] of pages) {
      it(`with ${JSON.stringify(headers)} ${isAllowed ? 'may' : 'may not'} publish or read`, async () => {
        const topic = isAllowed ? 'allowed' : 'refused';
        const posted = await server.publish(topic, 'x', { 'content-type': 'text/plain', ...headers });
        const read = await server.get('/topics/t/messages', headers);
        if (isAllowed) {
          expect([posted.status, read.status]).to.deep.equal([201, 200]);
        } else {
          expectProblem(posted, 403);
          expectProblem(read, 403);
          expect((await server.get('/topics/refused')).status).to.equal(404);
        }
        expect(posted.headers).to.not.have.property('access-control-allow-origin');
      });
    }

    it('of the server itself may publish', async () => {
      const answer = await server.publish('allowed', 'x', { origin: server.url });
      expect(answer.status).to.equal(201);
    });

    it('of another port of this machine may not', async () => {
      expectProblem(await server.publish('refused', 'x', { origin: 'http://127.0.0.1:1' }), 403);
    });

    it('that --cors names may, preflight included, and no other', async () => {
      const own = new Sandbox();
      const named = await Server.start(own, ['--cors', 'https://app.example']);
      const headers = { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' };
      const posted = await named.publish('t', 'x', headers);
      expect(posted.status).to.equal(201);
      expect(posted.headers['access-control-allow-origin']).to.equal('https://app.example');
      expect(posted.headers.vary).to.match(/\borigin\b/i);
      expect(posted.headers['access-control-expose-headers']).to.match(/fastqueue-next-offset/i);
      const preflight = await named.request('OPTIONS', '/topics/t/messages', {
        headers: {
          ...headers,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,fastqueue-expected-offset',
        },
      });
      expect(preflight.status).to.be.oneOf([200, 204]);
      expect(preflight.headers['access-control-allow-origin']).to.equal('https://app.example');
      expect(preflight.headers['access-control-allow-methods']).to.include('POST');
      expect(preflight.headers['access-control-allow-headers']).to.match(/fastqueue-expected-offset/i);
      for (const origin of [
        'https://other.example',
        'http://app.example',
        'https://app.example.evil.example',
      ])
        expectProblem(await named.publish('t', 'x', { origin }), 403);
      await named.stop();
      own.remove();
    });
  });

  describe('--token-file', () => {
    let guarded: Server;
    const own = new Sandbox();

    before(async () => {
      mkdirSync(own.dataDirectory);
      const path = join(own.directory, 'token');
      writeFileSync(path, 'correct-horse\n', { mode: 0o600 });
      guarded = await Server.start(own, ['--token-file', path]);
    });

    after(async () => {
      await guarded.stop();
      own.remove();
    });

    it('lets the token in, whatever the case of "Bearer"', async () => {
      for (const authorization of ['Bearer correct-horse', 'bearer correct-horse'])
        expect((await guarded.publish('t', 'x', { authorization })).status).to.equal(201);
    });

    const wrong: (string | undefined)[] = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'Bearer correct-horsf',
      'Bearer correct-hors',
      'Bearer correct-horse2',
      'Bearer CORRECT-HORSE',
      'Basic correct-horse',
      'correct-horse',
      'Bearer correct-horse, Bearer x',
      `Bearer ${'x'.repeat(4000)}`,
      'Bearer gr\xfcn',
    ];
    for (const authorization of wrong) {
      it(`answers 401 to ${authorization === undefined ? 'none' : JSON.stringify(authorization.slice(0, 40))}, everywhere but /health`, async () => {
        const headers = authorization === undefined ? {} : { authorization };
        const answers = [
          await guarded.publish('other', 'x', headers),
          await guarded.get('/topics', headers),
          await guarded.get('/metrics', headers),
          await guarded.get('/openapi.json', headers),
          await guarded.get('/nowhere', headers),
          await guarded.request('DELETE', '/topics/t', { headers }),
        ];
        for (const answer of answers) {
          expectProblem(answer, 401);
          expect(answer.headers['www-authenticate']).to.match(/^Bearer\b/);
          expect(answer.body.toString()).to.not.include('correct');
        }
        expect((await guarded.get('/health', headers)).status).to.equal(200);
      });
    }

    it('that is empty or missing keeps the server from starting, in a sentence', async () => {
      const empty = join(own.directory, 'empty');
      writeFileSync(empty, '\n');
      for (const path of [empty, join(own.directory, 'missing')]) {
        const outcome = await own.run(['serve', '--port', '0', '--token-file', path]);
        expect(outcome.status).to.be.oneOf([1, 2]);
        expect(outcome.stdout.toString()).to.equal('');
        expect(outcome.stderr)
          .to.include(path)
          .and.to.not.match(/^\s+at /m);
      }
    });
  });
});

describe('serve, what may be asked', () => {
  const sandbox = new Sandbox();
  let server: Server;

  before(async () => {
    server = await Server.start(sandbox);
    await server.publish('t', 'x');
  });

  after(async () => {
    await server.stop();
    sandbox.remove();
  });

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
      });
    }
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

    it('of HTTP/1.0 is answered and closed', async () => {
      const [answer] = await server.exchange('GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n');
      expect(answer?.status).to.equal(200);
    });
  });

  it('marks answers so that a browser takes none for a page', async () => {
    await server.publish('html', '<script>alert(1)</script>');
    for (const accept of ['application/octet-stream', 'application/x-ndjson']) {
      const { headers } = await server.get('/topics/html/messages?limit=1', { accept });
      expect(headers['x-content-type-options']).to.equal('nosniff');
    }
  });
});

describe('serve, how it begins and ends', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  it('prints one line on standard output and nothing else, as text or as JSON', async () => {
    const text = await Server.start(sandbox);
    await text.publish('t', 'x');
    const outcome = await text.stop();
    expect(outcome.stdout.toString()).to.equal(`listening on ${text.url}\n`);
    expect(outcome.status).to.equal(0);
    const json = await Server.start(sandbox, ['--json']);
    const line = (await json.stop()).stdout.toString();
    expect(line).to.match(/^\{.*\}\n$/);
    expect(JSON.parse(line)).to.include({ type: 'listening', url: json.url });
  });

  it('begins with an empty data directory, and with none', async () => {
    const server = await Server.start(sandbox);
    expect((await server.get('/topics')).json['topics']).to.deep.equal([]);
    expect((await server.get('/health')).json).to.include({ status: 'ok', dataDir: 'writable' });
    expect((await server.publish('t', 'x')).status).to.equal(201);
    await server.stop();
  });

  it('names the port that is taken, and exits with 1', async () => {
    const first = await Server.start(sandbox);
    const outcome = await sandbox.run(['serve', '--port', String(first.port)]);
    expect(outcome.status).to.equal(1);
    expect(outcome.stderr)
      .to.include(String(first.port))
      .and.to.not.match(/^\s+at /m);
    expect(outcome.stdout.toString()).to.equal('');
    await first.stop();
  });

  for (const flags of [
    ['--port', '65536'],
    ['--port', '-1'],
    ['--port', 'x'],
    ['--max-body', '0'],
    ['--max-body', 'x'],
    ['--host', ''],
    ['--log', 'xml'],
    ['--cors', 'not an origin'],
    ['--cors', '*/'],
    ['extra'],
  ]) {
    it(`refuses "${flags.join(' ')}" with exit 2`, async () => {
      const outcome = await sandbox.run(['serve', ...flags]);
      expect(outcome.status, outcome.stderr).to.equal(2);
      expect(outcome.stderr).to.not.match(/^\s+at /m);
    });
  }

  it('exits with 0 on SIGINT, too', async () => {
    const server = await Server.start(sandbox);
    const outcome = await server.stop('SIGINT');
    expect(outcome.status, outcome.stderr).to.equal(0);
  });
});
