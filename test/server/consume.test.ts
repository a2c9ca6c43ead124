/** GET /topics/{topic}/messages: which records come, in which form, with which headers, and what is answered beside the log. */
import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';
import { Sandbox } from '../cli/fastqueue.ts';
import { Server, type Answer } from './serving.ts';

interface Message {
  readonly offset: number;
  readonly timestamp: number;
  readonly payload?: string;
  readonly payload_base64?: string;
}

const NDJSON = { accept: 'application/x-ndjson' };
const OCTETS = { accept: 'application/octet-stream' };

const messagesOf = (answer: Answer): Message[] => answer.json['messages'] as Message[];
const offsetsOf = (answer: Answer): number[] => messagesOf(answer).map(({ offset }) => offset);
const offsetHeaders = ({ headers }: Answer): unknown => ({
  next: headers['fastqueue-next-offset'],
  start: headers['fastqueue-start-offset'],
  end: headers['fastqueue-end-offset'],
});
/** The path that the answer's Link names as the next. */
const nextPath = ({ headers }: Answer): string =>
  /^<([^>]+)>; rel="next"$/.exec(headers.link as string)?.[1] ?? `no next in ${String(headers.link)}`;

describe('GET /topics/{topic}/messages', () => {
  const sandbox = new Sandbox();
  let server: Server;
  /** When the sixth record of "ten" was stored, later than the fifth. */
  let middleTime: number;

  before(async () => {
    server = await Server.start(sandbox);
    await server.publishLines('ten', 'r0\nr1\nr2\nr3\nr4\n');
    await wait(5);
    const { json } = await server.publishLines('ten', 'r5\nr6\nr7\nr8\nr9\n');
    middleTime = json['timestamp'] as number;
    await server.publish('binary', Buffer.of(0xff, 0, 10));
    await server.publish('binary', 'grün\n\u2028');
    await sandbox.run(['topics', 'create', 'empty']);
    const settings = ['--set', 'segmentBytes=1KiB', '--set', 'retentionBytes=2KiB'];
    await sandbox.run(['topics', 'create', 'short', ...settings]);
    for (let batch = 0; batch < 10; batch++) await server.publish('short', 'x'.repeat(900));
  });

  after(async () => {
    await server.stop();
    sandbox.remove();
  });

  const messages = (query: string, headers: Record<string, string> = {}): Promise<Answer> =>
    server.get(`/topics/ten/messages${query}`, headers);

  const expectProblem = (answer: Answer, status: number, code: string): void => {
    expect(answer.status, answer.body.toString()).to.equal(status);
    expect(answer.headers['content-type']).to.match(/^application\/problem\+json/);
    expect(answer.json).to.include({ status, code });
  };

  describe('forms', () => {
    it('is JSON by default: the records, and where the topic begins and ends', async () => {
      const answer = await messages('?offset=3&limit=2');
      expect(answer.status).to.equal(200);
      expect(answer.headers['content-type']).to.match(/^application\/json/);
      const { messages: records, ...rest } = answer.json;
      expect(rest).to.deep.equal({ topic: 'ten', nextOffset: 5, startOffset: 0, endOffset: 10 });
      const timestamp = messagesOf(answer)[0]!.timestamp;
      expect(timestamp).to.be.lessThan(middleTime);
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

  describe('offset', () => {
    const ranges: [string, number[]][] = [
      ['', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
      ['?offset=8', [8, 9]],
      ['?offset=-3', [7, 8, 9]],
      ['?offset=beginning&limit=2', [0, 1]],
      ['?offset=earliest&limit=1', [0]],
      ['?offset=end', []],
      ['?offset=latest', []],
      ['?offset=10', []],
      ['?offset=2:4', [2, 3]],
      ['?offset=8:', [8, 9]],
      ['?offset=:2', [0, 1]],
      ['?offset=2:9&limit=3', [2, 3, 4]],
    ];
    for (const [query, offsets] of ranges) {
      it(`${query === '' ? 'left out' : query} begins where "consume -o" does: ${JSON.stringify(offsets)}`, async () => {
        const answer = await messages(query);
        expect(answer.status, answer.body.toString()).to.equal(200);
        expect(offsetsOf(answer)).to.deep.equal(offsets);
      });
    }

    it('takes times, too', async () => {
      expect(offsetsOf(await messages(`?offset=@${middleTime}`))).to.deep.equal([5, 6, 7, 8, 9]);
      expect(offsetsOf(await messages(`?offset=s@${middleTime}&limit=1`))).to.deep.equal([5]);
      expect(offsetsOf(await messages(`?offset=e@${middleTime}`))).to.deep.equal([0, 1, 2, 3, 4]);
      const iso = new Date(middleTime).toISOString();
      expect(offsetsOf(await messages(`?offset=${encodeURIComponent(`@${iso}`)}`))).to.deep.equal([
        5, 6, 7, 8, 9,
      ]);
      expect(offsetsOf(await messages('?offset=@-1h:'))).to.have.length(10);
    });

    it('past the end is 416 with endOffset, also for the end of a range; clamp=true takes the end', async () => {
      const answer = await messages('?offset=11');
      expectProblem(answer, 416, 'offset_out_of_range');
      expect(answer.json).to.include({ endOffset: 10 });
      expectProblem(await messages('?offset=2:11'), 416, 'offset_out_of_range');
      const clamped = await messages('?offset=11&clamp=true');
      expect(clamped.status).to.equal(200);
      expect(clamped.json).to.include({ nextOffset: 10 }).and.to.deep.include({ messages: [] });
      expect(offsetsOf(await messages('?offset=8:11&clamp=true'))).to.deep.equal([8, 9]);
    });

    it('before the start is 410 with startOffset; clamp=true takes the start', async () => {
      const { json } = await server.get('/topics/short/offsets');
      const startOffset = json['startOffset'] as number;
      expect(startOffset).to.be.greaterThan(0);
      const answer = await server.get('/topics/short/messages?offset=0');
      expectProblem(answer, 410, 'offset_removed');
      expect(answer.json).to.include({ startOffset });
      const clamped = await server.get('/topics/short/messages?offset=0&clamp=true');
      expect(offsetsOf(clamped)[0]).to.equal(startOffset);
      expect(offsetHeaders(clamped)).to.deep.equal({ next: '10', start: String(startOffset), end: '10' });
    });

    it('at the end of a topic, empty or not, is 200 with no messages', async () => {
      const answer = await server.get('/topics/empty/messages');
      expect(answer.status).to.equal(200);
      expect(answer.json).to.deep.equal({
        topic: 'empty',
        messages: [],
        nextOffset: 0,
        startOffset: 0,
        endOffset: 0,
      });
      const lines = await messages('?offset=end', NDJSON);
      expect([lines.status, lines.body.toString()]).to.deep.equal([200, '']);
    });
  });

  describe('refuses with 400', () => {
    const queries = [
      'offset=abc',
      'offset=',
      'offset=1.5',
      'offset=5:2',
      'offset=:',
      'offset=@never',
      'offset=99999999999999999999',
      'offset=1&offset=2',
      'limit=abc',
      'limit=',
      'limit=-1',
      'limit=1.5',
      'limit=10001',
      'limit=1e3',
      'limit=1&limit=2',
      'max_bytes=abc',
      'max_bytes=-1',
      'wait=abc',
      'wait=-1',
      'wait=61',
      'wait=Infinity',
      'clamp=maybe',
      'ofset=1',
      'offset=%zz',
      'offset=%00',
    ];
    for (const query of queries) {
      it(`?${query}, in a sentence`, async () => {
        const answer = await messages(`?${query}`);
        expectProblem(answer, 400, 'invalid_argument');
        expect(answer.json['detail']).to.match(/^\S.{15,}[.?]$/s);
      });
    }
  });

  describe('limits', () => {
    it('gives 100 records unless limit says otherwise, and up to 10,000', async () => {
      await server.publishLines('many', 'x\n'.repeat(10_050));
      expect(offsetsOf(await server.get('/topics/many/messages'))).to.have.length(100);
      expect(offsetsOf(await server.get('/topics/many/messages?limit=10000'))).to.have.length(10_000);
      expect(offsetsOf(await server.get('/topics/many/messages?limit=101'))).to.have.length(101);
    });

    it('gives at most max_bytes, but always one record', async () => {
      for (let number = 0; number < 8; number++) await server.publish('large', Buffer.alloc(200_000, 'x'));
      expect(offsetsOf(await server.get('/topics/large/messages'))).to.have.length.within(4, 5);
      expect(offsetsOf(await server.get('/topics/large/messages?max_bytes=450000'))).to.have.length.within(
        1,
        2,
      );
      const one = await server.get('/topics/large/messages?max_bytes=1');
      expect(offsetsOf(one)).to.deep.equal([0]);
      expect(one.json).to.include({ nextOffset: 1 });
      const whole = await server.get('/topics/large/messages?max_bytes=2000000');
      expect(offsetsOf(whole)).to.have.length(8);
    });
  });

  it('has 204 and nothing for the payload at the end, where an empty record is 200', async () => {
    await server.publish('hollow', '');
    const empty = await server.get('/topics/hollow/messages?limit=1', OCTETS);
    expect([empty.status, empty.body.length, empty.headers['content-length']]).to.deep.equal([200, 0, '0']);
    const atEnd = await server.get('/topics/hollow/messages?offset=end&limit=1', OCTETS);
    expect([atEnd.status, atEnd.body.length]).to.deep.equal([204, 0]);
    expect(offsetHeaders(atEnd)).to.deep.equal({ next: '1', start: '0', end: '1' });
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

    it('never spares the body where there may be more: a range that reaches the end', async () => {
      await server.publish('reaching', 'a');
      const path = '/topics/reaching/messages?offset=0';
      const { headers } = await server.get(path);
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

  describe('wait', () => {
    it('answers as soon as there is a record', async () => {
      const begun = performance.now();
      const waiting = server.get('/topics/empty/messages?wait=30');
      await wait(50);
      await server.publish('empty', 'now');
      expect(offsetsOf(await waiting)).to.deep.equal([0]);
      expect(performance.now() - begun).to.be.lessThan(5000);
      expect(offsetsOf(await server.get('/topics/empty/messages?wait=30'))).to.deep.equal([0]);
    });

    it('answers as soon as there is a record in each form', async () => {
      await sandbox.run(['topics', 'create', 'forms']);
      const waiting = [NDJSON, OCTETS].map((headers) =>
        server.get('/topics/forms/messages?wait=30&limit=1', headers),
      );
      await wait(50);
      await server.publish('forms', 'now');
      const [lines, octets] = await Promise.all(waiting);
      expect(lines!.body.toString()).to.match(/^\{"type":"record",.*"payload":"now"\}\n$/);
      expect(octets!.body.toString()).to.equal('now');
    });

    it('is 200 with no messages when it is over', async () => {
      const begun = performance.now();
      const answer = await messages('?offset=end&wait=0.3');
      expect(performance.now() - begun).to.be.within(280, 4000);
      expect(answer.status).to.equal(200);
      expect(answer.json).to.include({ nextOffset: 10 }).and.to.deep.include({ messages: [] });
    });

    it('is 404 for a topic that was deleted meanwhile', async () => {
      await server.publish('doomed', 'x');
      const waiting = server.get('/topics/doomed/messages?offset=end&wait=30');
      await wait(50);
      await server.request('DELETE', '/topics/doomed');
      expectProblem(await waiting, 404, 'topic_not_found');
    });

    it('costs nothing once the client has gone away', async () => {
      await wait(50);
      const before = server.descriptorCount();
      const sockets = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const socket = await server.connect();
          socket.write('GET /topics/ten/messages?offset=end&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n');
          return socket;
        }),
      );
      await until(() => server.descriptorCount() >= before + 20);
      for (const socket of sockets) socket.destroy();
      await until(() => server.descriptorCount() <= before + 2);
    });
  });

  it('moves nothing: the same request has the same answer for ever', async () => {
    const [first, second] = [await messages('?limit=3'), await messages('?limit=3')];
    expect(second.body.equals(first.body)).to.equal(true);
  });

  it('is 404 topic_not_found for a topic that there is not, and creates none', async () => {
    expectProblem(await server.get('/topics/none/messages'), 404, 'topic_not_found');
    expectProblem(await server.get('/topics/none/offsets'), 404, 'topic_not_found');
    const { stdout } = await sandbox.run(['topics', '--json']);
    expect(stdout.toString()).to.not.include('"none"');
  });
});

/** Resolves when it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await wait(10);
}
