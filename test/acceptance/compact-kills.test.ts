/** The real `compact`, killed at a system call or told that one failed, beside two writers and two followers. */
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compactTopic } from '../../src/engine/compaction/compact.ts';
import { outcomeOf } from '../cli/fastqueue.ts';
import { LiveTopic } from '../support/live-topic.ts';
import { describeWith } from '../support/root-tests.ts';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const FLAGS = ['--merge-below', '8k', '--retain-bytes', '40k', '--lock-timeout', '20s'];

/** `rename` 1 puts a merged store in place, 2 its index. What the engine does at each change is shown in test/engine/compaction. */
const KILLS = [
  'fdatasync:signal=KILL:when=1',
  'unlink:signal=KILL:when=1',
  'rename:signal=KILL:when=1',
  'fsync:signal=KILL:when=5',
  'unlink:signal=KILL:when=7',
  'rename:signal=KILL:when=2',
  'pwrite64:signal=KILL:when=2',
];
const FAULTS = ['rename:error=EIO:when=1', 'fsync:error=EIO:when=4', 'pwrite64:error=ENOSPC:when=3'];

describeWith(['strace'], 'the real compact, killed at a system call or failing', function () {
  // What is to be seen is that they are at work, not how much they do: they share the machine with compact.
  const live = new LiveTopic({ feedIntervalMs: 25 });

  before(async () => {
    await live.create(['segmentBytes=2k', 'indexIntervalBytes=256']);
    for (let pair = 0; pair < 2; pair++) {
      live.startWriter();
      live.startFollower();
    }
  });

  after(async () => {
    await live.remove();
  });

  async function compactUnder(injection: string): Promise<{ status: number | null; stderr: string }> {
    await live.moreRecords(100);
    const strace = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${injection.split(':')[0] as string}`];
    const args = [...strace, '-e', `inject=${injection}`, process.execPath, BIN, 'compact', 't', ...FLAGS];
    const env = { ...process.env, FASTQUEUE_DATA_DIR: live.sandbox.dataDirectory };
    return outcomeOf(spawn('strace', args, { env }));
  }

  async function expectFinished(): Promise<void> {
    const options = { dryRun: false, mergeBelowBytes: 8192, retainBytes: 40_960, lockTimeoutMs: 20_000 };
    const report = await compactTopic(live.context, options);
    expect(report.damaged).to.deep.equal([]);
    await live.expectVerified({ allowsNotes: true });
  }

  it('loses nothing, whatever call it was killed at, and the next one finishes', async () => {
    let killed = 0;
    for (const injection of KILLS) {
      const { status } = await compactUnder(injection);
      if (status !== 0) killed += 1;
      await expectFinished();
    }
    expect(killed).to.be.greaterThan(KILLS.length / 2);
  });

  it('says what failed with exit status 1, loses nothing, and the next one finishes', async () => {
    for (const injection of FAULTS) {
      const { status, stderr } = await compactUnder(injection);
      expect(stderr, injection).to.match(/error: Could not .*(EIO|ENOSPC)/);
      expect(status, injection).to.equal(1);
      await expectFinished();
    }
  });

  it('has left every acknowledged record within retention at its offset, once, and followers saw just these', async () => {
    await compactTopic(live.context, { dryRun: false, lockTimeoutMs: 20_000 });
    const { startOffset } = await live.check();
    expect(startOffset).to.be.greaterThan(0);
  });
});
