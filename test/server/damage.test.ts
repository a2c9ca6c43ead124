/** A damaged log over HTTP: what is sound comes, what is not is named, and nothing is passed over in silence. */
import { expect } from 'chai';
import { Sandbox } from '../cli/fastqueue.ts';
import { damageRecord } from './damaging.ts';
import { EventStream, Server, type Answer } from './serving.ts';

const RECORDS = 10;
const DAMAGED = 5;

describe('serve on a damaged topic', () => {
  let sandbox: Sandbox;
  let server: Server;

  beforeEach(async () => {
    sandbox = new Sandbox();
    server = await Server.start(sandbox);
    await server.publishLines('t', Array.from({ length: RECORDS }, (_, at) => `record ${at}`).join('\n'));
    damageRecord(sandbox, { topic: 't', offset: DAMAGED });
  });

  afterEach(async () => {
    await server.stop();
    sandbox.remove();
  });

  const messages = (query: string, accept = 'application/json'): Promise<Answer> =>
    server.get(`/topics/t/messages${query}`, { accept });
  const offsetsOf = ({ json }: Answer): number[] =>
    (json['messages'] as { offset: number }[]).map(({ offset }) => offset);

  it('gives the records before the damage, and says where it stopped and where it can go on', async () => {
    const answer = await messages('');
    expect(answer.status).to.equal(200);
    expect(offsetsOf(answer)).to.deep.equal([0, 1, 2, 3, 4]);
    expect(answer.json).to.include({ nextOffset: DAMAGED, endOffset: RECORDS });
    expect(answer.json['stoppedAt']).to.include({ offset: DAMAGED, nextReadable: DAMAGED + 1 });
    expect(answer.json['stoppedAt'])
      .to.have.property('code')
      .that.matches(/^[a-z]+(_[a-z]+)*$/);
    expect(answer.headers).to.include({ 'fastqueue-next-offset': String(DAMAGED) });
  });

  it('has no stoppedAt in an answer that ends before the damage, nor behind it', async () => {
    const before = await messages(`?limit=${DAMAGED}`);
    expect(offsetsOf(before)).to.have.length(DAMAGED);
    expect(before.json).to.not.have.property('stoppedAt');
    const behind = await messages(`?offset=${DAMAGED + 1}`);
    expect(offsetsOf(behind)).to.deep.equal([6, 7, 8, 9]);
    expect(behind.json).to.not.have.property('stoppedAt');
  });

  it('is 500 damaged where the damage is the first thing asked for, in every form', async () => {
    for (const accept of [
      'application/json',
      'application/x-ndjson',
      'application/octet-stream',
      'text/event-stream',
    ]) {
      const answer = await messages(`?offset=${DAMAGED}&limit=1`, accept);
      expect(answer.status, accept).to.equal(500);
      expect(answer.headers['content-type']).to.match(/^application\/problem\+json/);
      expect(answer.json).to.include({
        code: 'damaged',
        offset: DAMAGED,
        nextReadable: DAMAGED + 1,
        sideEffects: 'none',
        retryable: false,
      });
      expect(answer.body.toString()).to.not.include(sandbox.directory);
    }
  });

  it('ends NDJSON before the damage, whole lines only, and names the place in a header', async () => {
    const answer = await messages('', 'application/x-ndjson');
    expect(answer.status).to.equal(200);
    const lines = answer.body.toString().split('\n');
    expect(lines.pop()).to.equal('');
    expect(lines.map((line) => (JSON.parse(line) as { offset: number }).offset)).to.deep.equal([
      0, 1, 2, 3, 4,
    ]);
    expect(answer.headers).to.include({
      'fastqueue-stopped-at': String(DAMAGED),
      'fastqueue-next-offset': String(DAMAGED),
    });
    const before = await messages(`?limit=${DAMAGED}`, 'application/x-ndjson');
    expect(before.headers).to.not.have.property('fastqueue-stopped-at');
  });

  it('sends an event stream up to the damage, then "event: damage", and closes it', async () => {
    const stream = await EventStream.open(server, '/topics/t/messages');
    const events = await stream.take(DAMAGED + 1);
    expect(events.slice(0, DAMAGED).map(({ id }) => id)).to.deep.equal(['0', '1', '2', '3', '4']);
    const last = events[DAMAGED];
    expect(last?.event).to.equal('damage');
    expect(last?.id, 'an id here would make a client resume behind the damage').to.equal(undefined);
    expect(last?.data).to.include({ offset: DAMAGED, nextReadable: DAMAGED + 1 });
    expect(await stream.next()).to.equal(undefined);
  });

  it('still takes records, and counts what it met', async () => {
    const posted = await server.publish('t', 'more');
    expect(posted.json).to.include({ offset: RECORDS });
    await messages(`?offset=${DAMAGED}`);
    const { body } = await server.get('/metrics');
    expect(body.toString()).to.match(/_errors_total\{[^}]*code="damaged"[^}]*\} [1-9]/);
  });

  describe('after recover', () => {
    let etagBefore: string;

    beforeEach(async () => {
      etagBefore = (await messages('?limit=2')).headers.etag as string;
      expect(etagBefore).to.be.a('string');
      const { status } = await sandbox.run(['recover', 't']);
      expect(status).to.equal(4);
    });

    it('gives every other record, the lost one left out, to a server that never stopped', async () => {
      const answer = await messages('');
      expect(offsetsOf(answer)).to.deep.equal([0, 1, 2, 3, 4, 6, 7, 8, 9]);
      expect(answer.json).to.include({ nextOffset: RECORDS });
      expect(answer.json).to.not.have.property('stoppedAt');
    });

    it('goes on behind the gap where an answer would begin in it, and gets over a gap at the limit', async () => {
      expect(offsetsOf(await messages(`?offset=${DAMAGED}&limit=2`))).to.deep.equal([6, 7]);
      const upTo = await messages(`?offset=4:${DAMAGED + 1}`);
      expect(offsetsOf(upTo)).to.deep.equal([4]);
      expect(upTo.json).to.include({ nextOffset: DAMAGED + 1 });
    });

    it('is 404 gap for the payload of the lost record, with the next offset', async () => {
      const answer = await messages(`?offset=${DAMAGED}&limit=1`, 'application/octet-stream');
      expect(answer.status).to.equal(404);
      expect(answer.headers['content-type']).to.match(/^application\/problem\+json/);
      expect(answer.json).to.include({ status: 404, code: 'gap', nextOffset: DAMAGED + 1 });
    });

    it('streams events over the gap', async () => {
      const stream = await EventStream.open(server, '/topics/t/messages');
      const events = await stream.take(RECORDS - 1);
      stream.close();
      const [gap] = events.filter(({ event }) => event === 'gap');
      expect(gap?.id, 'a client that comes back goes on behind it').to.equal(String(DAMAGED));
      expect(gap?.data).to.include({ type: 'gap', offset: DAMAGED });
      const records = events.filter(({ event }) => event === undefined || event === 'message');
      expect(records.map(({ id }) => id))
        .to.include.members(['4', '6'])
        .and.to.not.include('5');
    });

    it('gives the lines of "consume --json" still', async () => {
      const answer = await messages('', 'application/x-ndjson');
      const { stdout } = await sandbox.run(['consume', 't', '--json']);
      expect(answer.body.toString()).to.equal(stdout.toString());
    });

    it('has another ETag for the same range, and does not answer 304 to the old one', async () => {
      const answer = await server.get('/topics/t/messages?limit=2', { 'if-none-match': etagBefore });
      expect(answer.status).to.equal(200);
      expect(answer.headers.etag).to.be.a('string').and.to.not.equal(etagBefore);
    });
  });
});
