/** What the real recover and verify refuse, and how: statuses, sentences, and that nothing is touched. */
import { expect } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Sandbox, outcomeOf, type Outcome } from '../../cli/fastqueue.ts';
import { Mounts } from '../../support/mounts.ts';
import { snapshotOf } from '../../support/recovery-scene.ts';
import { describeWith } from '../../support/root-tests.ts';

const BIN = fileURLToPath(new URL('../../../bin/run.js', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../../fixtures', import.meta.url));
const SEALED = '00000000000000000006.store';

function corpusTopic(sandbox: Sandbox, name: string): string {
  mkdirSync(sandbox.dataDirectory);
  cpSync(join(FIXTURES, name, 'data'), sandbox.dataDirectory, { recursive: true });
  return join(sandbox.dataDirectory, 'orders');
}

const runOf = (outcome: Outcome): string =>
  (JSON.parse(outcome.stdout.toString()) as { runs: { run: string }[] }).runs[0]!.run;

describe('fastqueue recover', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  it('says of a run that made the mark anew that it was undone, and only the second time that it had been', async () => {
    corpusTopic(sandbox, 'mark-damaged');
    const run = runOf(await sandbox.run(['recover', '--json']));
    const undo = async (): Promise<string> =>
      (await sandbox.run(['recover', '--undo', run])).stdout.toString();
    expect(await undo())
      .to.include('was undone')
      .and.not.include('already');
    expect(await undo()).to.include('had been undone already');
  });

  for (const damage of ['mark-ahead', 'torn-tail'])
    it(`refuses an undo of ${damage} that would overwrite newer records with status 5, naming the kept file and the command that stores its records`, async () => {
      const topic = corpusTopic(sandbox, damage);
      const run = runOf(await sandbox.run(['recover', 'orders', '--json']));
      await sandbox.store('orders', [['newer']]);
      const before = snapshotOf(topic);
      for (const json of [[], ['--json']]) {
        const undo = await sandbox.run(['recover', 'orders', '--undo', run, ...json]);
        expect(undo.status).to.equal(5);
        expect(undo.stderr).to.include(`quarantine/${run}/`).and.to.include('fastqueue inspect-segment');
        expect(undo.stderr).to.include('fastqueue produce orders --input json');
      }
      expect(snapshotOf(topic)).to.deep.equal(before);
    });

  it('names a command that stores the kept records as new ones', () => {
    const topic = corpusTopic(sandbox, 'torn-tail');
    // As quarantine has it: bytes of a store, from a frame on, under a name with the byte that they stood at.
    const bytes = readFileSync(join(topic, SEALED));
    const kept = join(sandbox.directory, `${SEALED}.0`);
    writeFileSync(kept, bytes);
    const command = `${process.execPath} ${BIN}`;
    const piped = spawnSync(
      'bash',
      ['-c', `${command} inspect-segment ${kept} --payload --json | ${command} produce copies --input json`],
      { env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory }, encoding: 'utf8' },
    );
    expect(piped.stderr).to.match(/produced 6 records to copies/);
    expect(sandbox.stored('copies')[0]?.toString()).to.match(/^order 6: /);
  });

  it('lists runs, purges one, and refuses a run that there is not, with and without --json', async () => {
    corpusTopic(sandbox, 'flipped-bit');
    const run = runOf(await sandbox.run(['recover', 'orders', '--json']));
    const list = await sandbox.run(['recover', '--list-runs']);
    expect(list.status).to.equal(0);
    expect(list.stdout.toString()).to.match(new RegExp(`${run} +orders +applied .* 8\n$`));
    const asJson = await sandbox.run(['recover', '--list-runs', '--json']);
    expect(JSON.parse(asJson.stdout.toString())).to.include({ type: 'run', run, state: 'applied' });
    for (const flags of [
      ['--undo', 'none'],
      ['--purge', 'none'],
      ['--undo', '../..'],
      ['--purge', '..'],
      ['--undo', run, '--dry-run'],
      ['--unreadable-as-damage'],
    ])
      expect((await sandbox.run(['recover', ...flags])).status, flags.join(' ')).to.equal(2);
    expect((await sandbox.run(['recover', '--undo', 'none', '--json'])).status).to.equal(2);
    expect((await sandbox.run(['recover', '--purge', run])).status).to.equal(0);
    expect((await sandbox.run(['recover', '--list-runs'])).stdout.toString()).to.equal('');
    expect((await sandbox.run(['recover', '--undo', run])).status).to.equal(2);
  });

  it('leaves a gap of one offset where one record was damaged, and inspect-segment says so', async () => {
    const topic = corpusTopic(sandbox, 'flipped-bit');
    await sandbox.run(['recover', 'orders']);
    const inspected = await sandbox.run(['inspect-segment', topic]);
    expect(inspected.stdout.toString()).to.match(/^ +gaps +1 \(1 offset\)$/m);
  });

  it('--out copies a sound topic and says that nothing had to be repaired', async () => {
    const sound = join(sandbox.directory, 'sound');
    corpusTopic(sandbox, 'healthy');
    const copied = await sandbox.run(['recover', 'orders', '--out', sound]);
    expect(copied.stdout.toString()).to.equal(
      `orders: sound, nothing to recover; copied to ${join(sound, 'orders')}\n`,
    );
    expect(copied.status).to.equal(0);
    expect((await sandbox.run(['verify', '-d', sound])).status).to.equal(0);
  });

  it('brings a record back with --try-bitflip, status 0, and repairs into another directory with --out, the source untouched', async () => {
    const topic = corpusTopic(sandbox, 'flipped-bit');
    const before = snapshotOf(topic);
    const out = join(sandbox.directory, 'out');
    const salvaged = await sandbox.run(['recover', 'orders', '--out', out]);
    expect(salvaged.status, salvaged.stderr).to.equal(4);
    expect(snapshotOf(topic)).to.deep.equal(before);
    expect((await sandbox.run(['verify', '-d', out])).status).to.equal(0);
    expect((await sandbox.run(['recover', 'orders', '--out', out])).status).to.equal(6);
    const inside = await sandbox.run(['recover', 'orders', '--out', topic]);
    expect([inside.status, inside.stderr]).to.deep.equal([
      2,
      `error: ${topic} lies in the topic itself, which --out leaves alone. Name a directory outside of it.\n`,
    ]);
    expect(snapshotOf(topic)).to.deep.equal(before);
    const flipped = await sandbox.run(['recover', 'orders', '--try-bitflip']);
    expect(flipped.status).to.equal(0);
    const consumed = await sandbox.run(['consume', 'orders', '-o', '8:9']);
    expect(consumed.stdout.toString()).to.match(/^order 8: /);
  });
});

describeWith(['strace'], 'a disk that fails while verify and recover read', () => {
  let sandbox: Sandbox;
  let topic: string;

  beforeEach(() => {
    sandbox = new Sandbox();
    topic = corpusTopic(sandbox, 'flipped-bit');
  });

  afterEach(() => {
    sandbox.remove();
  });

  /** Runs the command with every such call on one file failing. */
  function failing(call: string, errno: string, path: string, args: readonly string[]): Outcome {
    const inject = ['-f', '-qq', '-o', '/dev/null', '-P', path, '-e', `inject=${call}:error=${errno}`];
    const run = spawnSync('strace', [...inject, process.execPath, BIN, ...args], {
      env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory },
    });
    return { status: run.status, signal: run.signal, stdout: run.stdout, stderr: run.stderr.toString() };
  }

  for (const [call, errno] of [
    ['pread64', 'EIO'],
    ['openat', 'EACCES'],
    ['openat', 'EMFILE'],
  ] as const) {
    for (const name of [SEALED, '00000000000000000006.index', 'high-watermark', 'topic.json'])
      it(`${errno} on ${name} is reported as itself and is no damage, status 1 where nothing else is found`, () => {
        const before = snapshotOf(topic);
        const { status, stdout, stderr } = failing(call, errno, join(topic, name), [
          'verify',
          'orders',
          '--json',
        ]);
        const report = JSON.parse(stdout.toString()) as { findings: { code: string; message: string }[] };
        const found = [...report.findings].filter(({ code }) => code === 'io_error');
        expect(found.length, stderr + stdout.toString()).to.be.greaterThan(0);
        expect(found[0]!.message).to.include(errno);
        // The flipped bit stands in the store: where that cannot be read nothing is damaged for all that is known.
        const others = [...report.findings].map(({ code }) => code).filter((code) => code !== 'io_error');
        expect(others).to.deep.equal(name === SEALED ? [] : ['bad_checksum']);
        expect(status).to.equal(others.length > 0 ? 3 : 1);
        expect(snapshotOf(topic)).to.deep.equal(before);
      });

    it(`${errno} on a store keeps recover from repairing anything, with status 1`, () => {
      const before = snapshotOf(topic);
      const recovered = failing(call, errno, join(topic, SEALED), ['recover', 'orders']);
      expect(recovered.status).to.equal(1);
      expect(recovered.stderr).to.include(errno);
      expect(snapshotOf(topic)).to.deep.equal(before);
    });
  }

  it('salvages around sectors that cannot be read with --out --unreadable-as-damage, and not without', () => {
    const out = join(sandbox.directory, 'out');
    const path = join(topic, SEALED);
    const flags = ['recover', 'orders', '--json', '--out', out];
    const refused = failing('pread64', 'EIO', path, flags);
    expect(refused.status).to.equal(1);
    expect(refused.stderr).to.match(/EIO.* The unfinished copy was removed\./);
    expect(readdirSync(out)).to.deep.equal([]);
    const salvaged = failing('pread64', 'EIO', path, [...flags, '--unreadable-as-damage']);
    expect(salvaged.status, salvaged.stderr).to.equal(4);
    const report = JSON.parse(salvaged.stdout.toString()) as { lost: unknown; repairs: { code: string }[] };
    expect(report.lost).to.deep.equal([{ from: 6, to: 12 }]);
    expect([...report.repairs][0]!.code).to.equal('io_error');
  });

  it('copies anew with --out where a Ctrl-C ended it, and shows no topic until it is done', async () => {
    const out = join(sandbox.directory, 'out');
    const flags = ['recover', 'orders', '--out', out];
    const env = { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory, UV_THREADPOOL_SIZE: '1' };
    // Syncs of the first store of the copy, of what is put into its quarantine, and of an index that is made for it.
    for (const at of [2, 9, 18]) {
      const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `inject=fsync:signal=INT:when=${at}`];
      const ended = spawnSync('strace', [...inject, process.execPath, BIN, ...flags], { env });
      expect(ended.stdout.toString()).to.equal('');
      expect(readdirSync(out)).to.deep.equal(['.recovering-orders']);
      expect((await sandbox.run(['topics', '-d', out])).stdout.toString()).not.to.include('orders');
      const again = await sandbox.run(flags);
      expect(again.status, again.stderr).to.equal(4);
      expect(readdirSync(out)).to.deep.equal(['orders']);
      expect((await sandbox.run(['verify', '-d', out])).status).to.equal(0);
      rmSync(out, { recursive: true });
    }
  });
});

describeWith(['mount'], 'recover --out on a full disk', () => {
  it('leaves no part of the copy there, says so, and copies once there is room', async () => {
    const sandbox = new Sandbox();
    const mounts = new Mounts();
    try {
      await sandbox.store('orders', [['x'.repeat(300_000)]]);
      const disk = mounts.tmpfs('disk', '128k');
      const full = await sandbox.run(['recover', '--out', disk]);
      expect(full.status).to.equal(1);
      expect(full.stderr).to.match(/ENOSPC.* The unfinished copy was removed\.\n$/);
      expect(readdirSync(disk)).to.deep.equal([]);
      mounts.resizeTmpfs(disk, '1m');
      const copied = await sandbox.run(['recover', '--out', disk]);
      expect([copied.status, copied.stderr]).to.deep.equal([0, '']);
      expect(copied.stdout.toString()).to.include(`copied to ${join(disk, 'orders')}\n`);
      expect(readdirSync(disk)).to.deep.equal(['orders']);
    } finally {
      mounts.remove();
      sandbox.remove();
    }
  });
});

describeWith(['strace'], 'a recovery beside another', () => {
  it('refuses a plan that no longer fits with status 6, and changes nothing', async () => {
    const sandbox = new Sandbox();
    try {
      const topic = corpusTopic(sandbox, 'flipped-bit');
      const trace = join(sandbox.directory, 'trace');
      // Stopped at the last index, when it has read the damaged store without the lock.
      const stop = ['-P', join(topic, '00000000000000000012.index')];
      const inject = ['-e', 'inject=openat:signal=STOP:when=1'];
      const slow = spawn(
        'strace',
        ['-f', '-o', trace, ...stop, ...inject, process.execPath, BIN, 'recover', 'orders'],
        {
          env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory },
        },
      );
      const ended = outcomeOf(slow);
      const stopped = /^(\d+) .*stopped by SIGSTOP/m;
      while (!existsSync(trace) || !stopped.test(readFileSync(trace, 'utf8'))) await delay(20);
      expect((await sandbox.run(['recover', 'orders'])).status).to.equal(4);
      const before = snapshotOf(topic);
      process.kill(Number(stopped.exec(readFileSync(trace, 'utf8'))![1]), 'SIGCONT');
      const { status, stdout, stderr } = await ended;
      expect(status, stderr + stdout.toString()).to.equal(6);
      expect(stderr).to.match(/no longer fits.*fastqueue recover orders/s);
      expect(snapshotOf(topic)).to.deep.equal(before);
    } finally {
      sandbox.remove();
    }
  });
});
