/** /topics, /topics/{topic}, /offsets, /health and /openapi.json. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { expectProblem } from './answers.ts';
import { Server, type Json } from './serving.ts';

const { version: VERSION } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string };

describe('topics of serve', () => {
  const { sandbox, server } = Server.forAll();

  const shownByCommand = async (topic: string): Promise<Json> => {
    const { stdout } = await sandbox.run(['topics', 'show', topic, '--json']);
    return JSON.parse(stdout.toString()) as Json;
  };

  describe('GET /topics/{topic}/offsets', () => {
    it('says where the topic begins and ends and what it holds', async () => {
      const first = await server.publish('t', 'a');
      await wait(3);
      const last = await server.publishLines('t', 'b\nc');
      const { json } = await server.get('/topics/t/offsets');
      expect(json).to.deep.equal({
        topic: 't',
        startOffset: 0,
        endOffset: 3,
        count: 3,
        bytes: 3 * 17,
        segments: 1,
        firstTimestamp: first.json['timestamp'],
        lastTimestamp: last.json['timestamp'],
      });
    });

    it('has null for the times of a topic without records', async () => {
      await sandbox.run(['topics', 'create', 'empty']);
      const { json } = await server.get('/topics/empty/offsets');
      expect(json).to.include({
        startOffset: 0,
        endOffset: 0,
        count: 0,
        firstTimestamp: null,
        lastTimestamp: null,
      });
    });

    it('finds the first record at or after a time', async () => {
      const early = (await server.publish('timed', 'a')).json['timestamp'] as number;
      await wait(10);
      const late = (await server.publish('timed', 'b')).json['timestamp'] as number;
      const offsetAt = async (time: string): Promise<unknown> =>
        (await server.get(`/topics/timed/offsets?timestamp=${encodeURIComponent(time)}`)).json['offset'];
      expect(await offsetAt('0000000000001')).to.equal(0);
      expect(await offsetAt(String(early))).to.equal(0);
      expect(await offsetAt(String(early + 1))).to.equal(1);
      expect(await offsetAt(new Date(late).toISOString())).to.equal(1);
      expect(await offsetAt(String(late + 1))).to.equal(2);
      expect(await offsetAt('-1h')).to.equal(0);
    });

    for (const query of ['timestamp=never', 'timestamp=', 'timestamp=1&timestamp=2', 'time=1']) {
      it(`refuses ?${query}`, async () => {
        const answer = await server.get(`/topics/t/offsets?${query}`);
        expect(answer.status).to.equal(400);
        expect(answer.json).to.include({ code: 'invalid_argument' });
      });
    }
  });

  describe('PUT, GET and DELETE of /topics/{topic}', () => {
    const put = (topic: string, body: unknown): ReturnType<Server['request']> =>
      server.request('PUT', `/topics/${topic}`, {
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });

    it('creates with 201 and settings, changes with 200, and the command sees the same', async () => {
      const created = await put('made', { settings: { segmentBytes: 4096 } });
      expect(created.status, created.body.toString()).to.equal(201);
      expect(created.headers.location).to.equal('/topics/made');
      expect((await shownByCommand('made'))['settings']).to.include({ segmentBytes: 4096 });
      const changed = await put('made', { settings: { retentionBytes: '1MiB' } });
      expect(changed.status).to.equal(200);
      const { settings } = (await server.get('/topics/made')).json;
      expect(settings).to.include({ segmentBytes: 4096, retentionBytes: 1024 ** 2 });
      expect((await shownByCommand('made'))['settings']).to.deep.equal(settings);
    });

    it('creates with the defaults where the body is empty, and changes nothing the second time', async () => {
      expect((await put('plain', '')).status).to.equal(201);
      const before = await shownByCommand('plain');
      expect((await put('plain', {})).status).to.equal(200);
      expect((await shownByCommand('plain'))['settings']).to.deep.equal(before['settings']);
    });

    it('is created by one of many that ask at once', async () => {
      const statuses = (await Promise.all(Array.from({ length: 10 }, () => put('raced', {})))).map(
        ({ status }) => status,
      );
      expect(statuses.sort()).to.deep.equal([...Array<number>(9).fill(200), 201]);
    });

    describe('If-None-Match: *', () => {
      const make = (topic: string, body: string, ifNoneMatch = '*'): ReturnType<Server['request']> =>
        server.request('PUT', `/topics/${topic}`, { body, headers: { 'if-none-match': ifNoneMatch } });

      it('makes the topic where there is none; where there is one it is 412, and nothing is changed', async () => {
        const made = await make('only-new', '{"segmentBytes":4096}');
        expect([made.status, made.headers.location]).to.deep.equal([201, '/topics/only-new']);
        const before = (await server.get('/topics/only-new')).json;
        const again = await make('only-new', '{"segmentBytes":8192}');
        expectProblem(again, 412, 'condition_failed');
        expect(again.json).to.include({ topic: 'only-new' });
        expect(again.json['detail']).to.match(
          /^There is a topic "only-new" already\. .*Nothing was changed\.$/,
        );
        expectProblem(await make('only-new', ''), 412, 'condition_failed');
        expect((await server.get('/topics/only-new')).json).to.deep.equal(before);
      });

      it('makes the topic for one of many that ask at once', async () => {
        const answers = await Promise.all(Array.from({ length: 10 }, () => make('only-one', '{}')));
        const statuses = answers.map(({ status }) => status).sort();
        expect(statuses).to.deep.equal([201, ...Array<number>(9).fill(412)]);
      });

      it('comes behind what is wrong with the request itself', async () => {
        await make('judged', '');
        expectProblem(await make('judged', '{"segmentByte":1}'), 400);
      });

      it('holds for no tag: a topic has none, so none of them is its own', async () => {
        for (const tags of ['"a"', 'W/"a", "*"']) {
          expect((await make('untagged', '', tags)).status, tags).to.be.oneOf([200, 201]);
        }
        expect((await server.get('/topics/untagged')).headers).to.not.have.property('etag');
      });
    });

    const refused: [string, unknown][] = [
      ['no JSON', '{'],
      ['a list', []],
      ['null', 'null'],
      ['settings that are no object', { settings: 7 }],
      ['a setting that there is not', { settings: { segmentByte: 4096 } }],
      ['a value out of bounds', { settings: { segmentBytes: 1 } }],
      ['a value of another type', { settings: { segmentBytes: [4096] } }],
      ['a setting of commands', { settings: { batchBytes: 4096 } }],
      ['a member that there is not', { setting: {} }],
      ['a prototype', '{"settings":{"__proto__":{"segmentBytes":4096}}}'],
    ];
    for (const [what, body] of refused) {
      it(`refuses ${what} with 400, and makes no topic`, async () => {
        const answer = await put('refused', body);
        expect(answer.status, answer.body.toString()).to.equal(400);
        expect(answer.json['code']).to.be.oneOf(['invalid_argument', 'malformed_input']);
        expect((await server.get('/topics/refused')).status).to.equal(404);
      });
    }

    it('refuses settings that are compressed with 415, naming what is understood, and makes no topic', async () => {
      const answer = await server.request('PUT', '/topics/refused', {
        body: '{}',
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      });
      expectProblem(answer, 415, 'unsupported_media_type');
      expect(answer.json['detail']).to.include('identity');
      expect((await server.get('/topics/refused')).status).to.equal(404);
      const asItIs = { 'content-encoding': 'Identity' };
      const plain = await server.request('PUT', '/topics/unpacked', { body: '{}', headers: asItIs });
      expect(plain.status).to.equal(201);
    });

    it('refuses settings of more than 64 KiB with 413, whatever a body may have elsewhere, and makes no topic', async () => {
      for (const body of [`{"${'x'.repeat(70_000)}":1}`, `{"settings":[${'{},'.repeat(1_000_000)}{}]}`])
        expectProblem(await put('refused', body), 413, 'batch_too_large');
      const chunks = `10000\r\n${' '.repeat(65_536)}\r\n2\r\n{}\r\n0\r\n\r\n`;
      const [answer] = await server.exchange(
        `PUT /topics/refused HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
      );
      expect(answer?.status).to.equal(413);
      expect((await server.get('/topics/refused')).status).to.equal(404);
    });

    it('shows what the command shows, its consumer groups too', async () => {
      await server.publishLines('shown', 'a\nb\nc');
      await sandbox.run(['consume', 'shown', '-g', 'readers', '-n', '2']);
      const { json } = await server.get('/topics/shown');
      const shown = await shownByCommand('shown');
      expect(json).to.deep.include({ topic: 'shown', settings: shown['settings'], groups: shown['groups'] });
      expect(JSON.stringify(json['groups'])).to.include('readers');
    });

    it('deletes once, and a second time there is none', async () => {
      await server.publish('doomed', 'x');
      const deleted = await server.request('DELETE', '/topics/doomed');
      expect(deleted.status).to.be.oneOf([200, 204]);
      expect((await server.request('DELETE', '/topics/doomed')).status).to.equal(404);
      expect((await server.get('/topics/doomed/messages')).status).to.equal(404);
      const { stdout } = await sandbox.run(['topics', '--json']);
      expect(stdout.toString()).to.not.include('doomed');
    });

    it('deletes for no request that does not come wholly, of which is said that nothing was done', async () => {
      await server.publish('spared', 'x');
      const [answer] = await server.exchange(
        'DELETE /topics/spared HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n',
      );
      expect(answer?.status).to.equal(400);
      expect(JSON.parse(answer!.body.toString())).to.include({ sideEffects: 'none' });
      expect((await server.get('/topics/spared/messages')).json['messages']).to.have.length(1);
      const withBody = await server.request('DELETE', '/topics/spared', {
        body: 'means nothing',
        headers: { 'content-length': '13' },
      });
      expect(withBody.status).to.equal(204);
    });

    it('deletes beside posts without an error but 404, and the log that is left is sound', async () => {
      const statuses = new Set<number>();
      const posting = Array.from({ length: 8 }, async (_, client) => {
        for (let at = 0; at < 40; at++)
          statuses.add((await server.publish('churn', `${client} ${at}`)).status);
      });
      for (let at = 0; at < 10; at++) {
        statuses.add((await server.request('DELETE', '/topics/churn')).status === 500 ? 500 : 201);
        await wait(5);
      }
      await Promise.all(posting);
      expect([...statuses]).to.have.members([201]);
      const { status, stdout } = await sandbox.run(['verify', 'churn']);
      expect(status, stdout.toString()).to.equal(0);
    });
  });

  describe('GET /topics', () => {
    it('lists every topic by name with what /offsets says of it', async () => {
      const { json } = await server.get('/topics');
      const topics = json['topics'] as Json[];
      const names = topics.map(({ topic }) => topic as string);
      expect(names).to.deep.equal([...names].sort());
      expect(names).to.include.members(['t', 'empty', 'timed']);
      for (const listed of topics) {
        const offsets = (await server.get(`/topics/${listed['topic'] as string}/offsets`)).json;
        expect(listed).to.include(offsets);
      }
    });
  });

  describe('GET /health', () => {
    it('says what runs, since when, and whether it may write', async () => {
      const { status, json } = await server.get('/health');
      expect(status).to.equal(200);
      expect(json).to.include({ status: 'ok', dataDir: 'writable' });
      expect(json['version']).to.equal(VERSION);
      expect(json['uptimeSeconds']).to.be.a('number').that.is.at.least(0);
      expect(json['topics']).to.equal(((await server.get('/topics')).json['topics'] as Json[]).length);
    });
  });

  describe('GET /openapi.json', () => {
    it('is OpenAPI 3.1, and has every path and method that the server takes', async () => {
      const { json, headers } = await server.get('/openapi.json');
      expect(headers['content-type']).to.match(/^application\/json/);
      expect(json['openapi']).to.match(/^3\.1\./);
      const paths = json['paths'] as Record<string, Json>;
      expect(Object.keys(paths)).to.have.members([
        '/topics',
        '/topics/{topic}',
        '/topics/{topic}/messages',
        '/topics/{topic}/offsets',
        '/health',
        '/metrics',
        '/openapi.json',
      ]);
      expect(paths['/topics/{topic}/messages']).to.include.keys(['get', 'post']);
      expect(paths['/topics/{topic}']).to.include.keys(['get', 'put', 'delete']);
    });
  });
});
