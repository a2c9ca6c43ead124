/**
 * Writers, followers, compact, retention, verify and random `kill -9` on one topic of small segments, all at once.
 * FASTQUEUE_SOAK_SECONDS makes it longer than its minute and a half.
 */
import { expect } from 'chai';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { outcomeOf } from '../cli/fastqueue.ts';
import { LiveTopic } from '../support/live-topic.ts';

const SECONDS = Number(process.env['FASTQUEUE_SOAK_SECONDS'] ?? 90);
const SEGMENT_BYTES = 16_000;
const RETENTION_BYTES = 400_000;

interface Sample {
  readonly openFiles: number;
  readonly residentKilobytes: number;
}

function sampleOf(pid: number): Sample {
  const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return { openFiles: readdirSync(`/proc/${pid}/fd`).length, residentKilobytes: Number(resident?.[1]) };
}

function bytesIn(directory: string): number {
  let bytes = 0;
  for (const name of readdirSync(directory)) {
    // Gone since it was listed.
    const status = statSync(join(directory, name), { throwIfNoEntry: false });
    if (status?.isFile() === true) bytes += status.size;
  }
  return bytes;
}

describe('a topic that everybody works on at once', function () {
  this.timeout(SECONDS * 1000 + 120_000);

  it(`keeps every acknowledged record within retention, and its bounds, for ${SECONDS} seconds`, async () => {
    const live = new LiveTopic();
    const counts = { compacts: 0, compactKills: 0, writerKills: 0, verifications: 0 };
    let endsAt = Date.now() + SECONDS * 1000;
    const isOn = (): boolean => Date.now() < endsAt;
    let mostBytes = 0;

    /** `compact` again and again, every third killed somewhere. */
    const compacting = async (): Promise<void> => {
      while (isOn()) {
        const child = live.sandbox.start(['compact', 't', '--merge-below', '40k', '--lock-timeout', '30s']);
        child.stdin.end();
        const ended = outcomeOf(child);
        const isDoomed = Math.random() < 1 / 3;
        if (isDoomed) {
          await Promise.race([wait(150 + Math.random() * 400), ended]);
          if (child.kill('SIGKILL')) counts.compactKills += 1;
        }
        const { status, stderr } = await ended;
        if (!isDoomed) expect(status, stderr).to.equal(0);
        counts.compacts += 1;
      }
    };

    /** The first writer lives; the other is killed and another takes its place. */
    const killing = async (): Promise<void> => {
      let writer = live.startWriter();
      while (isOn()) {
        await wait(500 + Math.random() * 2000);
        await live.killWriter(writer);
        counts.writerKills += 1;
        writer = live.startWriter();
      }
    };

    const verifying = async (): Promise<void> => {
      while (isOn()) {
        const { findings } = await verifyTopic(live.context, { quick: false, onBytes: () => undefined });
        const errors = [...findings].filter(({ severity }) => severity === 'error');
        expect(errors, JSON.stringify(errors)).to.deep.equal([]);
        counts.verifications += 1;
        mostBytes = Math.max(mostBytes, bytesIn(join(live.sandbox.dataDirectory, 't')));
        await wait(50);
      }
    };

    try {
      await live.create([
        `segmentBytes=${SEGMENT_BYTES}`,
        `retentionBytes=${RETENTION_BYTES}`,
        'indexIntervalBytes=1k',
      ]);
      const steady = live.startWriter();
      live.startFollower();
      live.startFollower();
      const pids = [steady.pid, ...live.followers.map(({ pid }) => pid)];
      let early: Sample[] = [];
      let late: Sample[] = [];
      const sampling = async (): Promise<void> => {
        await wait((SECONDS * 1000) / 3);
        early = pids.map(sampleOf);
        while (endsAt - Date.now() > 500) await wait(100);
        if (isOn()) late = pids.map(sampleOf);
      };
      // What fails ends the others, and is what the test says.
      const ended = await Promise.allSettled(
        [compacting(), killing(), verifying(), sampling()].map((work) =>
          work.catch((error: unknown) => {
            endsAt = 0;
            throw error;
          }),
        ),
      );
      for (const outcome of ended) if (outcome.status === 'rejected') throw outcome.reason;

      const last = await live.sandbox.run(['compact', 't']);
      expect(last.status, last.stderr).to.equal(0);
      const { startOffset, nextOffset } = await live.check();
      expect(startOffset, 'retention has deleted something').to.be.greaterThan(0);
      // A writer that is late to delete holds a segment more; a merged one stands beside its sources; indexes are small.
      expect(mostBytes).to.be.lessThan(RETENTION_BYTES * 1.25 + 6 * SEGMENT_BYTES);
      for (const [number, { openFiles, residentKilobytes }] of late.entries()) {
        const before = early[number] as Sample;
        expect(openFiles, 'open files').to.be.at.most(before.openFiles + 2);
        expect(residentKilobytes, 'resident').to.be.at.most(before.residentKilobytes * 1.5 + 16_384);
        expect(residentKilobytes).to.be.lessThan(160 * 1024);
      }
      const figures = late.map(
        (each, number) =>
          `${early[number]?.openFiles}→${each.openFiles} files, ` +
          `${Math.round((early[number]?.residentKilobytes ?? 0) / 1024)}→${Math.round(each.residentKilobytes / 1024)} MB`,
      );
      console.log(
        `        ${nextOffset} records, ${startOffset} deleted, ${counts.compacts} compacts (${counts.compactKills} killed), ` +
          `${counts.writerKills} writers killed, ${counts.verifications} verifications, ` +
          `at most ${Math.round(mostBytes / 1000)} kB; ${figures.join('; ')}`,
      );
    } finally {
      await live.remove();
    }
  });
});
