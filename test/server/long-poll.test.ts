/** GET /topics/{topic}/messages?wait=: an answer as soon as there is a record, or when the time is over. */
import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';
import { expectProblem, NDJSON, OCTETS, offsetsOf } from './answers.ts';
import { Server, type Answer } from './serving.ts';

describe('wait', () => {
  const { sandbox, server } = Server.forAll();

  before(async () => {
    await server.publishLines('ten', 'r0\nr1\nr2\nr3\nr4\nr5\nr6\nr7\nr8\nr9\n');
    await sandbox.run(['topics', 'create', 'empty']);
  });

  const messages = (query: string, headers: Record<string, string> = {}): Promise<Answer> =>
    server.get(`/topics/ten/messages${query}`, headers);

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
/** Resolves when it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await wait(10);
}
