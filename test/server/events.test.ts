/** GET /topics/{topic}/messages as text/event-stream: every record once, for ever, from where a client left off. */
import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';
import { Sandbox } from '../cli/fastqueue.ts';
import { messagesOf } from './answers.ts';
import { EventStream, Server, type StreamEvent } from './serving.ts';

const numbered = (from: number, count: number): string =>
  Array.from({ length: count }, (_, at) => `r${from + at}`).join('\n');

describe('GET /topics/{topic}/messages as text/event-stream', () => {
  const { sandbox, server } = Server.forAll();
  const streams: EventStream[] = [];

  before(async () => {
    await server.publishLines('ten', numbered(0, 10));
  });

  afterEach(() => {
    for (const stream of streams.splice(0)) stream.close();
  });

  const follow = async (path: string, headers: Record<string, string> = {}): Promise<EventStream> => {
    const stream = await EventStream.open(server, path, headers);
    streams.push(stream);
    return stream;
  };

  const idsOf = (events: readonly StreamEvent[]): unknown[] => events.map(({ id }) => id);

  it('says what it is, and that nobody may keep it', async () => {
    const { answer } = await follow('/topics/ten/messages');
    expect(answer.statusCode).to.equal(200);
    expect(answer.headers['content-type']).to.match(/^text\/event-stream/);
    expect(answer.headers['cache-control']).to.match(/no-(store|cache)/);
    expect(answer.headers).to.not.have.property('content-length');
  });

  it('says in its headers where it begins, where the topic begins and ends, and how to ask for it again', async () => {
    const asked: [string, Record<string, string>, string, string][] = [
      ['offset=4', {}, '4', 'offset=4'],
      ['offset=-3&limit=2', {}, '7', 'offset=7&limit=2'],
      ['offset=2:8', { 'last-event-id': '5' }, '6', 'offset=6:8'],
    ];
    for (const [query, headers, begin, next] of asked) {
      const { answer } = await follow(`/topics/ten/messages?${query}`, headers);
      expect(answer.headers, query).to.include({
        'fastqueue-next-offset': begin,
        'fastqueue-start-offset': '0',
        'fastqueue-end-offset': '10',
        link: `</topics/ten/messages?${next}>; rel="next"`,
      });
    }
  });

  it('sends each record with its offset as id and the object as data, then goes on as records come', async () => {
    const stream = await follow('/topics/ten/messages?offset=8');
    const events = await stream.take(2);
    expect(idsOf(events)).to.deep.equal(['8', '9']);
    expect(events[0]!.data).to.include({ offset: 8, payload: 'r8' });
    expect(events[0]!.data['timestamp']).to.be.a('number');
    await server.publish('ten', 'r10');
    const more = await stream.next();
    expect(more).to.include({ id: '10' });
    expect(more?.data).to.include({ offset: 10, payload: 'r10' });
  });

  it('carries line breaks and bytes that are no UTF-8 in one event', async () => {
    await server.publish('odd', 'a\r\nb\n\nid: 7\ndata: x\u2028');
    await server.publish('odd', Buffer.of(0xff, 10, 10));
    const stream = await follow('/topics/odd/messages');
    const [text, bytes] = await stream.take(2);
    expect(text?.data).to.include({ payload: 'a\r\nb\n\nid: 7\ndata: x\u2028' });
    expect(bytes?.data).to.include({ payload_base64: '/woK' });
    expect(idsOf([text!, bytes!])).to.deep.equal(['0', '1']);
  });

  it('resumes behind Last-Event-ID, whatever offset the address asks for', async () => {
    const stream = await follow('/topics/ten/messages?offset=2', { 'last-event-id': '6' });
    expect(idsOf(await stream.take(3))).to.deep.equal(['7', '8', '9']);
  });

  it('resumes at the end where Last-Event-ID is the last there is', async () => {
    await server.publishLines('pair', 'a\nb');
    const stream = await follow('/topics/pair/messages', { 'last-event-id': '1' });
    await server.publish('pair', 'c');
    expect((await stream.next())?.data).to.include({ offset: 2, payload: 'c' });
  });

  it('misses and doubles none while a client loses its connection again and again under load', async () => {
    await server.publish('load', 'r0');
    const publishing = (async () => {
      for (let from = 1; from < 2001; from += 50) await server.publishLines('load', numbered(from, 50));
    })();
    const seen: string[] = [];
    let last: string | undefined;
    while (seen.length < 2001) {
      const stream: EventStream = await follow(
        '/topics/load/messages',
        last === undefined ? {} : { 'last-event-id': last },
      );
      for (const event of await stream.take(Math.min(173, 2001 - seen.length))) {
        seen.push(event.data['payload'] as string);
        last = event.id;
      }
      stream.close();
    }
    await publishing;
    expect(seen).to.deep.equal(Array.from({ length: 2001 }, (_, at) => `r${at}`));
  });

  it('serves many readers of one topic at once, each the whole of it', async () => {
    await sandbox.run(['topics', 'create', 'many']);
    const readers = await Promise.all(Array.from({ length: 30 }, () => follow('/topics/many/messages')));
    await server.publishLines('many', numbered(0, 40));
    await server.publishLines('many', numbered(40, 40));
    for (const events of await Promise.all(readers.map((reader) => reader.take(80))))
      expect(idsOf(events)).to.deep.equal(Array.from({ length: 80 }, (_, at) => String(at)));
  });

  it('costs nothing once the client has gone away, whether it waited for events or took none of them', async () => {
    for (let batch = 0; batch < 4; batch++) await server.publish('vast', Buffer.alloc(8 * 1024 ** 2));
    const before = server.descriptorCount();
    const sockets = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const socket = await server.connect();
        socket.pause();
        const path = at % 2 === 0 ? '/topics/ten/messages?offset=end' : '/topics/vast/messages';
        socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`);
        return socket;
      }),
    );
    // Each has its connection, and at least the store that it reads.
    while (server.descriptorCount() < before + 40) await wait(10);
    for (const socket of sockets) socket.destroy();
    while (server.descriptorCount() > before + 2) await wait(10);
  });

  it('ends after as many records as limit says, and at the end of a range', async () => {
    await server.publishLines('bounded', 'a\nb\nc\nd');
    for (const query of ['limit=2', 'offset=0:2']) {
      const stream = await follow(`/topics/bounded/messages?${query}`);
      expect(idsOf(await stream.take(3)), query).to.deep.equal(['0', '1']);
    }
  });

  it('answers 204 where the range has ended before it begins, so that a client comes back no more', async () => {
    await server.publishLines('finished', 'a\nb\nc\nd');
    const times = messagesOf(await server.get('/topics/finished/messages')).map(({ timestamp }) => timestamp);
    const ranges: [string, string | undefined][] = [
      ['0:2', '1'],
      [':2', '1'],
      ['0:end', '3'],
      ['2:2', undefined],
      [`e@${String(times[0])}`, undefined],
    ];
    for (const [offset, lastId] of ranges) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await server.request(method, `/topics/finished/messages?offset=${offset}`, {
          headers: {
            accept: 'text/event-stream',
            ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
          },
        });
        expect([answer.status, answer.body.length], `${method} ${offset}`).to.deep.equal([204, 0]);
        expect(answer.headers).to.include({ 'fastqueue-end-offset': '4', 'cache-control': 'no-store' });
      }
    }
  });

  it('waits for a range that begins where the topic ends and may still come', async () => {
    await server.publish('coming', 'a');
    const stream = await follow('/topics/coming/messages?offset=0:2', { 'last-event-id': '0' });
    expect(stream.answer.statusCode).to.equal(200);
    await server.publish('coming', 'b');
    expect(idsOf(await stream.take(2))).to.deep.equal(['1']);
  });

  for (const id of ['abc', '-1', '1.5', '99999999999999999999']) {
    it(`answers 400 to "Last-Event-ID: ${id}", which no event had`, async () => {
      const answer = await server.get('/topics/ten/messages', {
        accept: 'text/event-stream',
        'last-event-id': id,
      });
      expect(answer.status, answer.body.toString()).to.equal(400);
      expect(answer.json).to.include({ code: 'invalid_argument' });
    });
  }

  it('answers 416 to a Last-Event-ID past the end, and 404 for no topic, as a problem', async () => {
    const past = await server.get('/topics/ten/messages', {
      accept: 'text/event-stream',
      'last-event-id': '5000',
    });
    expect(past.status).to.equal(416);
    expect(past.json).to.include({ code: 'offset_out_of_range' }).and.to.have.property('endOffset');
    const none = await server.get('/topics/none/messages', { accept: 'text/event-stream' });
    expect(none.json).to.include({ status: 404, code: 'topic_not_found' });
  });

  it('answers HEAD with the head alone, at once', async () => {
    const answer = await server.request('HEAD', '/topics/ten/messages', {
      headers: { accept: 'text/event-stream' },
    });
    expect(answer.status).to.equal(200);
    expect(answer.headers['content-type']).to.match(/^text\/event-stream/);
    expect(answer.body).to.have.length(0);
  });

  it('ends where its topic is deleted', async () => {
    await server.publish('doomed', 'x');
    const stream = await follow('/topics/doomed/messages');
    await stream.take(1);
    await server.request('DELETE', '/topics/doomed');
    const last = await stream.next();
    if (last !== undefined) {
      expect(last.event).to.equal('problem');
      expect(last.data).to.include({ code: 'topic_not_found' });
      expect(await stream.next()).to.equal(undefined);
    }
  });

  it('ends at once where the server is asked to stop, which then exits with 0', async () => {
    const own = new Sandbox();
    const stopping = await Server.start(own);
    await stopping.publish('t', 'x');
    const stream = await EventStream.open(stopping, '/topics/t/messages');
    await stream.take(1);
    const begun = performance.now();
    const outcome = await stopping.stop();
    expect(outcome.status, outcome.stderr).to.equal(0);
    expect(performance.now() - begun).to.be.lessThan(3000);
    expect(await stream.next()).to.equal(undefined);
    own.remove();
  });
});
