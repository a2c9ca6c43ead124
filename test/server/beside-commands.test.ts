/** Commands and server on one data directory at the same time: each sees at once what the other does. */
import { expect } from 'chai';
import { once } from 'node:events';
import { Sandbox, seen } from '../cli/fastqueue.ts';
import { EventStream, Server } from './serving.ts';

/** What "at once" means on a busy machine: a poll that has to notice by itself every minute would take longer. */
const SOON_MS = 3000;

describe('serve beside commands', () => {
  let sandbox: Sandbox;
  let server: Server;

  beforeEach(async () => {
    sandbox = new Sandbox();
    server = await Server.start(sandbox);
    await server.publish('t', 'r0');
  });

  afterEach(async () => {
    await server.stop();
    sandbox.remove();
  });

  it('a "produce" wakes a reader of events', async () => {
    const stream = await EventStream.open(server, '/topics/t/messages?offset=end');
    const producing = sandbox.start(['produce', 't', '--ack', 'offset']);
    const acknowledged = seen(producing.stdout, '1..1\n').then(() => performance.now());
    producing.stdin.write('from the command line\n');
    const event = await stream.next();
    const latencyMs = performance.now() - (await acknowledged);
    expect(event?.data).to.include({ offset: 1, payload: 'from the command line' });
    expect(latencyMs).to.be.lessThan(SOON_MS);
    producing.stdin.end();
    await once(producing, 'close');
    stream.close();
  });

  it('a "produce" ends the wait of a request', async () => {
    const waiting = server.get('/topics/t/messages?offset=end&wait=30');
    await sandbox.run(['produce', 't'], { input: 'x\n' });
    expect((await waiting).json).to.include({ nextOffset: 2 });
  });

  it('a POST wakes "consume --follow"', async () => {
    const following = sandbox.start(['consume', 't', '--follow', '-n', '2']);
    const both = seen(following.stdout, 'r1\n');
    await seen(following.stdout, 'r0\n');
    await server.publish('t', 'r1');
    const postedAt = performance.now();
    expect(await both).to.equal('r0\nr1\n');
    expect(performance.now() - postedAt).to.be.lessThan(SOON_MS);
    await once(following, 'close');
  });

  it('records of both get offsets of one sequence, none lost and none twice', async () => {
    const lines = (who: string): string => Array.from({ length: 300 }, (_, at) => `${who}${at}\n`).join('');
    const commands = ['a', 'b'].map((who) =>
      sandbox.run(['produce', 't', '--batch-bytes', '1k', '--ack', 'none'], { input: lines(who) }),
    );
    const posts: Promise<number>[] = [];
    for (let at = 0; at < 150; at++) {
      posts.push(server.publish('t', `http${at}`).then(({ status }) => status));
      if (at % 10 === 0) await posts.at(-1);
    }
    expect(new Set(await Promise.all(posts))).to.deep.equal(new Set([201]));
    for (const { status, stderr } of await Promise.all(commands)) expect(status, stderr).to.equal(0);
    const { json } = await server.get('/topics/t/messages?limit=10000');
    const payloads = (json['messages'] as { payload: string }[]).map(({ payload }) => payload);
    expect(payloads).to.have.length(1 + 600 + 150);
    expect(new Set(payloads).size).to.equal(payloads.length);
    const { status, stdout } = await sandbox.run(['verify']);
    expect(status, stdout.toString()).to.equal(0);
  });

  it('a topic deleted by the command is 404 at once, and a POST makes a new one that begins at 0', async () => {
    await server.publishLines('t', 'r1\nr2');
    await sandbox.run(['topics', 'delete', 't', '--yes']);
    expect((await server.get('/topics/t/messages')).status).to.equal(404);
    expect((await server.get('/topics/t')).status).to.equal(404);
    expect((await server.get('/topics')).json['topics']).to.deep.equal([]);
    const posted = await server.publish('t', 'new');
    expect(posted.status).to.equal(201);
    expect(posted.json).to.include({ offset: 0 });
    const { stdout } = await sandbox.run(['consume', 't']);
    expect(stdout.toString()).to.equal('new\n');
  });

  it('a topic deleted and made again by the command is the new one for the server', async () => {
    await sandbox.run(['topics', 'delete', 't', '--yes']);
    await sandbox.run(['produce', 't'], { input: 'a\nb\n' });
    const { json } = await server.get('/topics/t/messages');
    expect((json['messages'] as { payload: string }[]).map(({ payload }) => payload)).to.deep.equal([
      'a',
      'b',
    ]);
    expect((await server.publish('t', 'c')).json).to.include({ offset: 2 });
  });

  it('a topic deleted by the command ends a reader of events', async () => {
    const stream = await EventStream.open(server, '/topics/t/messages');
    await stream.take(1);
    await sandbox.run(['topics', 'delete', 't', '--yes']);
    const last = await stream.next();
    expect(last === undefined || last.event !== undefined, JSON.stringify(last)).to.equal(true);
    stream.close();
  });

  it('settings that the command changes hold for the next POST, and are shown', async () => {
    await sandbox.run(['topics', 'set', 't', 'segmentBytes=1KiB']);
    for (let at = 0; at < 5; at++)
      expect((await server.publish('t', Buffer.alloc(600, 'x'))).status).to.equal(201);
    expect((await server.get('/topics/t/offsets')).json['segments']).to.be.greaterThan(3);
    expect(JSON.stringify((await server.get('/topics/t')).json)).to.match(/"segmentBytes":1024\b/);
  });

  it('a topic made by the command is there under --no-create without a restart', async () => {
    const strict = await Server.start(sandbox, ['--no-create']);
    expect((await strict.publish('later', 'x')).status).to.equal(404);
    await sandbox.run(['topics', 'create', 'later']);
    expect((await strict.publish('later', 'x')).status).to.equal(201);
    await strict.stop();
  });

  it('two servers serve one data directory, each waking the readers of the other', async () => {
    const other = await Server.start(sandbox);
    const stream = await EventStream.open(other, '/topics/t/messages?offset=end');
    await server.publish('t', 'from the first');
    expect((await stream.next())?.data).to.include({ offset: 1 });
    expect((await other.publish('t', 'from the second')).json).to.include({ offset: 2 });
    expect((await server.publish('t', 'again')).json).to.include({ offset: 3 });
    stream.close();
    await other.stop();
  });

  it('compaction and retention by the command move the start, which the server tells', async () => {
    await sandbox.run(['topics', 'set', 't', 'segmentBytes=1KiB', 'retentionBytes=1KiB']);
    for (let at = 0; at < 6; at++) await server.publish('t', Buffer.alloc(900, 'x'));
    const { json } = await server.get('/topics/t/offsets');
    expect(json['startOffset']).to.be.greaterThan(0);
    expect((await server.get('/topics/t/messages?offset=0')).status).to.equal(410);
  });

  it('leaves the topics free when it is idle: a command needs not wait for its lock', async () => {
    const outcome = await sandbox.run(['produce', 't', '--lock-timeout', '500ms'], { input: 'x\n' });
    expect(outcome.status, outcome.stderr).to.equal(0);
  });
});
