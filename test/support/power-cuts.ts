/**
 * Real power cuts and real failed syncs, on ext4 in a loop file: what was acknowledged is read back from the device after
 * the file system was mounted anew, never from the page cache.
 */
import { expect } from 'chai';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { outcomeOf, Sandbox, type Outcome } from '../cli/fastqueue.ts';
import { lineOf } from './kill-rounds.ts';
import { readTopicFiles } from './log-files.ts';
import { Mounts } from './mounts.ts';

const MIB = 1024 * 1024;
const FLAGS = ['--ack', 'offset', '--batch-bytes', '16k'];

const lines = (from: number, count: number): string =>
  Array.from({ length: count }, (_, at) => `${lineOf(from + at)}\n`).join('');

function acknowledgedBy({ stdout }: Outcome): number {
  const last = [...stdout.toString().matchAll(/^\d+\.\.(\d+)$/gm)].at(-1);
  return last === undefined ? 0 : Number(last[1]) + 1;
}

/** Settles the topic, then reads its files: every line at its offset, and at least those that were acknowledged. */
async function storedAfter(sandbox: Sandbox, dataDirectory: string, acknowledged: number): Promise<number> {
  const settled = await sandbox.run(['produce', 't', '-d', dataDirectory], { input: '' });
  expect(settled.status, settled.stderr).to.equal(0);
  const records = readTopicFiles(join(dataDirectory, 't'));
  for (const { offset, payload } of records) expect(payload.toString()).to.equal(lineOf(offset));
  expect(records.length, 'acknowledged records are on the device').to.be.at.least(acknowledged);
  return records.length;
}

export async function powerCuts(rounds: number): Promise<{ stored: number }> {
  const sandbox = new Sandbox();
  const mounts = new Mounts();
  try {
    const image = join(mounts.directory, 'image');
    mounts.makeExt4(image, 256 * MIB);
    let nextOffset = 0;
    for (let round = 0; round < rounds; round++) {
      const disk = mounts.mountImage(image, 'disk');
      const dataDirectory = join(disk, 'data');
      if (round > 0) nextOffset = await storedAfter(sandbox, dataDirectory, nextOffset);
      const child = sandbox.start(['produce', 't', '-d', dataDirectory, ...FLAGS], {
        env: { FASTQUEUE_SEGMENT_BYTES: '200kB' },
      });
      child.stdin.on('error', () => undefined);
      child.stdin.end(lines(nextOffset, 60_000));
      const cut = new Promise<void>((resolve) => {
        child.stdout.once('data', () =>
          setTimeout(() => {
            mounts.cutPower(disk);
            child.kill('SIGKILL');
            resolve();
          }, Math.random() * 60),
        );
      });
      const [outcome] = await Promise.all([outcomeOf(child), cut]);
      const acknowledged = acknowledgedBy(outcome);
      expect(acknowledged).to.be.greaterThan(nextOffset);
      mounts.unmount(disk);
      nextOffset = acknowledged;
    }
    const disk = mounts.mountImage(image, 'disk');
    return { stored: await storedAfter(sandbox, join(disk, 'data'), nextOffset) };
  } finally {
    mounts.remove();
    sandbox.remove();
  }
}

/** The device itself runs out of room, so that a sync fails for real, with data in the page cache. */
export async function failedSyncs(rounds: number): Promise<{ failures: number; stored: number }> {
  const sandbox = new Sandbox();
  const mounts = new Mounts();
  let failures = 0;
  let stored = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      const small = mounts.tmpfs('small', '48m');
      const image = join(small, 'image');
      mounts.makeExt4(image, 512 * MIB);
      const disk = mounts.mountImage(image, 'disk');
      const dataDirectory = join(disk, 'data');
      await sandbox.run(['topics', 'create', 't', '-d', dataDirectory, '--set', 'segmentBytes=2MB']);
      const filler = join(small, 'filler');
      writeFileSync(filler, Buffer.alloc((4 + (round % 8)) * MIB));
      const child = sandbox.start([
        'produce',
        't',
        '-d',
        dataDirectory,
        '--ack',
        'offset',
        '--batch-bytes',
        '256k',
      ]);
      child.stdin.on('error', () => undefined);
      child.stdin.end(lines(0, 600_000));
      const outcome = await outcomeOf(child);
      const acknowledged = acknowledgedBy(outcome);
      expect(outcome.status, outcome.stderr).to.equal(1);
      expect(outcome.stderr).to.match(/EIO|ENOSPC|EROFS/);
      failures += 1;
      // The room comes back, the page cache goes, and the device has the last word.
      rmSync(filler);
      mounts.resizeTmpfs(small, '400m');
      mounts.unmount(disk);
      const again = mounts.mountImage(image, 'disk');
      stored += await storedAfter(sandbox, join(again, 'data'), acknowledged);
      mounts.unmount(again);
      mounts.unmount(small);
    }
    return { failures, stored };
  } finally {
    mounts.remove();
    sandbox.remove();
  }
}
