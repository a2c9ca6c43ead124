/** Who may ask: hosts, origins, tokens. */
import { expect } from 'chai';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Sandbox } from '../cli/fastqueue.ts';
import { expectProblem } from './answers.ts';
import { Server, type RawAnswer } from './serving.ts';

/** Of a connection to another address of this machine. */
function outcomeOfConnecting(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.2', () => {
      socket.destroy();
      resolve('connected');
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code ?? 'failed');
    });
  });
}

describe('serve, who may ask', () => {
  const { server } = Server.forAll();

  before(() => server.publish('t', 'x'));

  it('nobody on another address than 127.0.0.1, unless --host says so', async () => {
    // Every address of 127.0.0.0/8 leads here: one that listens on all of them would take this one, too.
    const own = new Sandbox();
    const open = await Server.start(own, ['--host', '0.0.0.0']);
    const [refused, taken] = await Promise.all([server, open].map(({ port }) => outcomeOfConnecting(port)));
    expect([refused, taken]).to.deep.equal(['ECONNREFUSED', 'connected']);
    await open.stop();
    own.remove();
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

    const targets: [string, string, number][] = [
      ['http://localhost/health', 'localhost', 200],
      ['HTTP://LOCALHOST:1/health', 'localhost', 200],
      ['http://localhost/health', 'evil.example', 200],
      ['http://evil.example/health', 'localhost', 403],
      ['https://evil.example/health', 'localhost', 403],
      ['HTTP://evil.example/health', 'localhost', 403],
      ['http://localhost@evil.example/health', 'localhost', 403],
      ['http://localhost.evil.example?/health', 'localhost', 403],
      ['http:///health', 'localhost', 403],
    ];
    for (const [target, host, status] of targets) {
      it(`of the target counts, not that of the header: ${target} with Host ${host} is ${status}`, async () => {
        const head = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
        const answers = await server.exchange(head);
        expect(answers.map((answer) => answer.status)).to.deep.equal([status]);
      });
    }

    it('of the target is what an Origin is compared with', async () => {
      const ask = (origin: string): Promise<RawAnswer[]> =>
        server.exchange(
          `GET http://localhost:1/topics HTTP/1.1\r\nHost: other\r\nOrigin: http://${origin}\r\nConnection: close\r\n\r\n`,
        );
      const statuses = [...(await ask('localhost:1')), ...(await ask('other'))].map(({ status }) => status);
      expect(statuses).to.deep.equal([200, 403]);
    });

    it('refused stored nothing', async () => {
      expect((await server.get('/topics/refused')).status).to.equal(404);
    });

    it('of any name is answered by a server that is bound to more than loopback', async () => {
      const own = new Sandbox();
      const open = await Server.start(own, ['--host', '0.0.0.0']);
      for (const host of ['evil.example', '192.0.2.1:80', 'localhost'])
        expect((await open.get('/topics', { host })).status, host).to.equal(200);
      expectProblem(await open.get('/topics', { origin: 'http://evil.example' }), 403, 'forbidden');
      await open.stop();
      own.remove();
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
      const unasked = await named.get('/topics');
      expect(unasked.headers.vary, 'a cache keeps apart what another origin may not read').to.equal('Origin');
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
