/**
 * Rounds of `kill -9` at random moments of the real `produce`, each going on where the topic says it stands. Line n of
 * the input is record n of the topic for ever, or a round has lost, doubled or moved one.
 */
import { expect } from 'chai';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { outcomeOf, Sandbox } from '../cli/fastqueue.ts';
import { readTopicFiles } from './log-files.ts';

export const lineOf = (number: number): string => `${number}:`.padEnd(60 + (number % 50), 'abcdefghij');

/** More than is stored before the kill comes. */
const LINES_PER_ROUND = 40_000;

export async function killRounds(rounds: number): Promise<{ acknowledged: number; stored: number }> {
  const sandbox = new Sandbox();
  try {
    await sandbox.run(['topics', 'create', 't', '--set', 'segmentBytes=200kB']);
    let nextOffset = 0;
    let acknowledged = 0;
    for (let round = 0; round < rounds; round++) {
      const child = sandbox.start([
        'produce',
        't',
        '--ack',
        'offset',
        '--batch-bytes',
        // Batches of 64 KiB and more are written and synced by one call on another thread.
        round % 2 === 0 ? '8k' : '128k',
        '--expect-offset',
        String(nextOffset),
      ]);
      child.stdin.on('error', () => undefined);
      const from = nextOffset;
      child.stdin.end(Array.from({ length: LINES_PER_ROUND }, (_, at) => `${lineOf(from + at)}\n`).join(''));
      child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), Math.random() * 40));
      const { stdout, stderr } = await outcomeOf(child);
      const acks = [...stdout.toString().matchAll(/^(\d+)\.\.(\d+)$/gm)];
      expect(acks.length, stderr).to.be.greaterThan(0);
      acknowledged = Number(acks.at(-1)![2]) + 1;
      nextOffset = await settledNextOffset(sandbox);
      expect(nextOffset, 'acknowledged records are there').to.be.at.least(acknowledged);
    }
    const records = readTopicFiles(join(sandbox.dataDirectory, 't'), { index: 0 });
    expect(records.length).to.equal(nextOffset);
    for (const { offset, payload } of records) expect(payload.toString()).to.equal(lineOf(offset));
    return { acknowledged, stored: records.length };
  } finally {
    sandbox.remove();
  }
}

/** Opening for append settles what the dead writer left; then the topic says where it stands. */
async function settledNextOffset(sandbox: Sandbox): Promise<number> {
  const data = openDataDirectory(sandbox.dataDirectory, { map: false });
  const topic = await data.openTopic('t', { mode: 'append' });
  const { nextOffset } = await topic.status();
  await topic.close();
  return nextOffset;
}
