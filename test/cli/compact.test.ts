import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sandbox, type Outcome } from './fastqueue.ts';
import { framePositions } from '../support/recovery-scene.ts';

describe('fastqueue compact', () => {
  let sandbox: Sandbox;

  beforeEach(async () => {
    sandbox = new Sandbox();
    const batch = (number: number): string[] =>
      Array.from({ length: 4 }, (_, at) => `${'x'.repeat(90)}${4 * number + at}`);
    await sandbox.store(
      't',
      Array.from({ length: 15 }, (_, number) => batch(number)),
      { segmentBytes: 1024 },
    );
  });

  afterEach(() => {
    sandbox.remove();
  });

  const path = (name: string): string => join(sandbox.dataDirectory, 't', name);
  const stores = (): string[] => readdirSync(path('')).filter((name) => name.endsWith('.store'));

  async function json(...args: string[]): Promise<{ outcome: Outcome; report: Record<string, unknown> }> {
    const outcome = await sandbox.run(['compact', ...args, '--json']);
    return { outcome, report: JSON.parse(outcome.stdout.toString()) as Record<string, unknown> };
  }

  it('says what it did; consume gives the same bytes before and after', async () => {
    const before = await sandbox.run(['consume', 't', '-f', '%o %T %s\\n']);
    const count = stores().length;
    expect(count).to.be.greaterThan(5);
    const { status, stdout, stderr } = await sandbox.run(['compact', 't', '--merge-below', '64k']);
    expect(stderr).to.equal('');
    expect(stdout.toString()).to.match(
      /^t: 0 B freed, 2 segments\n {2}merged \d+ segments: offsets 0\.\.\d+, \S+ KiB to \S+ KiB\n$/,
    );
    expect(status).to.equal(0);
    expect(stores()).to.have.lengthOf(2);
    const after = await sandbox.run(['consume', 't', '-f', '%o %T %s\\n']);
    expect(after.stdout.equals(before.stdout)).to.equal(true);
    expect((await sandbox.run(['verify', 't'])).stdout.toString()).to.include('0 errors, 0 notes: sound');
  });

  it('changes nothing with --dry-run, and says in JSON the same as the run that follows', async () => {
    const args = ['t', '--before', '10', '--merge-below', '4k'];
    const before = stores();
    const planned = await json(...args, '-n');
    expect(stores()).to.deep.equal(before);
    const done = await json(...args);
    expect(planned.report).to.include({ type: 'report', topic: 't', dryRun: true });
    expect({ ...planned.report, dryRun: false }).to.deep.equal(done.report);
    expect(planned.outcome.status).to.equal(0);
    const text = await sandbox.run(['compact', 't', '-n', '--before', '60']);
    expect(text.stdout.toString()).to.match(
      /^t: .* would be freed, 1 segment\n {2}would drop \d+ segments .*\n {2}nothing was changed; to do it: fastqueue compact t --before 60\n$/,
    );
  });

  it('says of a dry run what would be done, as of none that it was, and what to do only where there is something', async () => {
    writeFileSync(path('00000000000000000000.index.tmp-x'), '');
    rmSync(path(stores()[1]!.replace('.store', '.index')));
    const planned = await sandbox.run(['compact', 't', '-n', '--before', '8', '--merge-below', '2k']);
    expect(planned.stdout.toString())
      .to.match(/would drop 1 segment/)
      .and.match(/would merge 2 segments: offsets/)
      .and.not.match(/ (dropped|merged|removed|rebuilt) /);
    await sandbox.run(['compact', 't']);
    const name = stores()[0]!;
    const bytes = readFileSync(path(name));
    bytes[framePositions(bytes)[1]! + 20]! ^= 1;
    writeFileSync(path(name), bytes);
    const damaged = await sandbox.run(['compact', 't', '-n']);
    expect(damaged.stdout.toString())
      .to.match(/damaged, left as it is/)
      .and.not.match(/to do it/);
  });

  it('exits 3 for a damaged segment, which it leaves alone, and still drops old ones', async () => {
    const name = stores()[3] as string;
    const bytes = readFileSync(path(name));
    bytes[framePositions(bytes)[1]! + 20]! ^= 1;
    writeFileSync(path(name), bytes);
    const { status, stdout } = await sandbox.run(['compact', 't', '--before', '8', '--merge-below', '64k']);
    expect(stdout.toString())
      .to.match(/dropped 1 segment/)
      .and.match(/damaged, left as it is: .*\n {6}next: fastqueue verify t\n/);
    expect(status).to.equal(3);
    expect(readFileSync(path(name)).equals(bytes)).to.equal(true);
    const planned = await json('t', '-n');
    expect(planned.outcome.status).to.equal(3);
  });

  it('exits 3 and does nothing where topic.json is gone', async () => {
    rmSync(path('topic.json'));
    const before = readdirSync(path(''));
    const { status, stdout } = await sandbox.run(['compact', 't', '--before', '40']);
    expect(stdout.toString()).to.include('topic.json is missing or damaged');
    expect(status).to.equal(3);
    expect(readdirSync(path(''))).to.deep.equal(before);
  });

  it('drops by --retain-bytes, by --retain-age and by the time that --before names', async () => {
    const { report } = await json('t', '--retain-bytes', '3k');
    expect((report['dropped'] as { segments: number }).segments).to.be.greaterThan(2);
    const { report: kept } = await json('t', '--retain-age', '1h', '--before', '@-1h');
    expect((kept['dropped'] as { segments: number }).segments).to.equal(0);
    const { report: rest } = await json('t', '--before', `@${Date.now() + 60_000}`);
    expect((rest['dropped'] as { segments: number }).segments).to.be.greaterThan(0);
    expect(stores()).to.have.lengthOf(1);
  });

  it('keeps everything with --retain-bytes none, whatever the topic says', async () => {
    await sandbox.run(['topics', 'set', 't', 'retentionBytes=2k']);
    const { report } = await json('t', '--retain-bytes', 'none');
    expect((report['dropped'] as { segments: number }).segments).to.equal(0);
  });

  it('compacts every topic where none is named, and finishes interrupted deletions', async () => {
    await sandbox.store('other', [['x']]);
    const left = join(sandbox.dataDirectory, '.deleted-0e8dd0f1-6f7c-4c5e-9d4e-0c5f0e8a3b52');
    mkdirSync(join(left, 'groups'), { recursive: true });
    writeFileSync(join(left, 'topic.json'), '{}');
    const planned = await sandbox.run(['compact', '-n']);
    expect(planned.stderr).to.equal('1 interrupted deletion of a topic would be finished\n');
    expect(existsSync(left)).to.equal(true);
    const { status, stdout, stderr } = await sandbox.run(['compact']);
    expect(stderr).to.equal('1 interrupted deletion of a topic finished\n');
    expect(stdout.toString()).to.match(/^other: .*nothing to do\nt: /);
    expect(status).to.equal(0);
    expect(existsSync(left)).to.equal(false);
  });

  it('stays within 160 MB when it merges segments of many megabytes', async () => {
    const size = 25_000_000;
    await sandbox.run(['topics', 'create', 'large', '--set', 'segmentBytes=25M']);
    const input = `${'y'.repeat(999)}\n`.repeat((3 * size) / 1000);
    await sandbox.run(['produce', 'large', '--batch-bytes', '4M'], { input });
    const peak = join(sandbox.directory, 'peak');
    const hook = fileURLToPath(new URL('../../bench/lib/peak.cjs', import.meta.url));
    const env = { PEAK_FILE: peak, NODE_OPTIONS: `--require=${hook}` };
    const { stdout } = await sandbox.run(['compact', 'large', '--merge-below', '1G'], { env });
    expect(stdout.toString()).to.match(/merged \d+ segments/);
    expect(Number(readFileSync(peak, 'utf8')) / 1024).to.be.lessThan(160);
  });

  it('says on the first line of its help that compaction by key comes with keys', async () => {
    const { stdout } = await sandbox.run(['compact', '--help']);
    expect(stdout.toString().split('\n')[0]).to.match(/compaction by key comes with keys/);
  });
});
