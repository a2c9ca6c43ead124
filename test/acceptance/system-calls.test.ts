/**
 * The order of system calls of the real command, seen from outside: nothing is acknowledged before its sync, and no
 * directory entry is left unsynced.
 */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Sandbox, seen } from '../cli/fastqueue.ts';
import { Server } from '../server/serving.ts';
import { describeWith } from '../support/root-tests.ts';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const CALLS = 'openat,mkdir,pread64,pwrite64,write,writev,fsync,fdatasync,ftruncate,rename,unlink';

interface Call {
  readonly name: string;
  /** What it worked on, in full. */
  readonly text: string;
  readonly begun: number;
  readonly ended: number;
  readonly succeeded: boolean;
}

function parseTrace(trace: string): Call[] {
  const calls: Call[] = [];
  const pending = new Map<string, { text: string; begun: number }>();
  trace.split('\n').forEach((line, at) => {
    const match = /^(\d+) +(.*)$/.exec(line);
    if (match === null) return;
    const [, thread, rest] = match as unknown as [string, string, string];
    const resumed = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest);
    if (rest.endsWith('<unfinished ...>')) {
      pending.set(thread, { text: rest.slice(0, -'<unfinished ...>'.length), begun: at });
    } else {
      const begin = resumed === null ? { text: '', begun: at } : pending.get(thread)!;
      const text = begin.text + (resumed === null ? rest : resumed[2]!);
      const name = /^\w+/.exec(text)?.[0];
      if (name !== undefined)
        calls.push({ name, text, begun: begin.begun, ended: at, succeeded: !/= -1 E/.test(text) });
    }
  });
  return calls.filter(({ succeeded }) => succeeded);
}

describeWith(['strace'], 'produce, seen by strace', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  function trace(...args: string[]): Call[] {
    const path = join(sandbox.directory, 'trace');
    const run = spawnSync(
      'strace',
      ['-f', '-y', '-s', '100', '-o', path, '-e', `trace=${CALLS}`, process.execPath, BIN, ...args],
      {
        input: 'one\ntwo\n',
        env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory },
        encoding: 'utf8',
      },
    );
    expect(run.stdout, run.stderr).to.match(/^\d+\.\.\d+\n$/);
    return parseTrace(readFileSync(path, 'utf8'));
  }

  const find = (calls: Call[], name: string, text: string): Call => {
    const call = calls.findLast((candidate) => candidate.name === name && candidate.text.includes(text));
    expect(call, `${name} of ${text}`).not.to.equal(undefined);
    return call!;
  };

  it('writes a batch once, syncs it, then writes the index, the mark and the acknowledgement, in this order', async () => {
    await sandbox.store('t', [['zero'.repeat(20)]], { indexIntervalBytes: 64 });
    const calls = trace('produce', 't', '--ack', 'offset');
    expect(calls.filter(({ name, text }) => name === 'pwrite64' && text.includes('.store>'))).to.have.length(
      1,
    );
    const write = find(calls, 'pwrite64', '.store>');
    const sync = find(calls, 'fdatasync', '.store>');
    const index = find(calls, 'pwrite64', '.index>');
    const mark = calls.find(
      ({ name, text, begun }) =>
        name === 'pwrite64' && text.includes('high-watermark>') && begun > write.begun,
    )!;
    const acknowledgement = find(calls, 'write', '"1..2\\n"');
    expect(write.ended, 'the write before the sync').to.be.lessThan(sync.begun);
    expect(sync.ended, 'the sync before the index').to.be.lessThan(index.begun);
    expect(index.ended, 'the index before the mark').to.be.lessThan(mark.begun);
    expect(mark.ended, 'the mark before the acknowledgement').to.be.lessThan(acknowledgement.begun);
  });

  it('looks at the mark by one call each time, and none that finds its end', async () => {
    await sandbox.store('t', [['zero']]);
    const calls = trace('produce', 't', '--ack', 'offset');
    const looks = calls.filter(({ name, text }) => name === 'pread64' && text.includes('high-watermark>'));
    expect(looks).not.to.have.length(0);
    for (const { text } of looks) expect(text).to.match(/, 65, 0\) = 64$/);
  });

  it('syncs the active store before it is written to for the first time', async () => {
    await sandbox.store('t', [['zero']]);
    const calls = trace('produce', 't', '--ack', 'offset');
    const write = find(calls, 'pwrite64', '.store>');
    const before = calls.filter(
      ({ name, text, ended }) =>
        /^f(data)?sync$/.test(name) && text.includes('.store>') && ended < write.begun,
    );
    expect(before).not.to.have.length(0);
  });

  it('leaves no directory entry of a new topic unsynced when it acknowledges', () => {
    const calls = trace('produce', 'new', '--ack', 'offset');
    const acknowledgement = find(calls, 'write', '"0..1\\n"');
    const isOurs = ({ text }: Call): boolean => text.includes(sandbox.dataDirectory);
    const made = calls.filter(
      (call) =>
        isOurs(call) &&
        (call.name === 'mkdir' ||
          call.name === 'rename' ||
          (call.name === 'openat' && call.text.includes('O_CREAT'))),
    );
    expect(made.length).to.be.greaterThan(4);
    for (const { text, ended } of made) {
      const path = [...text.matchAll(/"([^"]+)"/g)].at(-1)![1]!;
      if (path.endsWith('/holder')) continue;
      const synced = calls.find(
        (call) =>
          call.name === 'fsync' &&
          call.text.includes(`<${dirname(path)}>`) &&
          call.begun > ended &&
          call.ended < acknowledgement.begun,
      );
      expect(synced, `fsync of ${dirname(path)} after ${text}`).not.to.equal(undefined);
    }
  });
});

/** A write that has returned is on the disk where its descriptor was opened so. */
function isOpenForSync(calls: readonly Call[], write: Call): boolean {
  const [, descriptor] = /^pwrite64\((\d+)</.exec(write.text)!;
  const opening = calls.findLast(
    ({ name, text, ended }) => name === 'openat' && text.includes(`= ${descriptor!}<`) && ended < write.begun,
  );
  return opening?.text.includes('O_DSYNC') === true;
}

describeWith(['strace'], 'serve, seen by strace', () => {
  const NDJSON = { 'content-type': 'application/x-ndjson' };
  const bodies: [string, string, Record<string, string>][] = [
    ['one record', 'x', {}],
    ['few lines', 'a\nb\nc', NDJSON],
    ['many lines', `${'x'.repeat(99)}\n`.repeat(20_000), NDJSON],
    [
      'a document',
      '{"records":[{"payload":"a"},{"payload":"b"}]}',
      { 'content-type': 'application/vnd.fastqueue.records+json' },
    ],
  ];

  it('writes the batch of a request once, syncs it, and answers behind that, whatever form the body has', async () => {
    const sandbox = new Sandbox();
    await sandbox.store('t', [['zero']]);
    const server = await Server.start(sandbox);
    const path = join(sandbox.directory, 'trace');
    const flags = ['-f', '-y', '-s', '100', '-o', path, '-e', `trace=${CALLS}`];
    const tracer = spawn('strace', [...flags, '-p', String(server.child.pid)]);
    await seen(tracer.stderr, 'attached');
    for (const [what, body, headers] of bodies)
      expect((await server.publish('t', body, headers)).status, what).to.equal(201);
    tracer.kill('SIGINT');
    await once(tracer, 'close');
    await server.stop();
    const calls = parseTrace(readFileSync(path, 'utf8'));
    sandbox.remove();
    const answers = calls.filter(({ text }) => text.includes('"HTTP/1.1 201 '));
    expect(answers).to.have.length(bodies.length);
    let from = 0;
    bodies.forEach(([what], at) => {
      const { begun: until } = answers[at]!;
      const before = calls.filter(({ begun, ended }) => begun >= from && ended < until);
      const writes = before.filter(({ name, text }) => name === 'pwrite64' && text.includes('.store>'));
      expect(writes, `writes of ${what}`).to.have.length(1);
      const isSynced = before.some(
        ({ name, text, begun }) =>
          name === 'fdatasync' && text.includes('.store>') && begun > writes[0]!.ended,
      );
      expect(isSynced || isOpenForSync(calls, writes[0]!), `a sync of ${what}`).to.equal(true);
      from = until;
    });
  });
});
