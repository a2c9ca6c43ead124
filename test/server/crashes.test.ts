/** Short versions of what test/soak/serve.soak.ts does at length, and how single requests fare when the server stops. */
import { expect } from 'chai';
import { statSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { join } from 'node:path';
import { Sandbox } from '../cli/fastqueue.ts';
import { readTopicFiles } from '../support/log-files.ts';
import { describeWith } from '../support/root-tests.ts';
import { serveFullDiskRounds, serveKillRounds, serveStopRounds } from '../support/serve-load.ts';
import { parseAnswers, Server, untilClosed, type Answer } from './serving.ts';

describe('serve, killed with -9 under load', () => {
  it('has every record in the log that it answered 201 for, once, 4 times over', async () => {
    const { acknowledged, stored } = await serveKillRounds(4);
    expect(acknowledged).to.be.at.least(80);
    expect(stored).to.be.at.least(acknowledged);
  });
});

describe('a request that got no answer', () => {
  const ROUNDS = 3;
  const LINES_PER_ROUND = 16_000;

  it('is stored once and whole when it is repeated with its FastQueue-Expected-Offset, wherever a kill came', async () => {
    const sandbox = new Sandbox();
    const store = join(sandbox.dataDirectory, 't', `${'0'.repeat(20)}.store`);
    const storeBytes = (): number => statSync(store, { throwIfNoEntry: false })?.size ?? 0;
    const sent: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const lines = Array.from({ length: LINES_PER_ROUND }, (_, at) => `${round}.${at}`.padEnd(500, '.'));
      const killed = await Server.start(sandbox);
      const publish = (server: Server, from: number): Promise<Answer> =>
        server.publishLines('t', lines.slice(from).join('\n'), {
          'FastQueue-Expected-Offset': String(sent.length + from),
        });
      const bytesBefore = storeBytes();
      const unanswered = publish(killed, 0).catch(() => undefined);
      // The first is killed before it can have stored anything, the others while they store.
      while (round > 0 && storeBytes() === bytesBefore) await new Promise(setImmediate);
      await killed.stop('SIGKILL');
      await unanswered;
      const server = await Server.start(sandbox);
      const again = await publish(server, 0);
      expect(again.status, again.body.toString()).to.equal(round === 0 ? 201 : 412);
      if (round > 0) {
        const storedCount = (again.json['actualOffset'] as number) - sent.length;
        expect(storedCount).to.be.within(1, lines.length);
        if (storedCount < lines.length) expect((await publish(server, storedCount)).status).to.equal(201);
      }
      sent.push(...lines);
      await server.stop();
    }
    const stored = sandbox.stored('t').map((payload) => payload.toString());
    expect(stored.length).to.equal(sent.length);
    expect(stored.findIndex((payload, at) => payload !== sent[at])).to.equal(-1);
    sandbox.remove();
  });
});

describe('serve, asked to stop', () => {
  it('under load loses no answered request, leaves none unanswered that it stored, and exits with 0, twice', async () => {
    expect((await serveStopRounds(2)).acknowledged).to.be.at.least(200);
  });

  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    it(`at ${signal} lets a request finish whose body is still coming, and refuses new ones with 503`, async () => {
      const sandbox = new Sandbox();
      const server = await Server.start(sandbox);
      const [finishing, late, health] = [
        await server.connect(),
        await server.connect(),
        await server.connect(),
      ];
      const answers = [finishing, late, health].map(untilClosed);
      finishing.write(
        'POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf ',
      );
      late.write('POST /topics/t/messages HTTP/1.1\r\nHost: loc');
      health.write('GET /health HTTP/1.1\r\nHost: loc');
      await wait(100);
      server.child.kill(signal);
      await wait(200);
      finishing.write('whole');
      late.write('alhost\r\nContent-Length: 4\r\n\r\nlate');
      health.write('alhost\r\n\r\n');
      const [finished, ...refused] = (await Promise.all(answers)).map(parseAnswers);
      expect(finished?.map(({ status }) => status)).to.deep.equal([201]);
      expect(finished?.[0]?.headers.get('connection')).to.equal('close');
      expect(refused.map((given) => given.map(({ status }) => status))).to.deep.equal([[503], [503]]);
      for (const { headers, body } of refused.flat()) {
        expect(headers.get('retry-after')).to.match(/^\d+$/);
        expect(JSON.parse(body.toString())).to.include({
          code: 'stopping',
          retryable: true,
          sideEffects: 'none',
        });
      }
      const outcome = await server.ended;
      expect(outcome.status, outcome.stderr).to.equal(0);
      const payloads = readTopicFiles(join(sandbox.dataDirectory, 't')).map(({ payload }) =>
        payload.toString(),
      );
      expect(payloads).to.deep.equal(['half whole']);
      sandbox.remove();
    });
  }

  it('answers a request that waits for records at once', async () => {
    const sandbox = new Sandbox();
    const server = await Server.start(sandbox);
    await server.publish('t', 'x');
    const waiting = server.get('/topics/t/messages?offset=end&wait=60');
    await wait(100);
    const begun = performance.now();
    const outcome = await server.stop();
    expect(outcome.status, outcome.stderr).to.equal(0);
    expect(performance.now() - begun).to.be.lessThan(3000);
    expect((await waiting).status).to.be.oneOf([200, 503]);
    sandbox.remove();
  });

  it('is not kept by idle connections', async () => {
    const sandbox = new Sandbox();
    const server = await Server.start(sandbox);
    await server.get('/health');
    const idle = await server.connect();
    const begun = performance.now();
    const outcome = await server.stop();
    expect(outcome.status, outcome.stderr).to.equal(0);
    expect(performance.now() - begun).to.be.lessThan(3000);
    idle.destroy();
    sandbox.remove();
  });
});

describeWith(['mount'], 'serve on a disk that fills', () => {
  it('answers 507 or 503, says so in /health, and takes records again when there is room, twice', async () => {
    const { acknowledged, refused } = await serveFullDiskRounds(2);
    expect(acknowledged).to.be.at.least(400);
    expect(refused).to.be.at.least(2);
  });
});
