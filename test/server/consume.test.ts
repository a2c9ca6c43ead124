/** GET /topics/{topic}/messages: which records come, and what is answered beside the log. */
import { expect } from 'chai';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expectProblem, NDJSON, offsetHeaders, offsetsOf } from './answers.ts';
import { EventStream, Server, type Answer } from './serving.ts';

describe('GET /topics/{topic}/messages', () => {
  const { sandbox, server } = Server.forAll();
  /** When the sixth record of "ten" was stored, later than the fifth. */
  let middleTime: number;

  before(async () => {
    await server.publishLines('ten', 'r0\nr1\nr2\nr3\nr4\n');
    await wait(5);
    const { json } = await server.publishLines('ten', 'r5\nr6\nr7\nr8\nr9\n');
    middleTime = json['timestamp'] as number;
    await sandbox.run(['topics', 'create', 'empty']);
    const settings = ['--set', 'segmentBytes=1KiB', '--set', 'retentionBytes=2KiB'];
    await sandbox.run(['topics', 'create', 'short', ...settings]);
    for (let batch = 0; batch < 10; batch++) await server.publish('short', 'x'.repeat(900));
  });

  const messages = (query: string, headers: Record<string, string> = {}): Promise<Answer> =>
    server.get(`/topics/ten/messages${query}`, headers);

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

    it('gives 1 MiB unless max_bytes says otherwise, the 16 bytes of a header counted for each record', async () => {
      const RECORD_BYTES = 128;
      const count = 9000;
      await server.publishLines('counted', `${'x'.repeat(RECORD_BYTES - 16)}\n`.repeat(count));
      const answer = await server.get('/topics/counted/messages?limit=10000');
      expect(answer.json).to.include({ nextOffset: 1024 ** 2 / RECORD_BYTES, endOffset: count });
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

  it('moves nothing: the same request has the same answer for ever', async () => {
    const [first, second] = [await messages('?limit=3'), await messages('?limit=3')];
    expect(second.body.equals(first.body)).to.equal(true);
  });

  it('changes no file, in whatever form it is asked', async () => {
    await sandbox.run(['consume', 'ten', '-g', 'readers', '-n', '2']);
    const directory = join(sandbox.dataDirectory, 'ten');
    const files = (): string[] =>
      readdirSync(directory, { recursive: true, encoding: 'utf8' })
        .sort()
        .map((name) => `${name} ${statSync(join(directory, name), { bigint: true }).mtimeNs}`);
    const before = files();
    for (const accept of ['application/json', 'application/x-ndjson', 'application/octet-stream'])
      expect((await messages('?offset=3&limit=1&wait=1', { accept })).status, accept).to.equal(200);
    const stream = await EventStream.open(server, '/topics/ten/messages');
    await stream.take(10);
    stream.close();
    expect(files()).to.deep.equal(before);
  });

  it('is 404 topic_not_found for a topic that there is not, and creates none', async () => {
    expectProblem(await server.get('/topics/none/messages'), 404, 'topic_not_found');
    expectProblem(await server.get('/topics/none/offsets'), 404, 'topic_not_found');
    const { stdout } = await sandbox.run(['topics', '--json']);
    expect(stdout.toString()).to.not.include('"none"');
  });
});
