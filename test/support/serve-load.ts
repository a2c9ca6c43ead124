/**
 * Many clients that post to a server without pause and remember every answer, while the server is killed, asked to stop,
 * or given a disk that fills. What was answered with 201 must be in the log at its offset, once; what else is there must
 * be something that was sent.
 */
import { expect } from 'chai';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Sandbox } from '../cli/fastqueue.ts';
import { Server, type Answer } from '../server/serving.ts';
import { readTopicFiles } from './log-files.ts';
import { Mounts } from './mounts.ts';

const CLIENTS = 24;

/** Payloads as no two requests send them: one record, or five lines. */
function payloadsOf(request: string, padding: string): string[] {
  const isBatch = request.endsWith('3') || request.endsWith('7');
  return Array.from({ length: isBatch ? 5 : 1 }, (_, at) => `${request}.${at} ${padding}`);
}

interface LoadOptions {
  readonly server: Server;
  /** Begins every payload, so that rounds differ. */
  readonly name: string;
  readonly padding?: string;
  /** Told of every answer. */
  readonly onAnswer?: (answer: Answer) => void;
}

class Load {
  /** Offset → payload, as 201 said. */
  readonly acknowledged = new Map<number, string>();
  readonly statuses = new Map<number, number>();
  /** Requests that got no answer at all. */
  unanswered = 0;
  readonly ended: Promise<void>;
  readonly #options: LoadOptions;
  #isStopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.ended = Promise.all(Array.from({ length: CLIENTS }, (_, client) => this.#run(client))).then(
      () => undefined,
    );
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    return this.ended;
  }

  async #run(client: number): Promise<void> {
    const { server, name, padding = '', onAnswer } = this.#options;
    for (let number = 0; !this.#isStopped; number++) {
      const payloads = payloadsOf(`${name}-${client}-${number}`, padding);
      const answer = await server.publishLines('t', payloads.join('\n')).catch(() => undefined);
      if (answer === undefined) {
        this.unanswered += 1;
        return;
      }
      this.statuses.set(answer.status, (this.statuses.get(answer.status) ?? 0) + 1);
      if (answer.status === 201) {
        const offset = answer.json['offset'] as number;
        payloads.forEach((payload, at) => this.acknowledged.set(offset + at, payload));
      }
      onAnswer?.(answer);
    }
  }

  /** Resolves when so many records were acknowledged. */
  async acknowledgedAtLeast(count: number): Promise<void> {
    while (this.acknowledged.size < count) await wait(1);
  }
}

/** Every acknowledged record at its offset, and no payload twice. Returns how many records there are. */
function checkLog(dataDirectory: string, acknowledged: ReadonlyMap<number, string>): number {
  const records = readTopicFiles(join(dataDirectory, 't'), { index: 0 });
  const payloads = records.map(({ payload }) => payload.toString());
  for (const [offset, payload] of acknowledged)
    if (payloads[offset] !== payload)
      throw new Error(
        `offset ${offset} was answered for ${payload} and holds ${payloads[offset] ?? 'nothing'}`,
      );
  expect(new Set(payloads).size, 'no record is stored twice').to.equal(payloads.length);
  return records.length;
}

async function expectSound(sandbox: Sandbox, dataDirectory: string): Promise<void> {
  const { status, stdout } = await sandbox.run(['verify', '-d', dataDirectory]);
  expect(status, stdout.toString()).to.equal(0);
}

/** `kill -9` of the server at random moments under load, each time started again on what it left. */
export async function serveKillRounds(rounds: number): Promise<{ acknowledged: number; stored: number }> {
  const sandbox = new Sandbox();
  const acknowledged = new Map<number, string>();
  try {
    await sandbox.run(['topics', 'create', 't', '--set', 'segmentBytes=200kB']);
    for (let round = 0; round < rounds; round++) {
      const server = await Server.start(sandbox);
      const load = new Load({ server, name: `k${round}` });
      await load.acknowledgedAtLeast(20);
      await wait(Math.random() * 150);
      await server.stop('SIGKILL');
      await load.ended;
      for (const [offset, payload] of load.acknowledged) {
        expect(acknowledged.has(offset), `offset ${offset} was given twice`).to.equal(false);
        acknowledged.set(offset, payload);
      }
    }
    // The next writer settles what the last kill left.
    const settled = await sandbox.run(['produce', 't'], { input: '' });
    expect(settled.status, settled.stderr).to.equal(0);
    await expectSound(sandbox, sandbox.dataDirectory);
    return { acknowledged: acknowledged.size, stored: checkLog(sandbox.dataDirectory, acknowledged) };
  } finally {
    sandbox.remove();
  }
}

/** SIGTERM under load: what was stored was answered, and the other way round. */
export async function serveStopRounds(rounds: number): Promise<{ acknowledged: number }> {
  let acknowledged = 0;
  for (let round = 0; round < rounds; round++) {
    const sandbox = new Sandbox();
    try {
      const server = await Server.start(sandbox);
      const load = new Load({ server, name: `s${round}` });
      await load.acknowledgedAtLeast(100);
      await wait(Math.random() * 100);
      const begun = performance.now();
      const outcome = await server.stop('SIGTERM');
      expect(performance.now() - begun, 'within the grace period').to.be.lessThan(10_000);
      expect(outcome.status, outcome.stderr).to.equal(0);
      await load.ended;
      for (const status of load.statuses.keys()) expect(status).to.be.oneOf([201, 503]);
      const stored = checkLog(sandbox.dataDirectory, load.acknowledged);
      expect(stored, 'whatever was stored was answered').to.equal(load.acknowledged.size);
      await expectSound(sandbox, sandbox.dataDirectory);
      acknowledged += stored;
    } finally {
      sandbox.remove();
    }
  }
  return { acknowledged };
}

/** Resolves when it is so. @throws Error where that takes too long: a round that fails must end */
async function soon(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + SOON_MS;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`${what} did not come within ${SOON_MS} ms`);
    await wait(5);
  }
}

const SOON_MS = 20_000;

/** What is left free for the load to fill. */
const ROOM_BYTES = 2 * 1024 * 1024;

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

/** The disk fills under load and gets room again, so many times, beside a server that is never restarted. */
export async function serveFullDiskRounds(
  rounds: number,
): Promise<{ acknowledged: number; refused: number }> {
  const sandbox = new Sandbox();
  const mounts = new Mounts();
  const acknowledged = new Map<number, string>();
  let refused = 0;
  let server: Server | undefined;
  try {
    const disk = mounts.tmpfs('small', '64m');
    const dataDirectory = join(disk, 'data');
    await sandbox.run(['topics', 'create', 't', '-d', dataDirectory, '--set', 'segmentBytes=1MB']);
    server = await Server.start(sandbox, ['-d', dataDirectory]);
    for (let round = 0; round < rounds; round++) {
      expect((await server.get('/health')).json).to.include({ status: 'ok' });
      const filler = join(disk, 'filler');
      writeFileSync(filler, Buffer.alloc(freeBytes(disk) - ROOM_BYTES));
      const load = new Load({ server, name: `d${round}`, padding: 'x'.repeat(5000) });
      await soon('a 507', () => load.statuses.has(507));
      // Beside a record that was refused a smaller one may still find room, and for that long all is well.
      let health = await server.get('/health');
      await soon('a 503 of /health', async () => {
        health = await server!.get('/health');
        return health.status === 503;
      });
      expect(health.body.toString())
        .to.match(/disk.{0,10}full|disk_full/i)
        .and.to.not.include(disk);
      await wait(50);
      rmSync(filler);
      const recoveredFrom = load.acknowledged.size;
      await load.acknowledgedAtLeast(recoveredFrom + 200);
      await load.stop();
      for (const [status, count] of load.statuses) {
        expect(status).to.be.oneOf([201, 503, 507]);
        if (status !== 201) refused += count;
      }
      expect(load.unanswered, 'each request is answered').to.equal(0);
      for (const [offset, payload] of load.acknowledged) acknowledged.set(offset, payload);
      const posted = await server.publish('t', `after ${round}`);
      expect(posted.status).to.equal(201);
      expect((await server.get('/health')).json).to.include({ status: 'ok' });
    }
    const outcome = await server.stop();
    expect(outcome.status, outcome.stderr).to.equal(0);
    await expectSound(sandbox, dataDirectory);
    checkLog(dataDirectory, acknowledged);
    return { acknowledged: acknowledged.size, refused };
  } finally {
    // Should a round have failed, its clients end with the server that they ask.
    await server?.stop('SIGKILL');
    mounts.remove();
    sandbox.remove();
  }
}
