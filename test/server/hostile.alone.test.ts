/** Clients that stop halfway, never read, never end, or send more than is good: a clear answer, nothing half-stored, memory flat. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { readTopicFiles } from '../support/log-files.ts';
import { EventStream, parseAnswers, Server, untilClosed, type RawAnswer } from './serving.ts';

const MIB = 1024 * 1024;

/** Resolves when it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await wait(10);
}

const head = (topic: string, lines: string): string =>
  `POST /topics/${topic}/messages HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n\r\n`;

describe('serve under hostile clients', () => {
  const { sandbox, server } = Server.forAll();
  /** One that has little patience. */
  let strict: Server;
  let slow: {
    head: Promise<Buffer>;
    body: Promise<Buffer>;
    /** How long a head may take where a request as a whole may take longer. */
    headMs: Promise<number>;
    idle: Promise<Buffer>;
    announced: Promise<RawAnswer[]>;
    begunAt: number;
  };
  let quietStream: EventStream;
  let secondCommentMs: Promise<number>;

  before(async () => {
    await server.publish('kept', 'x');
    await server.publish('quiet', 'x');
    strict = await Server.start(sandbox, ['--request-timeout', '3s']);
    // These take the servers' own times and run beside the other tests of this file.
    slow = {
      head: dripHead(),
      body: dripBody(),
      headMs: dripHead(server).then(() => Date.now() - slow.begunAt),
      idle: stayIdle(),
      announced: server.exchange(head('announced', `Content-Length: ${10 ** 12}`)),
      begunAt: Date.now(),
    };
    quietStream = await EventStream.open(server, '/topics/quiet/messages?offset=end');
    secondCommentMs = quietStream
      .nextComment()
      .then(() => quietStream.nextComment())
      .then((comment) => (comment === undefined ? NaN : Date.now() - slow.begunAt));
    const lines = `${'x'.repeat(999)}\n`.repeat(10_000);
    for (let batch = 0; batch < 10; batch++) await server.publishLines('vast', lines);
  });

  after(async () => {
    quietStream.close();
    const outcome = await strict.stop();
    expect(outcome.status, outcome.stderr).to.equal(0);
  });

  /** A byte of a head now and then. */
  async function dripHead(to = strict): Promise<Buffer> {
    const socket = await to.connect();
    return drip(socket, head('slow', `X-Padding: ${'x'.repeat(10_000)}`));
  }

  /** A whole head, then a byte of the body now and then. */
  async function dripBody(): Promise<Buffer> {
    const socket = await strict.connect();
    socket.write(head('slow', 'Content-Length: 10000'));
    return drip(socket, 'x'.repeat(10_000));
  }

  /** Nothing at all. */
  async function stayIdle(): Promise<Buffer> {
    return untilClosed(await strict.connect());
  }

  function drip(socket: Socket, text: string): Promise<Buffer> {
    let at = 0;
    const timer = setInterval(() => socket.write(text[at++ % text.length]!), 200);
    return untilClosed(socket).finally(() => {
      clearInterval(timer);
    });
  }

  const topics = async (): Promise<string[]> =>
    ((await server.get('/topics')).json['topics'] as { topic: string }[]).map(({ topic }) => topic);

  describe('a body that stops halfway', () => {
    const bodies: [string, string][] = [
      ['one record', 'Content-Length: 1000'],
      ['lines', 'Content-Type: application/x-ndjson\r\nContent-Length: 1000'],
      ['a batch document', 'Content-Type: application/vnd.fastqueue.records+json\r\nContent-Length: 1000'],
      ['chunks', 'Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked'],
    ];
    for (const [what, lines] of bodies) {
      it(`stores nothing of ${what}, whether the client ends or breaks the connection`, async () => {
        for (const leave of [
          (socket: Socket) => socket.end(),
          (socket: Socket) => socket.resetAndDestroy(),
        ]) {
          const socket = await server.connect();
          const closed = untilClosed(socket);
          socket.write(head('halfway', lines));
          socket.write(lines.includes('chunked') ? '8\r\none\ntwo\n\r\n' : 'one\ntwo\n');
          await wait(20);
          leave(socket);
          const answer = (await closed).toString();
          expect(answer).to.satisfy((text: string) => text === '' || text.startsWith('HTTP/1.1 4'));
        }
        expect(await topics()).to.not.include('halfway');
      });
    }
  });

  it('a chunk that is none ends the request with 400, and stores nothing', async () => {
    for (const chunk of [
      'zz\r\nx\r\n0\r\n\r\n',
      '3\r\nabcd\r\n0\r\n\r\n',
      'fffffffffffffffff\r\nx',
      '-1\r\nx\r\n',
    ]) {
      const answers = await server.exchange(head('chunks', 'Transfer-Encoding: chunked') + chunk);
      expect(
        answers.map(({ status }) => status),
        chunk,
      ).to.deep.equal([400]);
      expect(answers[0]!.headers.get('content-type')).to.match(/^application\/problem\+json/);
    }
    expect(await topics()).to.not.include('chunks');
  });

  it('nonsense behind a good request takes nothing of its answer', async () => {
    const post = `${head('pipelined', 'Content-Length: 4')}good`;
    const answers = await server.exchange(`${post}NONSENSE\r\n\r\n`);
    expect(answers[0]?.status).to.equal(201);
    expect(answers.slice(1).map(({ status }) => status)).to.satisfy(
      (statuses: number[]) => statuses.length === 0 || statuses.join() === '400',
    );
    const stored = await server.get('/topics/pipelined/messages');
    expect(stored.json['messages']).to.have.length(1);
  });

  it('a request that two servers would read differently is refused', async () => {
    for (const lines of [
      'Content-Length: 3\r\nContent-Length: 4',
      'Content-Length: 3, 4',
      'Content-Length: 3\r\nTransfer-Encoding: chunked',
      'Content-Length: +3',
      'Content-Length: 0x3',
      'Transfer-Encoding: chunked, gzip',
      'Transfer-Encoding : chunked',
      'Content-Length: 3\r\n folded: x',
      'Content-Length: 3\nX: y',
    ]) {
      const answers = await server.exchange(
        `${head('smuggled', lines)}abcGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      );
      expect(
        answers.map(({ status }) => status),
        lines,
      ).to.deep.equal([400]);
    }
    expect(await topics()).to.not.include('smuggled');
  });

  it('headers that are too large are 431, and so are too many', async () => {
    for (const lines of [`X: ${'x'.repeat(100_000)}`, `X: y\r\n`.repeat(20_000) + 'X: y']) {
      const [answer] = await server.exchange(head('large', lines));
      expect(answer?.status).to.equal(431);
      expect(answer?.headers.get('content-type')).to.match(/^application\/problem\+json/);
    }
    const [longPath] = await server.exchange(
      `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    );
    expect(longPath?.status).to.be.oneOf([400, 414, 431]);
  });

  it('headers of up to 16 KiB in all are taken, and no more', async () => {
    const statusOf = async (headBytes: number): Promise<number> => {
      const begin = 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ';
      const [answer] = await server.exchange(`${begin}${'x'.repeat(headBytes - begin.length - 4)}\r\n\r\n`);
      return answer!.status;
    };
    expect([await statusOf(15.9 * 1024), await statusOf(16.1 * 1024)]).to.deep.equal([200, 431]);
  });

  it('of more than 100 headers none is overlooked: the request is refused with 431', async () => {
    const padded = (count: number): string =>
      head(
        'padded',
        Array.from({ length: count - 3 }, (_, at) => `X-${at}: y\r\n`).join('') +
          'Content-Length: 4\r\nConnection: close',
      );
    for (const count of [101, 200, 1000]) {
      const [answer] = await server.exchange(`${padded(count)}body`);
      expect([answer?.status, answer?.headers.get('content-type')], String(count)).to.deep.equal([
        431,
        'application/problem+json',
      ]);
    }
    expect(await topics()).to.not.include('padded');
    const [answer] = await server.exchange(`${padded(100)}body`);
    expect(answer?.status).to.equal(201);
    const stored = await server.get('/topics/padded/messages');
    expect(stored.json['messages']).to.have.length(1).and.to.have.nested.property('[0].payload', 'body');
  });

  it('a header that is given twice counts once or is refused, and never the second alone', async () => {
    const twice = (name: string, first: string, second: string): Promise<number> =>
      server
        .exchange(
          head('twice', `${name}: ${first}\r\n${name}: ${second}\r\nConnection: close\r\nContent-Length: 1`) +
            'x',
        )
        .then(([answer]) => answer!.status);
    expect(await twice('FastQueue-Expected-Offset', '7', '0')).to.equal(400);
    expect(await twice('Sec-Fetch-Site', 'cross-site', 'same-origin')).to.equal(403);
    expect(await twice('Sec-Fetch-Site', 'same-origin', 'cross-site')).to.equal(403);
    expect(await twice('Origin', 'https://evil.example', server.url)).to.equal(403);
    expect(await topics()).to.not.include('twice');
  });

  describe('a body that goes on beyond its limit', () => {
    const MAX_BODY_BYTES = 2 * MIB;
    const CHUNK = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB, 'x'), Buffer.from('\r\n')]);
    const BODIES_PER_ROUND = 32;
    let limited: Server;

    before(async () => {
      limited = await Server.start(sandbox, ['--max-body', '2MiB']);
    });

    after(async () => {
      await limited.stop();
    });

    /** Resolves when the server has answered with 413, as it has to, and the connection is closed. */
    async function sendTooMuch(chunkCount: number): Promise<void> {
      const socket = await limited.connect();
      const closed = untilClosed(socket);
      let leftCount = chunkCount;
      const feed = (): void => {
        while (socket.writable && leftCount-- > 0 && socket.write(CHUNK));
        if (leftCount <= 0) socket.end();
      };
      socket.on('drain', feed);
      socket.write(head('endless', 'Transfer-Encoding: chunked'));
      feed();
      expect((await closed).toString()).to.match(/^HTTP\/1\.1 413 /);
    }

    /** Resident bytes after bodies of twice the limit, two at a time. */
    async function roundOfBodies(): Promise<number> {
      const chunkCount = (2 * MAX_BODY_BYTES) / MIB;
      for (let sent = 0; sent < BODIES_PER_ROUND; sent += 2)
        await Promise.all([sendTooMuch(chunkCount), sendTooMuch(chunkCount)]);
      return limited.memory().residentBytes;
    }

    it('is answered with 413, and leaves nothing in memory: it is the same rounds later', async () => {
      await roundOfBodies();
      const first = await roundOfBodies();
      for (let round = 0; round < 2; round++) await roundOfBodies();
      const last = await roundOfBodies();
      // A server that kept them, each up to its limit, would have grown by three rounds.
      expect(last - first).to.be.lessThan((BODIES_PER_ROUND * MAX_BODY_BYTES) / 2);
      expect(last).to.be.lessThan(160e6);
    });

    it('is dropped as it comes and cut in the end when it goes on for ever', async () => {
      const before = limited.memory().residentBytes;
      await Promise.all(Array.from({ length: 8 }, () => sendTooMuch(Infinity)));
      expect(limited.memory().residentBytes - before).to.be.lessThan(100 * MIB);
      expect(await topics()).to.not.include('endless');
    });
  });

  it('holds no more than it must of many large bodies that never end', async () => {
    const before = server.memory().residentBytes;
    const body = Buffer.alloc(16 * MIB - 1, 'x');
    let takenCount = 0;
    const sockets = await Promise.all(
      Array.from({ length: 24 }, async () => {
        const socket = await server.connect();
        socket.write(head('stalled', `Content-Length: ${16 * MIB}`));
        // More than the buffers of the kernel hold: it is gone once the server has read nearly all of it.
        socket.write(body, (error) => (takenCount += error === undefined || error === null ? 1 : 0));
        return socket;
      }),
    );
    await until(() => takenCount > 0);
    // One comes to its end, whatever the others do; they have had the time to be read, too.
    await wait(500);
    const grownBytes = server.memory().residentBytes - before;
    expect((await server.publish('kept', 'served meanwhile')).status).to.equal(201);
    for (const socket of sockets) socket.destroy();
    expect(grownBytes).to.be.lessThan(128 * MIB);
    expect(await topics()).to.not.include('stalled');
    // Those that were read and those that waited have given their room back.
    const large = await Promise.all(Array.from({ length: 4 }, () => server.publish('kept', body)));
    expect(large.map(({ status }) => status)).to.deep.equal([201, 201, 201, 201]);
  });

  it('keeps no large body waiting for others of which little has come, however large they may become', async () => {
    const stalled = await Promise.all(Array.from({ length: 20 }, () => server.connect()));
    const begun = 'x'.repeat(70_000);
    stalled.forEach((socket, number) => {
      const isChunked = number % 2 === 0;
      socket.write(head('stalled', isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${32 * MIB}`));
      socket.write(isChunked ? `${begun.length.toString(16)}\r\n${begun}` : begun);
    });
    await wait(300);
    const beganMs = performance.now();
    for (const byteCount of [100_000, 16 * MIB, 32 * MIB - 16])
      expect((await server.publish('kept', Buffer.alloc(byteCount))).status).to.equal(201);
    expect(performance.now() - beganMs).to.be.lessThan(5000);
    for (const socket of stalled) socket.destroy();
  });

  it('makes no objects of what is no document of records, and few at a time of what is one', async () => {
    const own = await Server.start(sandbox, []);
    const byteCount = 32 * MIB - 100;
    const fill = (part: string): string => part.repeat(byteCount / part.length);
    const half = byteCount / 2;
    const members = Array.from({ length: byteCount / 16 }, (_, number) => `"${number}":1`).join();
    const empty = '{"payload":""},';
    const documents: [string, number][] = [
      [fill('['), 400],
      [`{"records":[${fill('[')}`, 400],
      [`{"records":[${'['.repeat(half)}${']'.repeat(half)}]}`, 400],
      [`{"records":[${fill('{"a":')}`, 400],
      [`{"records":[{${members}}]}`, 400],
      [`{"records":[${fill('1,')}1]}`, 400],
      [`{"records":[${fill(empty)}{"payload":""}]}`, 413],
      [`{"records":[${empty.repeat(2_000_000)}{"payload":""}]}`, 201],
    ];
    for (const [document, status] of documents) {
      const answer = await own.publish('documents', document, {
        'content-type': 'application/vnd.fastqueue.records+json',
      });
      expect(answer.status, document.slice(0, 40)).to.equal(status);
    }
    const { peakBytes } = own.memory();
    expect((await own.stop()).status).to.equal(0);
    // As objects the first of them took 1.4 GiB.
    expect(peakBytes / MIB).to.be.below(350);
  });

  it('keeps nobody with a small chunked body waiting for others whose chunks do not come', async () => {
    const chunked = (topic: string): string =>
      head(topic, 'Transfer-Encoding: chunked\r\nConnection: close') + '1\r\nx\r\n';
    const stalled = await Promise.all(Array.from({ length: 10 }, () => server.connect()));
    for (const socket of stalled) socket.write(chunked('stalled'));
    await wait(50);
    const begun = performance.now();
    const [answer] = await server.exchange(`${chunked('kept')}0\r\n\r\n`);
    expect(answer?.status).to.equal(201);
    expect(performance.now() - begun).to.be.lessThan(2000);
    for (const socket of stalled) socket.destroy();
  });

  describe('a reader that never reads', () => {
    for (const accept of ['application/x-ndjson', 'application/json', 'text/event-stream']) {
      it(`costs little memory as ${accept}, and keeps nobody else waiting`, async () => {
        const before = server.memory().residentBytes;
        const query = accept === 'text/event-stream' ? '' : '?limit=10000&max_bytes=100MB';
        const sockets = await Promise.all(
          Array.from({ length: 20 }, async () => {
            const socket = await server.connect();
            socket.pause();
            socket.write(
              `GET /topics/vast/messages${query} HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\n\r\n`,
            );
            return socket;
          }),
        );
        await wait(300);
        const begun = performance.now();
        expect((await server.publish('kept', 'x')).status).to.equal(201);
        expect(performance.now() - begun).to.be.lessThan(2000);
        const grownBytes = server.memory().residentBytes - before;
        for (const socket of sockets) socket.destroy();
        expect(grownBytes).to.be.lessThan(160 * MIB);
      });
    }
  });

  it('a reader that takes nothing for too long is cut, one that reads slowly is not', async () => {
    const get =
      'GET /topics/vast/messages?limit=10000&max_bytes=100MB HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    const [stalled, steady] = [await strict.connect(), await strict.connect()];
    // Answers that are sent at once, and stand before one that nobody takes; one client has ended its own side, too.
    const ahead = await Promise.all([strict.connect(), strict.connect()]);
    const closed = [stalled, steady, ...ahead].map(untilClosed);
    stalled.pause();
    stalled.write(get.replace('Connection: close', 'Accept: text/event-stream'));
    for (const socket of ahead) {
      socket.pause();
      socket.write('GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2000));
    }
    ahead[1].end();
    steady.write(get);
    // A second behind each 2 MB: the whole takes longer than the server waits for one that takes nothing.
    let unpausedBytes = 0;
    steady.on('data', (chunk: Buffer) => {
      unpausedBytes += chunk.length;
      if (unpausedBytes < 2_000_000) return;
      unpausedBytes = 0;
      steady.pause();
      setTimeout(() => steady.resume(), 1000);
    });
    expect((await closed[1]!).length).to.be.greaterThan(10_000_000);
    await until(() => ![stalled, ...ahead].some((socket) => strict.holds(socket)));
    // What stands in the buffers of the kernel comes, and of all the rest no more.
    for (const socket of [stalled, ...ahead]) socket.resume();
    for (const taken of [closed[0], closed[2], closed[3]])
      expect((await taken!).length).to.be.within(1, 50_000_000);
  });

  it('says 413 to a body that announces itself as too large, before it comes', async () => {
    const [answer] = await slow.announced;
    expect(answer?.status).to.equal(413);
    expect(JSON.parse(answer!.body.toString())).to.include({ status: 413, sideEffects: 'none' });
  });

  it('pipelined requests without end, whose answers nobody reads, cost little memory', async () => {
    const before = server.memory().residentBytes;
    const requests = 'GET /topics/vast/messages?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1000);
    const sockets = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const socket = await server.connect();
        socket.pause();
        socket.write(requests);
        return socket;
      }),
    );
    await wait(300);
    expect((await server.get('/health')).status).to.equal(200);
    const grownBytes = server.memory().residentBytes - before;
    for (const socket of sockets) socket.destroy();
    expect(grownBytes).to.be.lessThan(160 * MIB);
  });

  it('requests without end that are sent ahead of one that waits cost little memory', async () => {
    const before = server.memory().residentBytes;
    const socket = await server.connect();
    socket.write('GET /topics/kept/messages?offset=end&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await wait(100);
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(200_000));
    await wait(3000);
    const grownBytes = server.memory().residentBytes - before;
    socket.destroy();
    // Each of them took 2 KiB.
    expect(grownBytes).to.be.lessThan(160 * MIB);
  });

  it('2,000 connections that come and go leave no descriptor behind', async () => {
    const before = server.descriptorCount();
    for (let round = 0; round < 20; round++) {
      const sockets = await Promise.all(Array.from({ length: 100 }, () => server.connect()));
      for (const socket of sockets) {
        socket.write('GET /topics/kept/messages HTTP/1.1\r\nHost: localhost\r\n');
        socket.destroy();
      }
    }
    while (server.descriptorCount() > before + 5) await wait(20);
  });

  it('200 topics that were posted to keep the descriptors of no more than 128', async () => {
    let before: number;
    // Connections of the tests before this one are still being closed.
    do {
      before = server.descriptorCount();
      await wait(300);
    } while (server.descriptorCount() !== before);
    for (let at = 0; at < 10; at++) await server.publish(`topic-${at}`, 'x');
    const perTopic = Math.ceil((server.descriptorCount() - before) / 10);
    expect(perTopic).to.be.within(1, 6);
    for (let at = 0; at < 200; at += 10)
      await Promise.all(Array.from({ length: 10 }, (_, of) => server.publish(`topic-${at + of}`, 'x')));
    expect(server.descriptorCount() - before).to.be.at.most(140 * perTopic);
  });

  it('sends a comment down a stream without events after 15 s', async () => {
    expect(await secondCommentMs).to.be.within(14_500, 20_000);
  });

  it('cuts a client whose head, or whose body, does not come, and one that says nothing', async () => {
    for (const [what, closed] of Object.entries({ head: slow.head, body: slow.body })) {
      const bytes = await closed;
      for (const { status } of parseAnswers(bytes)) expect(status, what).to.equal(408);
    }
    await slow.idle;
    expect(await slow.headMs, 'the head of a request that may take a minute').to.be.within(9500, 15_000);
    expect(await topics()).to.not.include('slow');
  });
});

describe('serve with as many connections as it takes', () => {
  const MAX_CONNECTIONS = 1024;
  const { server } = Server.forAll();

  it('closes one more at once, answers the others, and takes another when one has gone', async () => {
    const request = 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    // The connection that these requests keep is the first.
    await server.get('/health');
    const held: Socket[] = [];
    let endedCount = 0;
    while (held.length < MAX_CONNECTIONS - 1) {
      const count = Math.min(100, MAX_CONNECTIONS - 1 - held.length);
      const sockets = await Promise.all(Array.from({ length: count }, () => server.connect()));
      for (const socket of sockets) socket.once('close', () => (endedCount += 1));
      held.push(...sockets);
      await server.get('/health');
    }
    expect(await server.exchange(request), 'one too many').to.deep.equal([]);
    expect((await server.get('/health')).status).to.equal(200);
    expect(endedCount, 'of those before it').to.equal(0);
    const [first, last] = [held[0]!, held.at(-1)!];
    const answer = untilClosed(last);
    last.write(request);
    expect(parseAnswers(await answer).map(({ status }) => status)).to.deep.equal([200]);
    let taken: RawAnswer[] = [];
    while (taken.length === 0) taken = await server.exchange(request);
    expect(taken.map(({ status }) => status)).to.deep.equal([200]);
    expect(server.holds(first)).to.equal(true);
    for (const socket of held) socket.destroy();
  });
});

describe('serve where descriptors run out', () => {
  const { sandbox, server } = Server.forAll();

  it('answers 503 too_many_open_files, and goes on when there are some again', async () => {
    await server.publish('kept', 'x');
    const limit = (count: number): void => {
      const { status } = spawnSync('prlimit', ['--pid', String(server.child.pid), `--nofile=${count}:`]);
      expect(status).to.equal(0);
    };
    limit(server.descriptorCount() + 1);
    const refused = await server.publish('another', 'x');
    expect(refused.status).to.equal(503);
    expect(refused.json).to.include({ code: 'too_many_open_files', retryable: true });
    expect(refused.headers).to.have.property('retry-after');
    limit(4096);
    expect((await server.publish('another', 'x')).status).to.equal(201);
    expect(readTopicFiles(join(sandbox.dataDirectory, 'another'))).to.have.length(1);
  });
});
