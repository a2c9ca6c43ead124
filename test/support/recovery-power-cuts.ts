/**
 * The power cut, on a real ext4, while `recover` or its undo is at work: what the device has can be recovered, every good
 * record is there, and once a recovery has ended its undo gives the damaged stores back.
 */
import { expect } from 'chai';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { outcomeOf, Sandbox } from '../cli/fastqueue.ts';
import type { Expected } from './corpus/expected.ts';
import { Mounts } from './mounts.ts';
import { must } from './root-tests.ts';
import { snapshotOf, storesOf } from './recovery-scene.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));
const IMAGE_BYTES = 64 * 1024 * 1024;

/** Cuts the power in the middle of `rounds` recoveries. Returns how many had ended by then. */
export async function recoveryPowerCuts(name: string, rounds: number): Promise<{ finished: number }> {
  const sandbox = new Sandbox();
  const mounts = new Mounts();
  const { recover } = JSON.parse(readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8')) as Expected;
  const lost = new Set(
    [...recover.lost].flatMap(([from, to]) => Array.from({ length: to - from }, (_, at) => from + at)),
  );
  const kept = Array.from({ length: 17 }, (_, offset) => offset).filter((offset) => !lost.has(offset));
  let finished = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      const image = join(mounts.directory, `image-${round}`);
      mounts.makeExt4(image, IMAGE_BYTES);
      const disk = mounts.mountImage(image, 'disk');
      const data = join(disk, 'data');
      mkdirSync(data);
      cpSync(join(FIXTURES, name, 'data'), data, { recursive: true });
      must('sync', '-f', data);
      const topic = join(data, 'orders');
      const damaged = storesOf(snapshotOf(topic));

      const child = sandbox.start(['recover', 'orders', '-d', data]);
      child.stdin.end();
      const ended = outcomeOf(child);
      while (!existsSync(join(topic, 'quarantine')) && child.exitCode === null) await turn();
      await wait(Math.random() * 25);
      if (child.exitCode !== null) finished += 1;
      mounts.cutPower(disk);
      child.kill('SIGKILL');
      await ended;
      mounts.unmount(disk);

      mounts.mountImage(image, 'disk');
      const recovered = await sandbox.run(['recover', 'orders', '-d', data]);
      expect(recovered.status, recovered.stderr).to.be.oneOf([0, recover.exitStatus]);
      const consumed = await sandbox.run(['consume', 'orders', '-d', data, '-f', '%o %s\n']);
      const offsets = consumed.stdout
        .toString()
        .trimEnd()
        .split('\n')
        .map((line) => /^(\d+) order \1: /.exec(line)?.[1]);
      expect(offsets, consumed.stderr).to.deep.equal(kept.map(String));
      for (const run of readdirSync(join(topic, 'quarantine')).sort().reverse()) {
        if (!existsSync(join(topic, 'quarantine', run, 'manifest.json'))) continue;
        const undone = await sandbox.run(['recover', 'orders', '-d', data, '--undo', run]);
        expect(undone.status, undone.stderr).to.be.oneOf([0, 2]);
      }
      const stores = storesOf(snapshotOf(topic));
      for (const [file, bytes] of damaged)
        expect(stores.get(file), `round ${round}: ${file}`).to.equal(bytes);
      mounts.unmount(disk);
    }
    return { finished };
  } finally {
    mounts.remove();
    sandbox.remove();
  }
}
