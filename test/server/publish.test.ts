/** POST /topics/{topic}/messages: what a body is, what is answered, and that it is stored wholly or not at all. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/engine/errors.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { Sandbox } from '../cli/fastqueue.ts';
import { readTopicFiles } from '../support/log-files.ts';
import { expectProblem } from './answers.ts';
import { parseAnswers, Server, untilClosed, type Answer } from './serving.ts';

const NDJSON = 'application/x-ndjson';
const BATCH = 'application/vnd.fastqueue.records+json';

/** A name that no other test of the file uses. */
let topicCount = 0;
const newTopic = (): string => `t${++topicCount}`;

describe('POST /topics/{topic}/messages', () => {
  const { sandbox, server } = Server.forAll(['--max-body', '1MiB']);

  const stored = (topic: string): string[] =>
    readTopicFiles(join(sandbox.dataDirectory, topic)).map(({ payload }) => payload.toString('latin1'));

  describe('stores the body', () => {
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const bodies: [string, string | undefined, Buffer | string, (Buffer | string)[]][] = [
      ['without a type, as one record', undefined, 'one\ntwo\n', ['one\ntwo\n']],
      ['of text, as one record', 'text/plain', 'one\ntwo\n', ['one\ntwo\n']],
      ['of every byte there is, as one record', 'application/octet-stream', everyByte, [everyByte]],
      ['that is a JSON array, as one record', 'application/json', '[1, 2,\n3]', ['[1, 2,\n3]']],
      ['that is empty and of no batch type, as one empty record', 'text/plain', '', ['']],
      ['of lines, a record each', NDJSON, '{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']],
      ['of lines, the last without its newline', NDJSON, 'one\ntwo', ['one', 'two']],
      ['of lines, empty ones too', NDJSON, '\n\none\n\n', ['', '', 'one', '']],
      ['of lines, a carriage return kept', NDJSON, 'one\r\ntwo\r\n', ['one\r', 'two\r']],
      [
        'of lines that are no UTF-8',
        NDJSON,
        Buffer.of(0xff, 0, 10, 0x80),
        [Buffer.of(0xff, 0), Buffer.of(0x80)],
      ],
      [
        'of lines, with parameters and another case',
        'APPLICATION/X-NDJSON; charset=utf-8',
        'a\nb',
        ['a', 'b'],
      ],
      [
        'of a batch document, text and base64',
        BATCH,
        '{"records":[{"payload":"grün\\n"},{"payload_base64":"AP8="},{"payload":""}]}',
        [Buffer.from('grün\n'), Buffer.of(0, 255), ''],
      ],
      [
        'of a batch document, with every member that GET and consume --json print',
        BATCH,
        '{"records":[{"type":"record","topic":"u","offset":7,"timestamp":1,"payload":"a"}]}',
        ['a'],
      ],
    ];
    for (const [what, type, body, records] of bodies) {
      it(what, async () => {
        const topic = newTopic();
        const answer = await server.publish(topic, body, type === undefined ? {} : { 'content-type': type });
        expect(answer.status, answer.body.toString()).to.equal(201);
        expect(answer.json).to.include({ offset: 0, count: records.length });
        expect(stored(topic)).to.deep.equal(records.map((record) => Buffer.from(record).toString('latin1')));
      });
    }

    it('of a mebibyte of random bytes, exactly at the limit', async () => {
      const topic = newTopic();
      const body = randomBytes(1024 * 1024);
      expect((await server.publish(topic, body)).status).to.equal(201);
      const answer = await server.get(`/topics/${topic}/messages?limit=1`, {
        accept: 'application/octet-stream',
      });
      expect(answer.body.equals(body)).to.equal(true);
    });
  });

  it('answers 201 with the offsets, the time, and a Location that holds exactly these records', async () => {
    const topic = newTopic();
    await server.publish(topic, 'before');
    const sentAt = Date.now();
    const answer = await server.publishLines(topic, 'a\nb\nc\n');
    await server.publish(topic, 'after');
    expect(answer.status).to.equal(201);
    expect(answer.headers['content-type']).to.match(/^application\/json/);
    expect(answer.headers.location).to.equal(`/topics/${topic}/messages?offset=1&limit=3`);
    const { timestamp, ...rest } = answer.json;
    expect(rest).to.deep.equal({ topic, offset: 1, lastOffset: 3, nextOffset: 4, count: 3 });
    expect(timestamp).to.be.within(sentAt - 1, Date.now());
    const there = await server.get(answer.headers.location as string);
    const messages = there.json['messages'] as { payload: string; timestamp: number }[];
    expect(messages.map(({ payload }) => payload)).to.deep.equal(['a', 'b', 'c']);
    expect(messages[0]!.timestamp).to.equal(timestamp);
  });

  it('names a Location that can be asked for, however many records it was', async () => {
    const topic = newTopic();
    const { headers } = await server.publishLines(topic, '\n'.repeat(10_001));
    const there = await server.get(headers.location as string);
    expect(there.status, there.body.toString()).to.equal(200);
  });

  it('takes a chunked body as it takes one with a length', async () => {
    const topic = newTopic();
    const [answer] = await server.exchange(
      `POST /topics/${topic}/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
        `Content-Type: ${NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        '3\r\none\r\n4\r\n\ntwo\r\n1\r\n\n\r\n0\r\n\r\n',
    );
    expect(answer?.status).to.equal(201);
    expect(stored(topic)).to.deep.equal(['one', 'two']);
  });

  it('answers "Expect: 100-continue" before the body is sent', async () => {
    const topic = newTopic();
    const socket = await server.connect();
    const head =
      `POST /topics/${topic}/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
      'Content-Length: 4\r\nExpect: 100-continue\r\n\r\n';
    socket.write(head);
    const first = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    expect(first.toString()).to.match(/^HTTP\/1\.1 100 /);
    socket.write('body');
    expect(parseAnswers(await untilClosed(socket)).map(({ status }) => status)).to.deep.equal([201]);
    expect(stored(topic)).to.deep.equal(['body']);
  });

  describe('FastQueue-Expected-Offset', () => {
    it('that holds is stored; one that does not is 412 with actualOffset, and nothing is stored', async () => {
      const topic = newTopic();
      const first = await server.publishLines(topic, 'a\nb', { 'FastQueue-Expected-Offset': '0' });
      expect(first.status).to.equal(201);
      const second = await server.publish(topic, 'c', { 'FastQueue-Expected-Offset': '0' });
      expectProblem(second, 412, 'condition_failed');
      expect(second.json).to.include({ actualOffset: 2, retryable: false });
      const third = await server.publish(topic, 'c', { 'FastQueue-Expected-Offset': '2' });
      expect(third.status).to.equal(201);
      expect(stored(topic)).to.deep.equal(['a', 'b', 'c']);
    });

    it('holds for a body of many lines as it does for a few', async () => {
      const topic = newTopic();
      const lines = 'x'.repeat(99).concat('\n').repeat(1000);
      const ask = (offset: number): Promise<Answer> =>
        server.publishLines(topic, lines, { 'FastQueue-Expected-Offset': String(offset) });
      expect((await ask(0)).json).to.include({ offset: 0, count: 1000 });
      expectProblem(await ask(0), 412, 'condition_failed');
      expect((await ask(1000)).json).to.include({ offset: 1000 });
      expect(stored(topic)).to.have.length(2000);
    });

    it('is met by one of many that ask for the same offset at once', async () => {
      const topic = newTopic();
      await server.publish(topic, 'first');
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, number) =>
          server.publish(topic, `claim ${number}`, { 'FastQueue-Expected-Offset': '1' }),
        ),
      );
      expect(answers.map(({ status }) => status).sort()).to.deep.equal([201, ...Array<number>(19).fill(412)]);
      expect(stored(topic)).to.have.length(2);
    });

    for (const value of ['abc', '-1', '1.5', '1e3', '0x10', '9007199254740992', '1, 2', '+1']) {
      it(`is refused when it is ${JSON.stringify(value)}, which is no offset`, async () => {
        const topic = newTopic();
        const answer = await server.publish(topic, 'x', { 'FastQueue-Expected-Offset': value });
        expectProblem(answer, 400, 'invalid_argument');
        expect((await server.get(`/topics/${topic}`)).status).to.equal(404);
      });
    }
  });

  describe('refuses', () => {
    const cases: [string, string, Buffer | string, number, ErrorCode][] = [
      ['lines where there are none', NDJSON, '', 400, 'no_records'],
      ['a batch without records', BATCH, '{"records":[]}', 400, 'no_records'],
      ['a batch document that is no JSON', BATCH, '{"records":[', 400, 'malformed_input'],
      ['a batch document that is empty', BATCH, '', 400, 'malformed_input'],
      ['a batch document that is a list', BATCH, '[{"payload":"x"}]', 400, 'malformed_input'],
      ['a batch document that is null', BATCH, 'null', 400, 'malformed_input'],
      ['a batch without "records"', BATCH, '{"messages":[]}', 400, 'malformed_input'],
      ['records that are no list', BATCH, '{"records":{"payload":"x"}}', 400, 'malformed_input'],
      ['a record that is null', BATCH, '{"records":[{"payload":"x"},null]}', 400, 'malformed_input'],
      ['a record that is a text', BATCH, '{"records":["x"]}', 400, 'malformed_input'],
      ['a record without a payload', BATCH, '{"records":[{"payload":"x"},{}]}', 400, 'malformed_input'],
      ['a payload that is a number', BATCH, '{"records":[{"payload":1}]}', 400, 'malformed_input'],
      [
        'a record with both payloads',
        BATCH,
        '{"records":[{"payload":"x","payload_base64":"eA=="}]}',
        400,
        'malformed_input',
      ],
      ['base64 that is none', BATCH, '{"records":[{"payload_base64":"a*b="}]}', 400, 'malformed_input'],
      ['base64 that is cut off', BATCH, '{"records":[{"payload_base64":"abcde"}]}', 400, 'malformed_input'],
      [
        'a record with another member',
        BATCH,
        '{"records":[{"payload":"x","key":"k"}]}',
        400,
        'malformed_input',
      ],
      [
        'a record of another type',
        BATCH,
        '{"records":[{"type":"gap","payload":"x"}]}',
        400,
        'malformed_input',
      ],
      [
        'a record with a prototype',
        BATCH,
        '{"records":[{"__proto__":{"a":1},"payload":"x"}]}',
        400,
        'malformed_input',
      ],
      [
        'a batch with another member',
        BATCH,
        '{"records":[{"payload":"x"}],"acks":"all"}',
        400,
        'malformed_input',
      ],
      [
        'a batch document that is no UTF-8',
        BATCH,
        Buffer.from('{"records":[{"payload":"\xff"}]}', 'latin1'),
        400,
        'malformed_input',
      ],
    ];
    for (const [what, type, body, status, code] of cases) {
      it(`${what}: ${status} ${code}, and nothing is stored`, async () => {
        const topic = newTopic();
        await server.publish(topic, 'kept');
        const answer = await server.publish(topic, body, { 'content-type': type });
        expectProblem(answer, status, code);
        expect(stored(topic)).to.deep.equal(['kept']);
      });
    }

    it('a member that would be lost, naming the record and the member, however long its name', async () => {
      const detailOf = async (document: unknown): Promise<unknown> =>
        (await server.publish(newTopic(), JSON.stringify(document), { 'content-type': BATCH })).json[
          'detail'
        ];
      const payload = 'x';
      expect(await detailOf({ records: [{ payload }, { payload, key: 'k', more: 1 }] })).to.equal(
        'Record 2 has the member "key", which would be lost: a record carries its payload alone. Nothing was written.',
      );
      expect(await detailOf({ partition: 1, records: [{ payload }] })).to.equal(
        'The body has the member "partition" beside "records", which would be lost. Nothing was written.',
      );
      expect(await detailOf({ records: [{ payload, ['k'.repeat(100_000)]: 1 }] }))
        .to.have.property('length')
        .that.is.below(300);
    });

    for (const [what, type, body, headers] of [
      ['a batch without records', BATCH, '{"records":[]}', {}],
      ['lines where there are none', NDJSON, '', {}],
      ['an offset that a new topic cannot begin at', 'text/plain', 'x', { 'FastQueue-Expected-Offset': '1' }],
    ] as const) {
      it(`${what}, and makes no topic for it`, async () => {
        const topic = newTopic();
        const answer = await server.publish(topic, body, { 'content-type': type, ...headers });
        expect(answer.status).to.be.oneOf([400, 412]);
        expect((await server.get(`/topics/${topic}`)).status).to.equal(404);
      });
    }

    it('a body over --max-body: 413, with a length and chunked, and nothing is stored', async () => {
      const topic = newTopic();
      await server.publish(topic, 'kept');
      const tooMuch = Buffer.alloc(1024 * 1024 + 1, 'x');
      const withLength = await server.publish(topic, tooMuch);
      expect(withLength.status).to.equal(413);
      expect(withLength.headers['content-type']).to.match(/^application\/problem\+json/);
      const head =
        `POST /topics/${topic}/messages HTTP/1.1\r\nHost: localhost\r\n` +
        'Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n';
      const [chunked] = await server.exchange(
        Buffer.concat([
          Buffer.from(`${head}${tooMuch.length.toString(16)}\r\n`),
          tooMuch,
          Buffer.from('\r\n0\r\n\r\n'),
        ]),
      );
      expect(chunked?.status).to.equal(413);
      expect(stored(topic)).to.deep.equal(['kept']);
    });

    it('a body that is compressed: 415, naming what is understood', async () => {
      const topic = newTopic();
      const answer = await server.publish(topic, 'x', { 'content-encoding': 'gzip' });
      expect(answer.status).to.equal(415);
      expect(answer.json).to.include({ status: 415, sideEffects: 'none' });
      expect(answer.json['detail']).to.include('identity');
      expect((await server.get(`/topics/${topic}`)).status).to.equal(404);
    });

    it('a body that is compressed on its way: 415, naming what is understood', async () => {
      const topic = newTopic();
      for (const coding of ['gzip, chunked', 'deflate,chunked', 'x, Chunked']) {
        const [answer] = await server.exchange(
          `POST /topics/${topic}/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
            `Transfer-Encoding: ${coding}\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
        );
        expect(answer?.status, coding).to.equal(415);
        expect(JSON.parse(answer!.body.toString()))
          .to.include({ code: 'unsupported_media_type', sideEffects: 'none' })
          .and.to.have.property('detail')
          .that.includes('only chunked');
      }
      expect((await server.get(`/topics/${topic}`)).status).to.equal(404);
    });
  });

  it('gives every one of many requests at once its own offsets, next to each other', async () => {
    const topic = newTopic();
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, number) => server.publishLines(topic, `${number} a\n${number} b\n`)),
    );
    const records = stored(topic);
    expect(records).to.have.length(128);
    answers.forEach(({ status, json }, number) => {
      expect(status).to.equal(201);
      const offset = json['offset'] as number;
      expect(records.slice(offset, offset + 2)).to.deep.equal([`${number} a`, `${number} b`]);
    });
  });
});

describe('POST beyond what a batch may hold', () => {
  const { sandbox, server } = Server.forAll(['--max-body', '32MiB']);

  it('is 413, and of many small records and one too large nothing is stored', async () => {
    await server.publish('t', 'kept');
    const tooLarge = await server.publish('t', Buffer.alloc(32 * 1024 * 1024, 'x'));
    expect(tooLarge.status).to.equal(413);
    expect(tooLarge.json).to.include({ code: 'record_too_large', sideEffects: 'none' });
    // 2.1 million records of one byte: 4 MiB on the wire, 34 MiB in frames of 17 bytes.
    const tooMany = await server.publishLines('t', Buffer.alloc(2 * 2_100_000, 'x\n'));
    expect(tooMany.status).to.equal(413);
    expect(tooMany.json).to.include({ code: 'batch_too_large', sideEffects: 'none' });
    // In their headers alone, and with their payloads only.
    for (const [payload, count] of [
      ['', 2_100_000],
      ['x', 2_000_000],
    ] as const) {
      const record = JSON.stringify({ payload });
      const document = `{"records":[${`${record},`.repeat(count - 1)}${record}]}`;
      const answer = await server.publish('t', document, { 'content-type': BATCH });
      expectProblem(answer, 413, 'batch_too_large');
    }
    const oversizedLine = Buffer.concat([Buffer.from('a\nb\n'), Buffer.alloc(32 * 1024 * 1024 - 4, 'x')]);
    const mixed = await server.publishLines('t', oversizedLine);
    expect(mixed.status).to.equal(413);
    expect(readTopicFiles(join(sandbox.dataDirectory, 't'))).to.have.length(1);
  });

  it('makes no topic for many lines that no topic could take', async () => {
    const tooMany = Buffer.alloc(3 * 1024 * 1024, '\n');
    expectProblem(await server.publishLines('unknown', tooMany), 413, 'batch_too_large');
    const tooLong = Buffer.concat([Buffer.from('a\n'), Buffer.alloc(32 * 1024 * 1024 - 8, 'x')]);
    expectProblem(await server.publishLines('unknown', tooLong), 413, 'record_too_large');
    expectProblem(await server.get('/topics/unknown'), 404, 'topic_not_found');
  });
});

describe('POST of many lines', () => {
  const { sandbox, server } = Server.forAll(['--lock-timeout', '1s']);
  const COUNT = 1000;
  const lines = (name: string): string =>
    Array.from({ length: COUNT }, (_, number) => `${name} ${number}`.padEnd(99, '.')).join('\n');

  it('gives every one of many bodies at once its own offsets, next to each other', async () => {
    const topics = ['a', 'b'];
    for (const topic of topics) await server.publish(topic, 'first');
    const names = Array.from({ length: 8 }, (_, number) => `body ${number}`);
    const answers = await Promise.all(
      names.map((name, number) => server.publishLines(topics[number % 2]!, lines(name))),
    );
    const stored = new Map(
      topics.map((topic) => [
        topic,
        readTopicFiles(join(sandbox.dataDirectory, topic)).map(({ payload }) => payload.toString()),
      ]),
    );
    for (const records of stored.values()) expect(records).to.have.length(1 + 4 * COUNT);
    answers.forEach(({ status, json }, number) => {
      expect(status).to.equal(201);
      const offset = json['offset'] as number;
      const records = stored.get(json['topic'] as string)!.slice(offset, offset + COUNT);
      expect(records.join('\n')).to.equal(lines(names[number]!));
    });
  });

  it('waits for no other topic that another process holds, and for its own no longer than for one lock', async () => {
    for (const topic of ['held', 'free']) await server.publish(topic, 'first');
    const mark = join(sandbox.dataDirectory, 'held', 'high-watermark');
    const file = new NodeFileSystem({ map: false }).open(mark, 'update');
    expect(file.tryLock()).to.equal(true);
    const begun = performance.now();
    const answered: string[] = [];
    const post = async (topic: string): Promise<void> => {
      const { status } = await server.publishLines(topic, lines(topic));
      answered.push(`${topic} ${status}`);
    };
    await Promise.all(['held', 'held', 'held', 'held', 'free'].map(post));
    file.close();
    expect(answered).to.deep.equal(['free 201', 'held 503', 'held 503', 'held 503', 'held 503']);
    expect(performance.now() - begun).to.be.lessThan(3000);
  });
});

describe('POST where nothing may be created or changed', () => {
  const sandbox = new Sandbox();

  after(() => {
    sandbox.remove();
  });

  it('is 404 topic_not_found for an unknown topic under --no-create, 201 for one that there is', async () => {
    await sandbox.run(['topics', 'create', 'there']);
    const server = await Server.start(sandbox, ['--no-create']);
    const unknown = await server.publish('unknown', 'x');
    expect(unknown.status).to.equal(404);
    expect(unknown.json).to.include({ code: 'topic_not_found', sideEffects: 'none' });
    expect((await server.publish('there', 'x')).status).to.equal(201);
    await server.stop();
    const { stdout } = await sandbox.run(['topics', '--json']);
    expect(stdout.toString()).to.not.include('unknown');
  });

  it('is 403 under --read-only, as are PUT and DELETE, while reading works', async () => {
    await sandbox.store('there', [['x']]);
    const server = await Server.start(sandbox, ['--read-only']);
    for (const [method, path] of [
      ['POST', '/topics/there/messages'],
      ['PUT', '/topics/there'],
      ['PUT', '/topics/other'],
      ['DELETE', '/topics/there'],
    ] as const) {
      const answer = await server.request(method, path, { body: method === 'DELETE' ? '' : '{}' });
      expect(answer.status, `${method} ${path}`).to.equal(403);
      expect(answer.json).to.include({ status: 403, sideEffects: 'none', retryable: false });
    }
    const { json, status } = await server.get('/topics/there/messages');
    expect(status).to.equal(200);
    expect(json['messages']).to.have.length.greaterThan(0);
    expect((await server.get('/topics/other')).status).to.equal(404);
    await server.stop();
  });
});
