/** What a failing disk does to the real command: the sentence, the exit status, and a receipt that is exactly true. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sandbox } from '../cli/fastqueue.ts';
import { readTopicFiles } from '../support/log-files.ts';
import { lineOf } from '../support/kill-rounds.ts';
import { Mounts } from '../support/mounts.ts';
import { describeWith } from '../support/root-tests.ts';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const INPUT = Array.from({ length: 3000 }, (_, at) => `${lineOf(at)}\n`).join('');

/** The receipt on the last line of stderr. */
function receiptOf(stderr: string): { stored: number; nextByte: number } {
  const last = stderr.trimEnd().split('\n').at(-1)!;
  const match = /^stored (\d+) records?.*next input byte (\d+)/.exec(last);
  expect(match, stderr).not.to.equal(null);
  return { stored: Number(match![1]), nextByte: Number(match![2]) };
}

const linesBefore = (byte: number): number => INPUT.slice(0, byte).split('\n').length - 1;

describeWith(['strace'], 'produce on a disk that fails', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  function inject(fault: string): { status: number | null; stderr: string } {
    const args = ['-f', '-qq', '-o', '/dev/null', '-e', `inject=${fault}`, process.execPath, BIN];
    return spawnSync('strace', [...args, 'produce', 't', '--batch-bytes', '32k'], {
      input: INPUT,
      env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory },
      encoding: 'utf8',
    });
  }

  const faults = [
    ...[1, 2, 3, 4, 5, 8].map((at) => `fdatasync:error=EIO:when=${at}`),
    ...[1, 2, 3, 5, 7, 9].map((at) => `pwrite64:error=ENOSPC:when=${at}`),
    ...[1, 2].map((at) => `fsync:error=EIO:when=${at}`),
    'fdatasync:error=EIO:when=6+',
    'pwrite64:error=EIO:when=8+',
  ];
  for (const fault of faults) {
    it(`${fault}: stores what its receipt says and nothing else, and the next produce goes on`, async () => {
      const { status, stderr } = inject(fault);
      const topic = join(sandbox.dataDirectory, 't');
      if (status === 0) {
        // The fault met something that no record depends on (an index), or came after the last call.
        expect(stderr).to.match(/produced 3000 records/);
      } else {
        expect(status, stderr).to.equal(1);
        expect(stderr).to.match(/EIO|ENOSPC/);
        expect(stderr).not.to.match(/\n {4}at /);
        const { stored, nextByte } = receiptOf(stderr);
        expect(linesBefore(nextByte), 'the receipt names the byte behind the last stored line').to.equal(
          stored,
        );
        const isUnknown = /unknown|may reappear|no reader sees them yet/.test(stderr);
        const rest = INPUT.slice(nextByte);
        const next = await sandbox.run(
          ['produce', 't', ...(isUnknown ? [] : ['--expect-offset', String(stored)])],
          {
            input: isUnknown ? '' : rest,
          },
        );
        expect(next.status, next.stderr).to.equal(0);
        if (isUnknown) {
          const records = readTopicFiles(topic);
          expect(records.length).to.be.at.least(stored);
          for (const { offset, payload } of records) expect(payload.toString()).to.equal(lineOf(offset));
          return;
        }
      }
      expect(existsSync(topic)).to.equal(true);
      const records = readTopicFiles(topic);
      expect(records.map(({ payload }) => `${payload.toString()}\n`).join('')).to.equal(INPUT);
    });
  }

  it('takes a full disk as what it is, and goes on from its receipt when there is room', async () => {
    const mounts = new Mounts();
    try {
      const disk = mounts.tmpfs('disk', '128k');
      const full = await sandbox.run(['produce', 't', '-d', join(disk, 'data'), '--batch-bytes', '16k'], {
        input: INPUT,
      });
      expect(full.status, full.stderr).to.equal(1);
      expect(full.stderr).to.match(/disk is full/i);
      const { stored, nextByte } = receiptOf(full.stderr);
      expect(stored).to.be.greaterThan(0);
      expect(readTopicFiles(join(disk, 'data/t'))).to.have.length(stored);
      const consumed = await sandbox.run(['consume', 't', '-d', join(disk, 'data')]);
      expect(consumed.stdout.toString()).to.equal(INPUT.slice(0, nextByte));
      mounts.resizeTmpfs(disk, '8m');
      await sandbox.run(['produce', 't', '-d', join(disk, 'data'), '--expect-offset', String(stored)], {
        input: INPUT.slice(nextByte),
      });
      const all = await sandbox.run(['consume', 't', '-d', join(disk, 'data')]);
      expect(all.stdout.toString()).to.equal(INPUT);
    } finally {
      mounts.remove();
    }
  });

  it('is not needed to read: a read-only data directory can be consumed, and appending is refused', async () => {
    await sandbox.store('t', [['a', 'b']]);
    const mounts = new Mounts();
    try {
      const view = mounts.readOnlyView(sandbox.dataDirectory, 'view');
      const consumed = await sandbox.run(['consume', 't', '-d', view]);
      expect(consumed.stdout.toString(), consumed.stderr).to.equal('a\nb\n');
      expect(consumed.status).to.equal(0);
      const refused = await sandbox.run(['produce', 't', '-d', view], { input: 'c\n' });
      expect(refused.status).to.equal(1);
      expect(refused.stderr).to.match(/read-only/);
    } finally {
      mounts.remove();
    }
  });
});

const AS_ON_WINDOWS =
  "--import=data:text/javascript,Object.defineProperty(process,'platform',{value:'win32'})";

for (const { where, env, says } of [
  { where: 'without the lock library', env: { FASTQUEUE_NO_LOCKS: '1' }, says: process.platform },
  {
    where: 'on Windows',
    // Node would keep what it compiles where Windows has its temporary files, which is a name here.
    env: { NODE_OPTIONS: AS_ON_WINDOWS, NODE_DISABLE_COMPILE_CACHE: '1' },
    says: 'not supported on Windows',
  },
]) {
  describe(where, () => {
    let sandbox: Sandbox;

    before(async () => {
      sandbox = new Sandbox();
      await sandbox.store('t', [['a']]);
    });

    after(() => {
      sandbox.remove();
    });

    it('reading works', async () => {
      const consumed = await sandbox.run(['consume', 't'], { env });
      expect(consumed.stdout.toString(), consumed.stderr).to.equal('a\n');
      expect(consumed.status).to.equal(0);
      expect((await sandbox.run(['topics', 'show', 't'], { env })).status).to.equal(0);
    });

    for (const args of [
      ['produce', 't'],
      ['consume', 't', '-g', 'g'],
      ['topics', 'create', 'u'],
      ['topics', 'set', 't', 'segmentBytes=2M'],
      ['topics', 'delete', 't', '--yes'],
    ]) {
      it(`what has to lock is refused with a sentence that says why, and changes nothing: ${args.join(' ')}`, async () => {
        const directory = (): string[] =>
          readdirSync(sandbox.dataDirectory, { recursive: true }).map(String).sort();
        const before = directory();
        const refused = await sandbox.run(args, { input: 'b\n', env });
        expect(refused.stderr).to.include(says);
        expect(refused.status).to.equal(1);
        expect(directory()).to.deep.equal(before);
      });
    }
  });
}
