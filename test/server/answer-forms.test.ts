/** GET /topics/{topic}/messages: in which form the records come, and with which headers. */
import { expect } from 'chai';
import {
  expectProblem,
  messagesOf,
  NDJSON,
  nextPath,
  OCTETS,
  offsetHeaders,
  offsetsOf,
  type Message,
} from './answers.ts';
import { Server, type Json, type Answer } from './serving.ts';

describe('an answer of GET /topics/{topic}/messages', () => {
  const { sandbox, server } = Server.forAll();

  before(async () => {
    await server.publishLines('ten', 'r0\nr1\nr2\nr3\nr4\nr5\nr6\nr7\nr8\nr9\n');
    await server.publish('binary', Buffer.of(0xff, 0, 10));
    await server.publish('binary', 'grün\n\u2028');
  });

  const messages = (query: string, headers: Record<string, string> = {}): Promise<Answer> =>
    server.get(`/topics/ten/messages${query}`, headers);

  describe('forms', () => {
    it('is JSON by default: the records, and where the topic begins and ends', async () => {
      const answer = await messages('?offset=3&limit=2');
      expect(answer.status).to.equal(200);
      expect(answer.headers['content-type']).to.match(/^application\/json/);
      const { messages: records, ...rest } = answer.json;
      expect(rest).to.deep.equal({ topic: 'ten', nextOffset: 5, startOffset: 0, endOffset: 10 });
      const timestamp = messagesOf(answer)[0]!.timestamp;
      expect(timestamp).to.be.closeTo(Date.now(), 60_000);
      expect(records).to.deep.equal([
        { offset: 3, timestamp, payload: 'r3' },
        { offset: 4, timestamp, payload: 'r4' },
      ]);
    });

    it('gives a payload that is no UTF-8 as base64, and every other as text', async () => {
      const records = messagesOf(await server.get('/topics/binary/messages'));
      expect(records[0]).to.include({ payload_base64: '/wAK' }).and.to.not.have.property('payload');
      expect(records[1]).to.include({ payload: 'grün\n\u2028' }).and.to.not.have.property('payload_base64');
    });

    it('is as NDJSON, byte for byte, what "consume --json" prints', async () => {
      for (const topic of ['ten', 'binary']) {
        const answer = await server.get(`/topics/${topic}/messages`, NDJSON);
        expect(answer.headers['content-type']).to.match(/^application\/x-ndjson/);
        const { stdout } = await sandbox.run(['consume', topic, '--json']);
        expect(answer.body.toString()).to.equal(stdout.toString());
      }
    });

    it('is as octet-stream with limit=1 the payload itself, its offset and time in headers', async () => {
      const answer = await server.get('/topics/binary/messages?offset=0&limit=1', OCTETS);
      expect(answer.status).to.equal(200);
      expect(answer.headers['content-type']).to.equal('application/octet-stream');
      expect(answer.body).to.deep.equal(Buffer.of(0xff, 0, 10));
      expect(answer.headers['fastqueue-offset']).to.equal('0');
      const [record] = messagesOf(await server.get('/topics/binary/messages?limit=1'));
      expect(answer.headers['fastqueue-timestamp']).to.equal(String(record!.timestamp));
    });

    it('is refused as octet-stream without limit=1, which names it', async () => {
      const answer = await messages('?limit=2', OCTETS);
      expectProblem(answer, 400, 'invalid_argument');
      expect(answer.json['detail']).to.include('limit=1');
    });

    const chosen: [string, string | undefined][] = [
      ['*/*', 'application/json'],
      ['application/*', 'application/json'],
      ['APPLICATION/JSON', 'application/json'],
      ['application/json;charset=utf-8', 'application/json'],
      ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'application/json'],
      ['application/x-ndjson, application/json;q=0.5', 'application/x-ndjson'],
      ['application/json;q=0.5, application/x-ndjson;q=0.9', 'application/x-ndjson'],
      ['application/json;q=0, application/x-ndjson;q=0.1', 'application/x-ndjson'],
      ['text/html, application/x-ndjson', 'application/x-ndjson'],
      ['text/html', undefined],
      ['application/json;q=0', undefined],
      ['*/*;q=0', undefined],
    ];
    for (const [accept, type] of chosen) {
      it(`for "Accept: ${accept}" is ${type ?? '406, naming what there is'}`, async () => {
        const answer = await messages('?limit=1', { accept });
        if (type === undefined) {
          expect(answer.status).to.equal(406);
          expect(answer.headers['content-type']).to.match(/^application\/problem\+json/);
          for (const known of ['application/json', 'application/x-ndjson', 'text/event-stream'])
            expect(answer.json['detail']).to.include(known);
        } else {
          expect(answer.status).to.equal(200);
          expect(answer.headers['content-type']).to.satisfy((each: string) => each.startsWith(type));
          expect(answer.headers.vary).to.match(/\baccept\b/i);
        }
      });
    }
  });

  it('is 200 and empty as octet-stream at the end, told from an empty record by its offset and time alone', async () => {
    await server.publish('hollow', '');
    const path = '/topics/hollow/messages?limit=1';
    const atEnd = [`${path}&offset=end`, `${path}&offset=0:0`, `${path}&offset=end&wait=0.05`];
    for (const asked of [path, ...atEnd]) {
      const answer = await server.get(asked, OCTETS);
      const { status, body, headers } = answer;
      expect([status, body.length, headers['content-length']], asked).to.deep.equal([200, 0, '0']);
      expect(headers['content-type'], asked).to.equal('application/octet-stream');
      expect(offsetHeaders(answer), asked).to.include({ start: '0', end: '1' });
      expect(nextPath(answer), asked).to.include(`offset=${asked.includes('0:0') ? '0:0' : '1'}`);
      const ofRecord = ['fastqueue-offset', 'fastqueue-timestamp'].filter((name) => name in headers);
      expect(ofRecord, asked).to.have.length(asked === path ? 2 : 0);
      const head = await server.request('HEAD', asked, { headers: OCTETS });
      expect([head.status, head.headers['content-length']], asked).to.deep.equal([200, '0']);
    }
  });

  it('ends as octet-stream, too, before the time that is asked for as the end', async () => {
    const [, { timestamp }] = messagesOf(await messages('?limit=2')) as [Message, Message];
    for (const { time, payload, next } of [
      { time: timestamp, payload: '', next: 1 },
      { time: timestamp + 1, payload: 'r1', next: 2 },
    ]) {
      const query = `?offset=1:@${time}&limit=1`;
      const [octets, document] = [await messages(query, OCTETS), await messages(query)];
      expect([octets.status, octets.body.toString()]).to.deep.equal([200, payload]);
      expect('fastqueue-offset' in octets.headers).to.equal(payload !== '');
      expect(offsetHeaders(octets))
        .to.deep.equal(offsetHeaders(document))
        .and.include({ next: `${next}` });
    }
  });

  describe('headers', () => {
    for (const [form, accept] of [
      ['JSON', 'application/json'],
      ['NDJSON', 'application/x-ndjson'],
      ['octet-stream', 'application/octet-stream'],
    ] as const) {
      it(`name the next, first and end offset and link to the next page, as ${form}`, async () => {
        const answer = await messages('?offset=3&limit=1', { accept });
        expect(offsetHeaders(answer)).to.deep.equal({ next: '4', start: '0', end: '10' });
        const next = await server.get(nextPath(answer), { accept });
        expect(next.headers['fastqueue-next-offset']).to.equal('5');
      });
    }

    it('lead from page to page through the whole topic, each record once, and on when there is more', async () => {
      await server.publishLines('paged', Array.from({ length: 57 }, (_, at) => `p${at}`).join('\n'));
      const seen: string[] = [];
      let path = '/topics/paged/messages?limit=10';
      for (let page = 0; page < 6; page++) {
        const answer = await server.get(path);
        seen.push(...messagesOf(answer).map(({ payload }) => payload as string));
        path = nextPath(answer);
      }
      expect(seen).to.deep.equal(Array.from({ length: 57 }, (_, at) => `p${at}`));
      const atEnd = await server.get(path);
      expect(offsetsOf(atEnd)).to.deep.equal([]);
      await server.publish('paged', 'more');
      expect(offsetsOf(await server.get(nextPath(atEnd)))).to.deep.equal([57]);
    });

    it('lead to the end that was asked for, and past none: an offset, or a time that is still to come', async () => {
      const { json: ack } = await server.publishLines('timed', 'a\nb\nc');
      const until = (ack['timestamp'] as number) + 1;
      for (const end of ['0:2', `@:${until}`, `@:${until + 3_600_000}`]) {
        let answer = await server.get(`/topics/timed/messages?offset=${end}&limit=2`);
        expect(offsetsOf(answer), end).to.deep.equal([0, 1]);
        if (!end.startsWith('0')) {
          answer = await server.get(nextPath(answer));
          expect(offsetsOf(answer), end).to.deep.equal([2]);
        }
        expect(offsetsOf(await server.get(nextPath(answer))), end).to.deep.equal([]);
      }
      const [past, coming] = [until, until + 3_600_000].map(
        (time) => `/topics/timed/messages?offset=@:${time}&limit=3`,
      );
      const atEnd = [await server.get(past!), await server.get(coming!)];
      let late: Json;
      do late = (await server.publish('timed', 'late')).json;
      while ((late['timestamp'] as number) < until);
      const [none, some] = await Promise.all(atEnd.map(async (answer) => server.get(nextPath(answer))));
      expect(messagesOf(none!).filter(({ timestamp }) => timestamp >= until)).to.deep.equal([]);
      expect(offsetsOf(some!)[0]).to.equal(3);
    });

    it('are taken again where the end is a time before 1970, however long before', async () => {
      for (const days of [30_000, 800_000, 104_000_000]) {
        const answer = await server.get(`/topics/ten/messages?offset=0:@-${days}d`);
        expect(answer.status, String(days)).to.equal(200);
        const next = await server.get(nextPath(answer));
        expect([next.status, offsetsOf(next)], String(days)).to.deep.equal([200, []]);
      }
    });

    it('are the same for HEAD, which has no body and leaves the connection usable', async () => {
      for (const accept of ['application/json', 'application/octet-stream']) {
        const path = '/topics/ten/messages?offset=3&limit=1';
        const get = await server.get(path, { accept });
        const head = await server.request('HEAD', path, { headers: { accept } });
        expect(head.status).to.equal(200);
        expect(head.body).to.have.length(0);
        const comparable = (headers: Answer['headers']): unknown =>
          Object.entries(headers).filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name));
        expect(comparable(head.headers)).to.deep.equal(comparable(get.headers));
      }
      await server.publishLines('long', `${'x'.repeat(999)}\n`.repeat(1000));
      const long = '/topics/long/messages?limit=1000&max_bytes=2MB';
      const [head, get] = [await server.request('HEAD', long), await server.get(long)];
      expect(head.headers['fastqueue-next-offset']).to.equal('1000');
      expect(head.headers['content-length']).to.be.oneOf([undefined, String(get.body.length)]);
      const missing = await server.request('HEAD', '/topics/none/messages');
      expect([missing.status, missing.body.length]).to.deep.equal([404, 0]);
    });
  });

  describe('ETag', () => {
    it('stands on a range below the end, also when records come after it, and If-None-Match spares the body', async () => {
      await server.publishLines('tagged', 'a\nb\nc\nd');
      const path = '/topics/tagged/messages?offset=0&limit=2';
      const first = await server.get(path);
      const etag = first.headers.etag as string;
      expect(etag).to.match(/^(W\/)?"[\x21\x23-\x7e]+"$/);
      await server.publish('tagged', 'e');
      const same = await server.get(path, { 'if-none-match': etag });
      expect([same.status, same.body.length]).to.deep.equal([304, 0]);
      expect(same.headers.etag).to.equal(etag);
      for (const value of ['*', `"other", ${etag}`, etag.replace(/^W\//, '')])
        expect((await server.get(path, { 'if-none-match': value })).status, value).to.equal(304);
      expect((await server.get(path, { 'if-none-match': '"other"' })).status).to.equal(200);
      const head = await server.request('HEAD', path, { headers: { 'if-none-match': etag } });
      expect(head.status).to.equal(304);
    });

    it('is made of the id and the generation of the topic, and of where the range begins and ends', async () => {
      const { id, generation } = (await server.get('/topics/ten')).json;
      const { etag } = (await messages('?offset=3&limit=4')).headers;
      expect(etag).to.match(new RegExp(`${String(id)}.${String(generation)}.3.7\\b`));
    });

    it('differs from range to range, and from form to form', async () => {
      const tags = await Promise.all(
        [
          ['?offset=0&limit=2', 'application/json'],
          ['?offset=1&limit=1', 'application/json'],
          ['?offset=0&limit=3', 'application/json'],
          ['?offset=0&limit=2', 'application/x-ndjson'],
          ['?offset=0&limit=1', 'application/json'],
          ['?offset=0&limit=1', 'application/octet-stream'],
        ].map(async ([query, accept]) => (await messages(query!, { accept: accept! })).headers.etag),
      );
      expect(new Set(tags).size).to.equal(tags.length);
    });

    it('is weak or of an answer that never changes: endOffset is in JSON', async () => {
      await server.publishLines('growing', 'a\nb');
      const path = '/topics/growing/messages?offset=0&limit=1';
      const before = await server.get(path);
      await server.publish('growing', 'c');
      const after = await server.get(path);
      if (!before.body.equals(after.body) && before.headers.etag === after.headers.etag)
        expect(before.headers.etag).to.match(/^W\//);
    });

    it('spares the payload itself, too', async () => {
      const path = '/topics/ten/messages?offset=0&limit=1';
      const { headers } = await server.get(path, OCTETS);
      const same = await server.get(path, { ...OCTETS, 'if-none-match': headers.etag as string });
      expect([same.status, same.body.length]).to.deep.equal([304, 0]);
    });

    it('never spares the body where there may be more: a range that reaches the end', async () => {
      await server.publish('reaching', 'a');
      const path = '/topics/reaching/messages?offset=0';
      const { headers } = await server.get(path);
      expect(headers).to.not.have.property('etag');
      await server.publish('reaching', 'b');
      const again = await server.get(path, { 'if-none-match': headers.etag ?? '*' });
      expect(offsetsOf(again)).to.deep.equal([0, 1]);
    });

    it('changes when the topic was deleted and made again, with the same records in it', async () => {
      const path = '/topics/again/messages?offset=0&limit=1';
      await server.publishLines('again', 'a\nb');
      const before = await server.get(path);
      await server.request('DELETE', '/topics/again');
      await server.publishLines('again', 'A\nB');
      const after = await server.get(path, { 'if-none-match': before.headers.etag as string });
      expect(after.status).to.equal(200);
      expect(messagesOf(after)[0]!.payload).to.equal('A');
      expect(after.headers.etag).to.not.equal(before.headers.etag);
    });
  });
});
