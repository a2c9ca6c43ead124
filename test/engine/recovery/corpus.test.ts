/** The damaged corpus in fixtures/, with the real command: what it says of each damage, and its exit statuses. */
import { expect } from 'chai';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openDataDirectory } from '../../../src/engine/data-directory.ts';
import { recoverTopic, undoRecovery, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { Sandbox, type Outcome } from '../../cli/fastqueue.ts';
import { CORPUS_CASES, makeCorpus } from '../../support/corpus.ts';
import type { Expected, ExpectedJava } from '../../support/corpus/expected.ts';
import { snapshotOf, storesOf } from '../../support/recovery-scene.ts';

const FIXTURES = fileURLToPath(new URL('../../../fixtures', import.meta.url));

interface Lost {
  readonly from: number;
  readonly to: number;
}
interface FindingJson {
  readonly code: string;
  readonly path: string;
  readonly position: number | null;
  readonly bytes: number | null;
  readonly lost: readonly Lost[];
}

const pairs = (lost: readonly Lost[]): number[][] => lost.map(({ from, to }) => [from, to]);
const jsonOf = (outcome: Outcome): unknown => JSON.parse(outcome.stdout.toString());
const expectedOf = (name: string): unknown =>
  JSON.parse(readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8'));

describe('the damaged corpus', () => {
  it('is what its script makes, byte for byte', () => {
    const made = makeCorpus();
    const there = snapshotOf(FIXTURES);
    expect([...there.keys()].sort()).to.deep.equal([...made.keys()].sort());
    for (const [path, bytes] of made) expect(there.get(path)?.equals(bytes), path).to.equal(true);
  });

  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  for (const name of CORPUS_CASES) {
    it(`${name}: verify, inspect-segment, recover and its undo say and do what expected.json says`, async () => {
      const expected = expectedOf(name) as Expected;
      mkdirSync(sandbox.dataDirectory);
      cpSync(join(FIXTURES, name, 'data'), sandbox.dataDirectory, { recursive: true });
      const topic = join(sandbox.dataDirectory, 'orders');
      const before = snapshotOf(topic);

      const [verified, inspected] = await Promise.all([
        sandbox.run(['verify', 'orders', '--json']),
        sandbox.run(['inspect-segment', topic, '--json']),
      ]);
      expect(verified.status, verified.stderr).to.equal(expected.verify.exitStatus);
      const { findings } = jsonOf(verified) as { findings: FindingJson[] };
      const found = findings.map(({ path, code, position, bytes, lost }) => ({
        code,
        file: basename(path),
        position,
        bytes,
        lost: pairs(lost),
      }));
      expect(found).to.deep.equal(expected.verify.findings);
      const reports = inspected.stdout.toString().trimEnd().split('\n');
      const codes = reports.flatMap((line) => (JSON.parse(line) as { findings: FindingJson[] }).findings);
      expect(codes.map(({ code }) => code)).to.deep.equal(expected.inspect.codes);
      expect(inspected.status).to.equal(expected.inspect.exitStatus);
      const context = openDataDirectory(sandbox.dataDirectory).context('orders');
      const options = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 1000 };
      const plan = await recoverTopic(context, { ...options, dryRun: true });
      expect(pairs([...plan.lost])).to.deep.equal(expected.recover.lost);
      expect(snapshotOf(topic), 'nothing was changed until now').to.deep.equal(before);

      const recovered = await sandbox.run(['recover', 'orders', '--json']);
      expect(recovered.status, recovered.stderr).to.equal(expected.recover.exitStatus);
      const report = jsonOf(recovered) as Pick<RecoverReport, 'lost' | 'runs'>;
      expect(pairs([...report.lost])).to.deep.equal(expected.recover.lost);
      const repaired = snapshotOf(topic);
      const lost = new Set(expected.recover.lost.flatMap(([from, to]) => numbers(from, to)));
      const kept = numbers(0, 17).filter((offset) => !lost.has(offset));
      expect(await offsetsOf(sandbox)).to.deep.equal(kept);

      const again = await verifyTopic(context, { quick: false, onBytes: () => undefined });
      expect([...again.findings].filter(({ severity }) => severity === 'error')).to.deep.equal([]);
      expect([...(await recoverTopic(context, options)).repairs], 'a second recover').to.deep.equal([]);
      expect(snapshotOf(topic), 'after a second recover').to.deep.equal(repaired);

      for (const { run } of [...report.runs].reverse())
        await undoRecovery(context, { run, lockTimeoutMs: 1000 });
      const undone = storesOf(snapshotOf(topic));
      for (const [file, bytes] of storesOf(before))
        if (bytes !== '') expect(undone.get(file), file).to.equal(bytes);
    });
  }

  it('a dry run of recover exits 3 where there is something to repair, else 0', async () => {
    for (const [name, status] of [
      ['flipped-bit', 3],
      ['index-missing', 3],
      ['healthy', 0],
    ] as const) {
      const data = join(sandbox.directory, name);
      cpSync(join(FIXTURES, name, 'data'), data, { recursive: true });
      const planned = await sandbox.run(['recover', 'orders', '--dry-run', '--json', '-d', data]);
      expect(planned.status, name).to.equal(status);
    }
  });

  it('java-fastqueue2: inspect-segment --checksum xor8 reads every file, its index with its zero entries too', async () => {
    const { inspect } = expectedOf('java-fastqueue2') as ExpectedJava;
    const flags = ['inspect-segment', '--checksum', 'xor8', '--json'];
    const paths = inspect.map(({ file }) => join(FIXTURES, 'java-fastqueue2', file));
    for (const [at, each] of inspect.entries()) {
      const inspected = await sandbox.run([...flags, paths[at]!]);
      expect(inspected.status, each.file).to.equal(each.exitStatus);
      const report = jsonOf(inspected) as { baseOffset: number; records: number; findings: FindingJson[] };
      expect(report).to.include({ baseOffset: each.baseOffset, records: each.records });
      expect([...report.findings].map(({ code }) => code)).to.deep.equal(each.codes);
    }
    const indexes = await sandbox.run([...flags, ...paths.map((path) => path.replace(/\.\w+$/, '.index'))]);
    expect(indexes.status).to.equal(0);
    const reports = indexes.stdout.toString().trimEnd().split('\n');
    expect(reports).to.have.length(inspect.length);
    for (const [at, { index }] of inspect.entries())
      expect(JSON.parse(reports[at]!)).to.deep.include({ type: 'index', ...index });
  });
});

/** The offsets that have a record; each record says which one it belongs to. */
async function offsetsOf(sandbox: Sandbox): Promise<number[]> {
  const topic = await openDataDirectory(sandbox.dataDirectory).openTopic('orders', { mode: 'read' });
  const offsets: number[] = [];
  for await (const entry of topic.records()) {
    if (entry.type !== 'record') continue;
    expect(entry.payload.toString()).to.match(new RegExp(`^order ${entry.offset}: `));
    offsets.push(entry.offset);
  }
  await topic.close();
  return offsets;
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, number) => from + number);
