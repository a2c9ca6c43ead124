/** Every error code that the server can give, given: one problem document each, as the table of errors says it. */
import { expect } from 'chai';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERROR_TABLE, type ErrorCode } from '../../src/engine/errors.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { Sandbox } from '../cli/fastqueue.ts';
import { checksumOf } from '../support/log-files.ts';
import { Mounts } from '../support/mounts.ts';
import { describeWith } from '../support/root-tests.ts';
import { damageRecord } from './damaging.ts';
import { Server, type Answer, type Json, type RawAnswer } from './serving.ts';

const FIRST_STORE = `${'0'.repeat(20)}.store`;
const MAX_OFFSET = 2n ** 53n - 1n;

/** Codes that no request to a sound server is answered with, and why; the others are provoked below or where it is named. */
const NOT_HERE: Partial<Record<ErrorCode, string>> = {
  disk_full: 'crashes.test.ts fills a disk',
  permission_denied: 'below, where a read-only file system can be mounted',
  too_many_open_files: 'hostile.alone.test.ts takes the descriptors away',
  request_timeout: 'hostile.alone.test.ts is slow',
  stopping: 'crashes.test.ts stops the server',
  outcome_unknown: 'unit-server.test.ts has a disk that fails between the sync and the mark',
  recovery_incomplete: 'the server recovers nothing',
  data_directory_not_found: 'it is made when the server starts, or the server does not start',
  locking_unavailable: 'another platform',
  closed: 'unit-server.test.ts has a topic that is deleted over and over',
  address_unavailable: 'the server does not start',
  internal_error: 'a defect',
};

type Given = Answer | RawAnswer;

const documentOf = (given: Given): Json => JSON.parse(given.body.toString()) as Json;
const headerOf = (given: Given, name: string): string | undefined =>
  given.headers instanceof Map
    ? (given.headers.get(name) as string | undefined)
    : (given.headers as Record<string, string | undefined>)[name];

function expectProblem(given: Given, code: ErrorCode, hidden: readonly string[]): void {
  const { httpStatus, retryable, title } = ERROR_TABLE[code];
  const text = given.body.toString();
  expect(given.status, text).to.equal(httpStatus);
  expect(headerOf(given, 'content-type')).to.equal('application/problem+json');
  const document = documentOf(given);
  expect(document).to.include({ code, status: httpStatus, title, retryable });
  expect(document['sideEffects']).to.equal('none');
  expect(document['type'])
    .to.be.a('string')
    .that.matches(/^[a-z][a-z0-9+.-]*:\S+$/);
  expect(document['instance']).to.be.a('string');
  expect(document['detail'])
    .to.be.a('string')
    .that.matches(/^\S.{15,}$/s);
  expect(headerOf(given, 'retry-after') !== undefined, 'Retry-After').to.equal(retryable);
  for (const secret of hidden) expect(text).to.not.include(secret);
  expect(text).to.not.match(/\n\s+at |node:|\.(ts|js)\b/);
}

describe('an error of serve', () => {
  const small = ['--set', 'segmentBytes=1KiB', '--set', 'retentionBytes=1KiB'];
  const { sandbox, server } = Server.forAll(['--lock-timeout', '100ms'], {
    prepare: (sandbox) => sandbox.run(['topics', 'create', 'short', ...small]),
  });

  before(async () => {
    await server.publishLines('t', 'a\nb\nc');
  });

  const fileOf = (topic: string, name: string): string => join(sandbox.dataDirectory, topic, name);

  async function damagedTopic(topic: string): Promise<void> {
    await server.publishLines(topic, 'a\nb\nc');
    damageRecord(sandbox, { topic, offset: 1 });
  }

  const provoke: Partial<Record<ErrorCode, () => Promise<Given>>> = {
    io_error: async () => {
      await server.publish('broken', 'x');
      rmSync(fileOf('broken', FIRST_STORE));
      mkdirSync(fileOf('broken', FIRST_STORE));
      return server.get('/topics/broken/messages');
    },
    record_too_large: () => server.publish('t', Buffer.alloc(32 * 1024 * 1024 - 15)),
    batch_too_large: () => server.publishLines('t', '\n'.repeat(2 * 1024 * 1024 + 1)),
    offsets_exhausted: () => {
      const base = MAX_OFFSET - 1n;
      mkdirSync(fileOf('last', ''), { recursive: true });
      writeFileSync(fileOf('last', `${String(base).padStart(20, '0')}.store`), '');
      const mark = Buffer.alloc(64);
      for (const position of [0, 8, 32]) mark.writeBigUInt64BE(base, position);
      mark.writeUInt32BE(checksumOf(mark.subarray(0, 60)), 60);
      writeFileSync(fileOf('last', 'high-watermark'), mark);
      return server.publishLines('last', 'a\nb\nc');
    },
    malformed_input: () =>
      server.publish('t', '{', { 'content-type': 'application/vnd.fastqueue.records+json' }),
    no_records: () => server.publishLines('t', ''),
    invalid_argument: () => server.get('/topics/t/messages?limit=x'),
    invalid_topic_name: () => server.publish('-t', 'x'),
    damaged: async () => {
      await damagedTopic('damaged');
      return server.get('/topics/damaged/messages?offset=1');
    },
    newer_format: async () => {
      await server.publish('newer', 'x');
      writeFileSync(fileOf('newer', 'topic.json'), '{"format": 99}');
      return server.get('/topics/newer');
    },
    offset_out_of_range: () => server.get('/topics/t/messages?offset=4'),
    offset_removed: async () => {
      for (let at = 0; at < 6; at++) await server.publish('short', Buffer.alloc(900));
      return server.get('/topics/short/messages?offset=0');
    },
    condition_failed: () => server.publish('t', 'x', { 'FastQueue-Expected-Offset': '2' }),
    topic_not_found: () => server.get('/topics/none'),
    locked: async () => {
      const file = new NodeFileSystem({ map: false }).open(fileOf('t', 'high-watermark'), 'update');
      expect(file.tryLock()).to.equal(true);
      const answer = await server.publish('t', 'x');
      file.close();
      return answer;
    },
    gap: async () => {
      await damagedTopic('mended');
      await sandbox.run(['recover', 'mended']);
      return server.get('/topics/mended/messages?offset=1&limit=1', { accept: 'application/octet-stream' });
    },
    read_only: async () => {
      const other = await Server.start(sandbox, ['--read-only']);
      const answer = await other.publish('t', 'x');
      await other.stop();
      return answer;
    },
    malformed_request: async () => (await server.exchange('NONSENSE\r\n\r\n'))[0]!,
    unauthorized: async () => {
      const path = join(sandbox.directory, 'token');
      writeFileSync(path, 'secret-token', { mode: 0o600 });
      const other = await Server.start(sandbox, ['--token-file', path]);
      const answer = await other.get('/topics', { authorization: 'Bearer wrong-token' });
      await other.stop();
      return answer;
    },
    forbidden: () => server.get('/topics', { origin: 'https://evil.example' }),
    no_such_resource: () => server.get('/no/such'),
    method_not_allowed: () => server.request('PATCH', '/topics/t'),
    not_acceptable: () => server.get('/topics/t/messages', { accept: 'image/png' }),
    unsupported_media_type: () => server.publish('t', 'x', { 'content-encoding': 'br' }),
    headers_too_large: () => server.get('/topics', { cookie: 'x'.repeat(50_000) }),
  };

  for (const [code, given] of Object.entries(provoke) as [ErrorCode, () => Promise<Given>][]) {
    it(`${code} is a problem document as the table says, and names no path of the machine`, async () => {
      expectProblem(await given(), code, [sandbox.directory, 'secret-token']);
    });
  }

  it('has no code that is neither provoked here nor said why not', () => {
    const known = [...Object.keys(provoke), ...Object.keys(NOT_HERE)];
    expect(known.sort()).to.deep.equal(Object.keys(ERROR_TABLE).sort());
  });

  it('names what the client asked for, its query too', async () => {
    const { json } = await server.get('/topics/none/messages?limit=3');
    expect(json).to.include({ instance: '/topics/none/messages?limit=3', topic: 'none' });
    expect(json['detail']).to.equal('There is no topic "none". GET /topics lists those there are.');
  });

  it('left the server and its sound topics as they were', async () => {
    const { json } = await server.get('/topics/t/messages');
    expect((json['messages'] as Json[]).map(({ payload }) => payload)).to.deep.equal(['a', 'b', 'c']);
    expect((await server.publish('t', 'd')).status).to.equal(201);
  });

  it('of one topic takes neither the list, nor the metrics, nor the health of the others away', async () => {
    const list = await server.get('/topics');
    expect(list.status, list.body.toString()).to.equal(200);
    const names = (list.json['topics'] as Json[]).map(({ topic }) => topic);
    expect(names).to.include.members(['t', 'short', 'damaged', 'mended']);
    expect((await server.get('/metrics')).status).to.equal(200);
  });
});

describeWith(['mount', 'umount'], 'serve on a file system that is read-only', () => {
  it('reads, answers permission_denied to a POST, and says in /health that it cannot write', async () => {
    const sandbox = new Sandbox();
    const mounts = new Mounts();
    await sandbox.store('t', [['a', 'b']]);
    const view = mounts.readOnlyView(sandbox.dataDirectory, 'view');
    const server = await Server.start(sandbox, ['-d', view]);
    expect((await server.get('/topics/t/messages')).json).to.include({ nextOffset: 2 });
    expectProblem(await server.publish('t', 'x'), 'permission_denied', [view]);
    const health = await server.get('/health');
    expect(health.status).to.equal(503);
    expect(health.json['dataDir']).to.not.equal('writable');
    expect((await server.stop()).status).to.equal(0);
    mounts.remove();
    sandbox.remove();
  });
});
