/** What is found in a log is not held in memory in words: a heap that the words of these damages do not fit into is enough. */
import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox } from './fastqueue.ts';

const DAMAGES = 12_000;
const FRAME_BYTES = 16 + 8;

/** Little more than what a command needs that finds nothing. */
const HEAP = { NODE_OPTIONS: '--max-old-space-size=12' };

describe(`a log with ${DAMAGES} damaged records`, () => {
  let sandbox: Sandbox;
  let store: string;

  before(async () => {
    sandbox = new Sandbox();
    const records = Array.from({ length: 2 * DAMAGES }, (_, number) => String(number).padStart(8, '0'));
    await sandbox.store('t', [records]);
    store = join(sandbox.dataDirectory, 't', '00000000000000000000.store');
    const bytes = readFileSync(store);
    for (let number = 1; number < records.length; number += 2) bytes[number * FRAME_BYTES + 20]! ^= 1;
    writeFileSync(store, bytes);
  });

  after(() => {
    sandbox.remove();
  });

  const LISTS: readonly [string, string, () => string[]][] = [
    ['verify', 'findings', () => ['verify', 't']],
    ['recover --dry-run', 'repairs', () => ['recover', 't', '--dry-run']],
    ['inspect-segment', 'findings', () => ['inspect-segment', store]],
  ];
  for (const [title, list, args] of LISTS) {
    it(`is told of by ${title} in little memory, in text and in one JSON document`, async () => {
      const text = await sandbox.run(args(), { env: HEAP });
      expect(text.status, text.stderr).to.equal(3);
      expect(text.stdout.toString().split('bad_checksum').length - 1).to.equal(DAMAGES);
      const json = await sandbox.run([...args(), '--json'], { env: HEAP });
      expect(json.status, json.stderr).to.equal(3);
      const report = JSON.parse(json.stdout.toString()) as Record<string, { code: string; lost: unknown }[]>;
      expect(report[list]).to.have.lengthOf(DAMAGES);
      expect(report[list]!.at(-1)).to.deep.include({
        code: 'bad_checksum',
        lost: [{ from: 2 * DAMAGES - 1, to: 2 * DAMAGES }],
      });
    });
  }
});
