/**
 * The server's own parts, in this process: what the suite against the real command sees from outside is not repeated.
 */
import { expect } from 'chai';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { connect, Server as NetServer, type AddressInfo, type Socket } from 'node:net';
import { openDataDirectory, type DataDirectory } from '../../src/engine/data-directory.ts';
import { ERROR_TABLE } from '../../src/engine/errors.ts';
import { MAX_BATCH_BYTES } from '../../src/engine/limits.ts';
import { Maintenance } from '../../src/server/maintenance.ts';
import { Metrics } from '../../src/server/metrics.ts';
import { cut } from '../../src/server/exchange.ts';
import { PieceWriter } from '../../src/server/flow.ts';
import { FastQueueServer, type ServerOptions } from '../../src/server/server.ts';
import { TopicCache } from '../../src/server/topic-cache.ts';
import type { Topic } from '../../src/engine/topic.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';
import { watchCalls } from '../support/watch-calls.ts';

class TestServer {
  readonly scratch = new ScratchTopic();
  readonly failures: unknown[] = [];
  #server: FastQueueServer | undefined;
  #dataDirectory: DataDirectory | undefined;

  async start(options: Partial<ServerOptions> = {}): Promise<void> {
    const metrics = new Metrics();
    this.#dataDirectory =
      options.dataDirectory ??
      openDataDirectory(this.scratch.directory, {
        onBatch: (topic, batch) => {
          metrics.countBatch(topic, batch);
        },
      });
    this.#server = await FastQueueServer.listen({
      dataDirectory: this.#dataDirectory,
      metrics,
      version: '0',
      host: '127.0.0.1',
      port: 0,
      isReadOnly: false,
      mayCreate: true,
      maxBodyBytes: MAX_BATCH_BYTES,
      requestTimeoutMs: 5000,
      allowedOrigins: [],
      token: undefined,
      log: {
        wantsRequests: false,
        request: () => undefined,
        warn: () => undefined,
        failure: (error) => this.failures.push(error),
      },
      ...options,
    });
  }

  get dataDirectory(): DataDirectory {
    return this.#dataDirectory!;
  }

  get url(): string {
    return this.#server!.url;
  }

  get port(): number {
    return this.#server!.port;
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, init);
  }

  post(body: string | Buffer, type = 'text/plain', topic = 't'): Promise<Response> {
    return this.fetch(`/topics/${topic}/messages`, {
      method: 'POST',
      body: body as string,
      headers: { 'content-type': type },
    });
  }

  /** Bytes in, everything that comes back until the server closes. */
  async raw(...pieces: readonly string[]): Promise<string> {
    const socket = connect(this.port, '127.0.0.1');
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    for (const piece of pieces) socket.write(piece);
    await once(socket, 'close');
    return received;
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.scratch.remove();
  }
}

type Json = Record<string, unknown>;
const jsonOf = async (response: Response): Promise<Json> => (await response.json()) as Json;

const NDJSON = 'application/x-ndjson';

describe('TopicCache', () => {
  it('closes the topic that was used longest ago for another, and opens it anew when it is wanted', async () => {
    const scratch = new ScratchTopic();
    const cache = new TopicCache({
      dataDirectory: scratch.dataDirectory(),
      mayCreate: true,
      maxOpenTopics: 2,
    });
    const opened = new Set<Topic>();
    const append = async (name: string): Promise<number> => {
      const ack = await cache.append(name, (topic) => {
        opened.add(topic);
        return topic.append([Buffer.from(name)]);
      });
      return ack.offset;
    };
    const offsets = [];
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) offsets.push(await append(name));
    await cache.close();
    scratch.remove();
    expect(offsets).to.deep.equal([0, 0, 1, 0, 2, 1]);
    expect(opened.size, 'b was closed for c, and c for b').to.equal(4);
  });
});

describe('TopicCache.append', () => {
  const scratch = ScratchTopic.forEach(1);

  /** Appends to a topic that another process deletes so often, each time after it was opened. */
  async function appendToDeleted(deletionCount: number): Promise<number> {
    const cache = new TopicCache({ dataDirectory: scratch.dataDirectory(), mayCreate: true });
    let leftCount = deletionCount;
    try {
      const { offset } = await cache.append(TOPIC, async (topic) => {
        if (leftCount-- > 0) await scratch.dataDirectory().deleteTopic(TOPIC);
        return topic.append([Buffer.from('x')]);
      });
      return offset;
    } finally {
      await cache.close();
    }
  }

  it('makes the topic anew that is deleted twice meanwhile, or more often', async () => {
    expect(await appendToDeleted(0)).to.equal(1);
    for (const deletionCount of [1, 2, 4]) expect(await appendToDeleted(deletionCount)).to.equal(0);
  });

  it('says that it may be tried again where the topic is deleted over and over', async () => {
    const error: unknown = await appendToDeleted(Infinity).catch((thrown: unknown) => thrown);
    expect(error).to.have.property('code', 'closed');
    expect(ERROR_TABLE.closed.retryable).to.equal(true);
  });
});

describe('Maintenance', () => {
  it('tells of what nobody has foreseen as of anything else that fails, and ends nothing', async () => {
    const bug = new TypeError('not foreseen');
    const told: unknown[] = [];
    const maintenance = new Maintenance({
      dataDirectory: { maintain: () => Promise.reject(bug) } as unknown as DataDirectory,
      onFailure: (error) => told.push(error),
    });
    await maintenance.stop();
    expect(told).to.deep.equal([bug]);
  });
});

describe('FastQueueServer', () => {
  let server: TestServer;

  beforeEach(() => {
    server = new TestServer();
  });

  afterEach(async () => {
    await server.stop();
    expect(server.failures).to.deep.equal([]);
  });

  it('goes on after a connection that could not be accepted, and says so', async () => {
    await server.start();
    const internals = process as unknown as { _getActiveHandles: () => unknown[] };
    const listener = internals
      ._getActiveHandles()
      .find(
        (handle) => handle instanceof NetServer && (handle.address() as AddressInfo).port === server.port,
      );
    const errors = [new Error('accept EMFILE'), new Error('accept EMFILE')];
    for (const error of errors) (listener as NetServer).emit('error', error);
    expect(server.failures.splice(0)).to.deep.equal(errors);
    expect((await server.fetch('/health')).status).to.equal(200);
  });

  it('holds no memory for a client that waits for events', async () => {
    await server.start();
    await server.post('one');
    let count = 0;
    const undo = watchCalls(PieceWriter.prototype, 'letGo', () => (count += 1));
    try {
      const stream = await server.fetch('/topics/t/messages', { headers: { accept: 'text/event-stream' } });
      await stream.body!.getReader().read();
      // Answered on another connection, when the stream has come to its end and waits.
      while (count === 0) await server.fetch('/health');
    } finally {
      undo();
    }
    expect(count).to.equal(1);
  });

  it('frames a body of many lines to the records that its lines are, whether the topic is there or not', async () => {
    await server.start();
    const lines = Array.from({ length: 5000 }, (_, number) => `${number}`.padEnd(number % 97, 'x'));
    for (const offset of [0, 5000]) {
      const ack = await jsonOf(await server.post(lines.join('\n'), NDJSON));
      expect(ack).to.include({ offset, count: 5000, nextOffset: offset + 5000 });
    }
    const seen = [...(await server.scratch.everyOffset()).values()].map((text) => text.replace(/^\d+ /, ''));
    expect(seen).to.deep.equal([...lines, ...lines]);
  });

  it('takes a line that is larger than what is framed at once, between small ones', async () => {
    await server.start();
    const long = 'y'.repeat(3 * 1024 * 1024);
    for (let post = 0; post < 2; post++)
      expect((await server.post(`a\n${long}\nb\n`, NDJSON)).status).to.equal(201);
    const seen = [...(await server.scratch.everyOffset()).values()].map((text) => text.replace(/^\d+ /, ''));
    expect(seen).to.deep.equal(['a', long, 'b', 'a', long, 'b']);
  });

  it('refuses a batch of empty lines that would not fit one, and stores nothing of it', async () => {
    await server.start();
    await server.post('first');
    const response = await server.post('\n'.repeat(2 * 1024 * 1024 + 1), NDJSON);
    expect([response.status, (await jsonOf(response))['code']]).to.deep.equal([413, 'batch_too_large']);
    expect(await jsonOf(await server.fetch('/topics/t/offsets'))).to.include({ endOffset: 1 });
  });

  it('answers 413 to a chunked body past the limit though it goes on, then drops the connection', async () => {
    await server.start({ maxBodyBytes: 1000 });
    const head = `POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const received = await server.raw(head, `3e9\r\n${'x'.repeat(1001)}\r\n`);
    expect(received).to.match(/^HTTP\/1\.1 413 [^]*"code":"batch_too_large"/);
    expect((await server.fetch('/topics/t')).status).to.equal(404);
  });

  it('cuts a request that does not come in time, with 408 where nothing was answered yet', async () => {
    await server.start({ requestTimeoutMs: 200 });
    const slow = `POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc`;
    const received = await Promise.all([server.raw(slow), server.raw('GET / HT')]);
    for (const answer of received) expect(answer).to.match(/^HTTP\/1\.1 408 [^]*"code":"request_timeout"/);
    expect((await server.fetch('/topics/t')).status).to.equal(404);
  });

  it('waits behind another answer for as long as it is asked to, however little patience it has with readers', async () => {
    await server.start({ requestTimeoutMs: 300 });
    await server.post('x');
    const get = (query: string, last = ''): string =>
      `GET /topics/t/messages${query} HTTP/1.1\r\nHost: localhost\r\n${last}\r\n`;
    const received = await server.raw(get('') + get('?offset=end&wait=1', 'Connection: close\r\n'));
    expect(received.match(/^HTTP\/1\.1 200 /gm)).to.have.length(2);
  });

  it('resets the connection of HTTP/1.0 where an answer is cut, which would else look whole', () => {
    const wayOf = (response: object | undefined): string[] => {
      const calls: string[] = [];
      const socket = { destroy: () => calls.push('destroy'), resetAndDestroy: () => calls.push('reset') };
      cut(socket as unknown as Socket, response as ServerResponse | undefined);
      return calls;
    };
    const half = { headersSent: true, writableFinished: false, req: { httpVersion: '1.0' } };
    expect(wayOf(half)).to.deep.equal(['reset']);
    // Chunks say themselves whether they are all.
    expect(wayOf({ ...half, req: { httpVersion: '1.1' } })).to.deep.equal(['destroy']);
    for (const response of [undefined, { ...half, headersSent: false }, { ...half, writableFinished: true }])
      expect(wayOf(response)).to.deep.equal(['destroy']);
  });

  it('says in /health that there is no room for as many lines as could not be stored', async () => {
    const disk = new FaultyFileSystem();
    await server.start({ dataDirectory: server.scratch.dataDirectory(disk) });
    await server.post('first');
    disk.failNext('sync', '.store');
    expect((await server.post('\n'.repeat(100_000), NDJSON)).status).to.equal(500);
    const proofs: number[] = [];
    const { dataDirectory } = server;
    const proveRoom = dataDirectory.proveRoom.bind(dataDirectory);
    dataDirectory.proveRoom = (byteCount) => {
      proofs.push(byteCount);
      return proveRoom(byteCount);
    };
    expect((await server.fetch('/health')).status).to.equal(200);
    expect(proofs).to.deep.equal([1_600_000]);
  });

  it('streams a range of many pieces whole, as lines and as a document, and counts what it sent', async () => {
    await server.start();
    const lines = Array.from({ length: 9000 }, (_, number) => `${number}:`.padEnd(100, 'é"\\'));
    await server.post(lines.join('\n'), NDJSON);
    const path = '/topics/t/messages?limit=10000&max_bytes=64M';
    const asLines = await server.fetch(path, { headers: { accept: NDJSON } });
    expect(asLines.headers.get('fastqueue-next-offset')).to.equal('9000');
    const payloads = (await asLines.text())
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as Json)['payload']);
    expect(payloads).to.deep.equal(lines);
    const document = await jsonOf(await server.fetch(path));
    expect((document['messages'] as Json[]).map((message) => message['payload'])).to.deep.equal(lines);
    expect(document).to.include({ nextOffset: 9000, startOffset: 0, endOffset: 9000 });
    const metrics = await (await server.fetch('/metrics')).text();
    expect(metrics).to.include('fastqueue_records_out_total{topic="t"} 18000\n');
    const byteCount = 2 * lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
    expect(metrics).to.include(`fastqueue_bytes_out_total{topic="t"} ${byteCount}\n`);
  });

  it('ends an answer by max_bytes before the record that would pass it, and always gives one', async () => {
    await server.start();
    await server.post(`${'a'.repeat(34)}\n${'b'.repeat(34)}\n${'c'.repeat(34)}`, NDJSON);
    const countWithin = async (maxBytes: number): Promise<number> => {
      const document = await jsonOf(await server.fetch(`/topics/t/messages?max_bytes=${maxBytes}`));
      return (document['messages'] as unknown[]).length;
    };
    expect(await Promise.all([1, 50, 99, 100, 149, 150].map(countWithin))).to.deep.equal([1, 1, 1, 2, 2, 3]);
  });

  it('opens a topic anew that was deleted behind its back, and posts to the new one', async () => {
    await server.start();
    await server.post('old');
    await server.scratch.dataDirectory().deleteTopic('t');
    expect((await server.fetch('/topics/t/messages')).status).to.equal(404);
    const acks = await Promise.all(['a', 'b', 'c'].map(async (text) => jsonOf(await server.post(text))));
    expect(acks.map((ack) => ack['offset'])).to.have.members([0, 1, 2]);
  });

  it('refuses to post to a topic that was deleted where it may make none', async () => {
    await server.scratch.fill(1);
    await server.start({ mayCreate: false });
    expect((await server.post('known')).status).to.equal(201);
    await server.scratch.dataDirectory().deleteTopic('t');
    expect((await server.post('gone')).status).to.equal(404);
  });

  it('names no path of this machine in any answer, a missing topic and a damaged one included', async () => {
    await server.scratch.fill(3);
    await server.start();
    const mark = server.scratch.path('high-watermark');
    writeFileSync(mark, 'no mark');
    for (const path of ['/topics/t/messages', '/topics/none/messages', '/topics/t', '/topics']) {
      const text = await (await server.fetch(path)).text();
      expect(text, path).to.not.include(server.scratch.directory).and.not.include('/tmp');
    }
  });

  it('says of a disk that fails whether the records are stored, and in /health until it works again', async () => {
    const disk = new FaultyFileSystem();
    await server.start({ dataDirectory: server.scratch.dataDirectory(disk) });
    const ask = async (answer: Promise<Response>): Promise<Json> => {
      const { status, headers } = await answer;
      expect(headers.get('content-type')).to.match(/json$/);
      return { ...(await jsonOf(await answer)), status };
    };
    expect(await ask(server.post('first'))).to.include({ status: 201, offset: 0 });
    disk.failNext('sync', '.store');
    const cutBack = { status: 500, code: 'io_error', sideEffects: 'none', retryable: false };
    expect(await ask(server.post('cut back'))).to.include(cutBack);
    // The file that is to prove that the disk works.
    disk.failNext('create', '');
    expect(await ask(server.fetch('/health'))).to.include({
      status: 503,
      code: 'io_error',
      dataDir: 'failing',
      version: '0',
    });
    expect(await ask(server.post('second'))).to.include({ status: 201, offset: 1 });
    expect((await server.fetch('/health')).status).to.equal(200);
    disk.failNext('write to', 'high-watermark');
    const unknown = { status: 500, code: 'outcome_unknown', sideEffects: 'unknown', retryable: false };
    const told = await ask(server.post('stored all the same'));
    expect(told).to.include(unknown);
    expect(JSON.stringify(told)).to.not.include(server.scratch.directory);
    expect(await ask(server.post('fourth'))).to.include({ status: 201, offset: 3 });
  });

  it('tells a request apart that comes from a page of another origin, and lets the named one in', async () => {
    await server.start({ allowedOrigins: ['https://app.example'] });
    const ask = async (headers: Record<string, string>): Promise<number> =>
      (await server.fetch('/topics', { headers })).status;
    expect(await ask({ origin: 'https://evil.example' })).to.equal(403);
    expect(await ask({ origin: 'null' })).to.equal(403);
    expect(await ask({ origin: server.url })).to.equal(200);
    const named = await server.fetch('/topics', { headers: { origin: 'https://app.example' } });
    expect(named.headers.get('access-control-allow-origin')).to.equal('https://app.example');
  });

  it('lets a request with the token in and no other, but everybody ask for its health', async () => {
    await server.start({ token: 'secret' });
    const ask = async (path: string, authorization?: string): Promise<number> =>
      (await server.fetch(path, authorization === undefined ? {} : { headers: { authorization } })).status;
    expect(await ask('/topics')).to.equal(401);
    expect(await ask('/topics', 'Bearer secre')).to.equal(401);
    expect(await ask('/topics', 'Basic secret')).to.equal(401);
    expect(await ask('/topics', 'Bearer secret')).to.equal(200);
    expect(await ask('/health')).to.equal(200);
  });

  it('refuses a Host that is not its own, one that came twice, and a body that is packed', async () => {
    await server.start();
    const ask = (...lines: readonly string[]): Promise<string> =>
      server.raw([...lines, 'Connection: close', '', ''].join('\r\n'));
    expect(await ask('GET /health HTTP/1.1', 'Host: evil.example')).to.match(/^HTTP\/1\.1 403 /);
    expect(await ask('GET /health HTTP/1.1', 'Host: localhost:1')).to.match(/^HTTP\/1\.1 200 /);
    expect(await ask('GET /health HTTP/1.1', 'Host: localhost', 'Host: localhost')).to.match(
      /^HTTP\/1\.1 400 /,
    );
    const packed = await server.fetch('/topics/t/messages', {
      method: 'POST',
      body: 'x',
      headers: { 'content-encoding': 'gzip' },
    });
    expect(packed.status).to.equal(415);
  });

  describe('an answer after which the connection ends', () => {
    /** A request whose body is chunked, and right behind it one that would be stored. */
    const withOneBehind = (version: string, line: string, body: string): string =>
      `POST /topics/refused/messages ${version}\r\nHost: localhost\r\n${line}\r\nTransfer-Encoding: chunked\r\n\r\n` +
      `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` +
      'POST /topics/behind/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx';

    async function expectNothingBehind(received: string, statuses: readonly string[]): Promise<void> {
      expect(received.match(/(?<=HTTP\/1\.1 )\d+/g)).to.deep.equal(statuses);
      expect(received).to.match(/\r\nConnection: close\r\n/);
      // An append that had begun comes before this one.
      expect(await jsonOf(await server.post('y', 'text/plain', 'behind'))).to.include({ offset: 0 });
      expect((await server.fetch('/topics/refused')).status).to.equal(404);
    }

    it('is the last thing done for it: after 413 under Expect what stands behind is not carried out', async () => {
      await server.start({ maxBodyBytes: 10 });
      const received = await server.raw(
        withOneBehind('HTTP/1.1', 'Expect: 100-continue', 'more than ten bytes'),
      );
      await expectNothingBehind(received, ['100', '413']);
    });

    it('is the last thing done for it: after 400 to HTTP/1.0 in chunks, kept alive or not, neither', async () => {
      await server.start();
      for (const connection of ['keep-alive', 'close']) {
        const received = await server.raw(withOneBehind('HTTP/1.0', `Connection: ${connection}`, 'x'));
        expect(received).to.include('"code":"malformed_request"');
        await expectNothingBehind(received, ['400']);
        await server.fetch('/topics/behind', { method: 'DELETE' });
      }
    });
  });

  it('ends a stream of events and answers a long poll at once when it is told to stop', async () => {
    await server.start();
    await server.post('one');
    const stream = await server.fetch('/topics/t/messages?offset=end', {
      headers: { accept: 'text/event-stream' },
    });
    const poll = server.fetch('/topics/t/messages?offset=end&wait=30');
    // The poll waits once its reader watches, which the next answer on another connection comes after.
    await server.fetch('/health');
    const began = Date.now();
    await Promise.all([server.stop(), stream.text(), poll.then((answer) => answer.text())]);
    expect(Date.now() - began).to.be.lessThan(5000);
  });
});
