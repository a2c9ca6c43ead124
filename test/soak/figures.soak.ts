/** Figures that are promised: how soon a follower prints, how much memory a command takes, what opening costs. */
import { expect } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, rmSync, statSync, truncateSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { Sandbox } from '../cli/fastqueue.ts';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const MIB = 1024 * 1024;
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

describe('figures', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  it('a follower prints a record within 20 ms of its acknowledgement', async () => {
    const topic = await openDataDirectory(sandbox.dataDirectory).openTopic('t', {
      mode: 'append',
      create: {},
    });
    const follower = sandbox.start(['consume', 't', '-F']);
    await topic.append([Buffer.from('first')]);
    await once(follower.stdout, 'data');
    const delays: number[] = [];
    for (let round = 0; round < 100; round++) {
      await wait(20);
      const seen = once(follower.stdout, 'data').then(() => performance.now());
      await topic.append([Buffer.from(`${round}`)]);
      const acknowledgedAt = performance.now();
      delays.push((await seen) - acknowledgedAt);
    }
    const ended = once(follower, 'close');
    follower.kill();
    await ended;
    await topic.close();
    console.log(`      median ${median(delays).toFixed(2)} ms, longest ${Math.max(...delays).toFixed(2)} ms`);
    expect(median(delays)).to.be.lessThan(20);
  });

  /** Peak resident bytes of the command in MiB, looked at while it runs. */
  async function peakOf(args: readonly string[], shell: string): Promise<number> {
    const child = spawn('bash', ['-c', `exec ${process.execPath} ${BIN} ${args.join(' ')} ${shell}`], {
      env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory },
      stdio: 'ignore',
    });
    let peakKib = 0;
    const timer = setInterval(() => {
      const status = spawnSync('cat', [`/proc/${child.pid!}/status`], { encoding: 'utf8' }).stdout;
      peakKib = Math.max(peakKib, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    }, 50);
    const [status] = (await once(child, 'close')) as [number];
    clearInterval(timer);
    expect(status).to.equal(0);
    return peakKib / 1024;
  }

  it('produce and consume take at most 160 MB for 2 GB of input and of log', async () => {
    const input = join(sandbox.directory, 'input');
    const file = createWriteStream(input);
    const block = Buffer.alloc(16 * MIB, `${'a hundred bytes in a line '.repeat(4).slice(0, 99)}\n`);
    for (let written = 0; written < 2000 * MIB; written += block.length)
      if (!file.write(block)) await once(file, 'drain');
    file.end();
    await once(file, 'close');
    const produced = await peakOf(['produce', 't', '--quiet'], `< ${input}`);
    rmSync(input);
    const consumed = await peakOf(['consume', 't'], '> /dev/null');
    const asJson = await peakOf(['consume', 't', '--json'], '> /dev/null');
    console.log(
      `      produce ${produced.toFixed(0)} MiB, consume ${consumed.toFixed(0)} MiB, consume --json ${asJson.toFixed(0)} MiB`,
    );
    for (const peak of [produced, consumed, asJson]) expect(peak * MIB).to.be.lessThan(160e6);
  });

  it('opening after a kill costs the same at 1 MB and at 1 GB of active segment', async () => {
    const openMs = async (bytes: number, topic: string): Promise<number> => {
      const line = `${'x'.repeat(99)}\n`;
      const child = spawn(process.execPath, [BIN, 'produce', topic, '--quiet'], {
        env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory, FASTQUEUE_SEGMENT_BYTES: '4GiB' },
      });
      const block = Buffer.alloc(1_000_000, line);
      for (let written = 0; written < bytes; written += block.length)
        if (!child.stdin.write(block)) await once(child.stdin, 'drain');
      child.stdin.end();
      await once(child, 'close');
      const store = join(sandbox.dataDirectory, topic, `${'0'.repeat(20)}.store`);
      const times: number[] = [];
      for (let round = 0; round < 9; round++) {
        // What a writer that was killed in the middle of a write leaves: a part of a frame behind the mark.
        truncateSync(store, statSync(store).size + 50);
        const begun = performance.now();
        const data = openDataDirectory(sandbox.dataDirectory);
        const opened = await data.openTopic(topic, { mode: 'append' });
        times.push(performance.now() - begun);
        await opened.close();
      }
      return median(times);
    };
    const small = await openMs(1e6, 'small');
    const large = await openMs(1e9, 'large');
    console.log(`      1 MB ${small.toFixed(1)} ms, 1 GB ${large.toFixed(1)} ms (medians of 9)`);
    expect(large).to.be.lessThan(small * 3 + 20);
  });
});
