/**
 * Writers, followers and a random reader as separate processes on one topic of small segments, one writer killed and
 * restarted at random. Afterwards every line of every writer is in the log once, in that writer's order, and both
 * followers saw exactly the log.
 */
import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { outcomeOf, Sandbox } from '../cli/fastqueue.ts';
import { readTopicFiles } from './log-files.ts';

const WRITERS = 4;
const FLAGS = ['--batch-bytes', '4k', '--ack', 'none'];

const linesOf = (writer: number, from: number, count: number): string =>
  Array.from({ length: count - from }, (_, at) => `w${writer}:${from + at}\n`).join('');

interface Sight {
  readonly offset: number;
  readonly payload: string;
}

export async function manyProcesses(
  recordsPerWriter: number,
  kills: number,
): Promise<{ sights: number; kills: number }> {
  const sandbox = new Sandbox();
  try {
    await sandbox.run(['topics', 'create', 't', '--set', 'segmentBytes=64kB']);
    const total = String(WRITERS * recordsPerWriter);
    const followers = [0, 1].map(() =>
      outcomeOf(sandbox.start(['consume', 't', '-F', '-n', total, '-f', '%o %s\\n'])),
    );
    const stop = new AbortController();
    const sights = readAtRandom(sandbox.dataDirectory, stop.signal);
    const steady = Array.from({ length: WRITERS - 1 }, async (_, at) => {
      const outcome = await sandbox.run(['produce', 't', ...FLAGS], {
        input: linesOf(at + 1, 0, recordsPerWriter),
      });
      expect(outcome.status, outcome.stderr).to.equal(0);
    });
    const killCount = await writeWithKills(sandbox, recordsPerWriter, kills);
    await Promise.all(steady);
    const seen = await Promise.all(followers);
    stop.abort();

    const records = readTopicFiles(join(sandbox.dataDirectory, 't'), { index: 0 });
    const log = records.map(({ offset, payload }) => `${offset} ${payload.toString()}\n`).join('');
    for (const follower of seen)
      expect(follower.stdout.toString() === log, 'a follower sees exactly the log').to.equal(true);
    for (let writer = 0; writer < WRITERS; writer++) {
      const own = records
        .map(({ payload }) => payload.toString())
        .filter((line) => line.startsWith(`w${writer}:`));
      expect(
        own.map((line) => `${line}\n`).join('') === linesOf(writer, 0, recordsPerWriter),
        `writer ${writer}`,
      ).to.equal(true);
    }
    const looked = await sights;
    for (const { offset, payload } of looked) expect(payload).to.equal(records[offset]!.payload.toString());
    return { sights: looked.length, kills: killCount };
  } finally {
    sandbox.remove();
  }
}

/** Writer 0: killed after a while, it looks in the log for how far it came and goes on from there. */
async function writeWithKills(sandbox: Sandbox, recordCount: number, kills: number): Promise<number> {
  let killCount = 0;
  let from = 0;
  while (from < recordCount) {
    const child = sandbox.start(['produce', 't', ...FLAGS]);
    child.stdin.on('error', () => undefined);
    child.stdin.end(linesOf(0, from, recordCount));
    if (killCount < kills) {
      const ended = outcomeOf(child);
      await Promise.race([wait(150 + Math.random() * 200), ended]);
      if (child.kill('SIGKILL')) killCount += 1;
      await ended;
    } else {
      const outcome = await outcomeOf(child);
      expect(outcome.status, outcome.stderr).to.equal(0);
    }
    // Settle what the dead writer left before its lines are counted.
    await sandbox.run(['produce', 't'], { input: '' });
    const { stdout } = await sandbox.run(['consume', 't']);
    from = stdout
      .toString()
      .split('\n')
      .filter((line) => line.startsWith('w0:')).length;
  }
  return killCount;
}

async function readAtRandom(dataDirectory: string, signal: AbortSignal): Promise<Sight[]> {
  const sights: Sight[] = [];
  const topic = await openDataDirectory(dataDirectory).openTopic('t', { mode: 'read' });
  while (!signal.aborted) {
    const { nextOffset, timestamp } = await topic.mark();
    if (nextOffset > 0) {
      const byTime = await topic.offsetAtTime(timestamp - Math.floor(Math.random() * 1000));
      for (const from of [Math.floor(Math.random() * nextOffset), Math.min(byTime, nextOffset - 1)]) {
        for await (const entry of topic.records({ from, until: Math.min(from + 3, nextOffset) }))
          if (entry.type === 'record')
            sights.push({ offset: entry.offset, payload: entry.payload.toString() });
      }
    }
    await wait(5);
  }
  await topic.close();
  return sights;
}

/** Waits of one writer beside another that never pauses, in milliseconds, ascending. */
export async function turnsBesideABusyWriter(turns: number): Promise<number[]> {
  const sandbox = new Sandbox();
  try {
    await sandbox.run(['topics', 'create', 't']);
    const busy = sandbox.start(['produce', 't', '--batch-bytes', '64k', '--ack', 'none']);
    busy.stdin.on('error', () => undefined);
    const chunk = Buffer.alloc(1024 * 1024, `${'busy '.repeat(20)}\n`);
    const feed = (): void => {
      while (busy.exitCode === null && busy.stdin.write(chunk));
    };
    busy.stdin.on('drain', feed);
    feed();
    const topic = await openDataDirectory(sandbox.dataDirectory).openTopic('t', { mode: 'append' });
    const waits: number[] = [];
    for (let turn = 0; turn < turns; turn++) {
      const begun = performance.now();
      await topic.append([Buffer.from(`turn ${turn}`)]);
      waits.push(performance.now() - begun);
      await wait(10);
    }
    await topic.close();
    const ended = outcomeOf(busy);
    busy.kill('SIGKILL');
    await ended;
    return waits.sort((a, b) => a - b);
  } finally {
    sandbox.remove();
  }
}
