import { expect } from 'chai';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Sandbox } from './fastqueue.ts';

describe('topics', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  async function json(...args: string[]): Promise<Record<string, unknown>[]> {
    const { stdout, status, stderr } = await sandbox.run([...args, '--json']);
    expect(stderr).to.equal('');
    expect(status).to.equal(0);
    const lines = stdout
      .toString()
      .split('\n')
      .filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it('tells of the records that a killed writer has left behind the mark: the next one goes on behind them', async () => {
    await sandbox.store('t', [['x', 'y']]);
    const markPath = join(sandbox.dataDirectory, 't', 'high-watermark');
    const mark = readFileSync(markPath);
    for (const show of [['topics', 'show', 't'], ['topics']]) {
      await sandbox.store('t', [['left']]);
      writeFileSync(markPath, mark);
      const [{ nextOffset }] = (await json(...show)) as [{ nextOffset: number }];
      const { status } = await sandbox.run(['produce', 't', '--expect-offset', String(nextOffset)], {
        input: 'z\n',
      });
      expect(status).to.equal(0);
    }
  });

  it('lists every topic with what it holds', async () => {
    await sandbox.store('b', [['x', 'y']]);
    await sandbox.run(['topics', 'create', 'a']);
    const [a, b] = await json('topics');
    expect(a).to.include({
      type: 'topic',
      topic: 'a',
      count: 0,
      startOffset: 0,
      nextOffset: 0,
      firstTimestamp: null,
    });
    expect(b).to.include({ topic: 'b', count: 2, nextOffset: 2, segments: 1, bytes: 34 });
    const { stdout } = await sandbox.run(['topics']);
    expect(
      stdout
        .toString()
        .split('\n')
        .map((line) => line.split(/ +/)[0]),
    ).to.deep.equal(['TOPIC', 'a', 'b', '']);
  });

  it('lists the others beside a damaged one, names it and exits 3', async () => {
    for (const topic of ['a', 'b', 'c']) await sandbox.store(topic, [['x']]);
    writeFileSync(join(sandbox.dataDirectory, 'b', 'high-watermark'), 'x'.repeat(64));
    const { stdout, stderr, status } = await sandbox.run(['topics', '--json']);
    expect(stdout.toString().match(/"topic":"."/g)).to.deep.equal(['"topic":"a"', '"topic":"c"']);
    expect(stderr).to.include('fastqueue recover b');
    expect(status).to.equal(3);
  });

  for (const args of [['produce'], ['consume'], ['topics', 'show'], ['topics', 'delete', '--yes']]) {
    it(`says what to do where the high-water mark is missing, and exits 3: ${args.join(' ')}`, async () => {
      await sandbox.store('t', [['x']]);
      unlinkSync(join(sandbox.dataDirectory, 't', 'high-watermark'));
      const { status, stderr } = await sandbox.run([...args, 't'], { input: 'y\n' });
      expect(stderr).to.include('fastqueue recover t');
      expect(status).to.equal(3);
      expect(existsSync(join(sandbox.dataDirectory, 't', 'high-watermark'))).to.equal(false);
    });
  }

  it('creates with settings from flag, environment, fastqueue.json and default, in that order', async () => {
    mkdirSync(sandbox.dataDirectory);
    const file = { segmentBytes: '3M', indexIntervalBytes: 2048, retentionAgeMs: '2d' };
    writeFileSync(join(sandbox.dataDirectory, 'fastqueue.json'), JSON.stringify(file));
    const env = { FASTQUEUE_SEGMENT_BYTES: '2M', FASTQUEUE_INDEX_INTERVAL_BYTES: '4k' };
    await sandbox.run(['topics', 'create', 't', '--set', 'segmentBytes=1M'], { env });
    const [topic] = await json('topics', 'show', 't');
    expect(topic?.['settings']).to.deep.equal({
      segmentBytes: 1024 ** 2,
      indexIntervalBytes: 4096,
      retentionAgeMs: 2 * 86_400_000,
      retentionBytes: 0,
    });
  });

  it('says where each setting would come from, and makes nothing', async () => {
    const { stdout } = await sandbox.run([
      'topics',
      'create',
      't',
      '--print-config',
      '--set',
      'segmentBytes=1M',
    ]);
    expect(stdout.toString().split('\n')[0]?.split(/ {2,}/)).to.deep.equal([
      'segmentBytes',
      '1 MiB',
      '--set',
    ]);
    expect(existsSync(sandbox.dataDirectory)).to.equal(false);
  });

  it('changes settings for whoever appends next, and keeps the others', async () => {
    await sandbox.store('t', [['x'.repeat(600), 'x'.repeat(600)]], { retentionAgeMs: 86_400_000 });
    const [changed] = await json('topics', 'set', 't', 'segmentBytes=1k');
    expect(changed?.['settings']).to.include({ segmentBytes: 1024, retentionAgeMs: 86_400_000 });
    await sandbox.run(['produce', 't'], { input: 'y\n' });
    const [topic] = await json('topics', 'show', 't');
    expect(topic).to.include({ segments: 2, nextOffset: 3 });
  });

  it('deletes a topic with everything in it, and one of the same name begins at 0', async () => {
    await sandbox.store('t', [['x']]);
    await sandbox.run(['consume', 't', '-g', 'g']);
    expect((await sandbox.run(['topics', 'delete', 't', '--yes'])).status).to.equal(0);
    expect(await json('topics')).to.deep.equal([]);
    await sandbox.store('t', [['y']]);
    const { stdout } = await sandbox.run(['consume', 't', '-g', 'g', '-f', '%o %s']);
    expect(stdout.toString()).to.equal('0 y');
  });

  it('deletes a link that stands in the topic, and nothing of what it leads to', async () => {
    const elsewhere = join(sandbox.directory, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'precious'), 'still here');
    await sandbox.store('t', [['x']]);
    symlinkSync(elsewhere, join(sandbox.dataDirectory, 't', 'quarantine'));
    const { status, stderr } = await sandbox.run(['topics', 'delete', 't', '--yes']);
    expect(status, stderr).to.equal(0);
    expect(readFileSync(join(elsewhere, 'precious'), 'utf8')).to.equal('still here');
    expect(readdirSync(sandbox.dataDirectory)).to.deep.equal([]);
  });

  it('deletes no directory that is not a topic', async () => {
    const plain = join(sandbox.dataDirectory, 'plain');
    mkdirSync(plain, { recursive: true });
    writeFileSync(join(plain, 'notes'), '');
    expect((await sandbox.run(['topics', 'delete', 'plain', '--yes'])).status).to.equal(10);
    expect(readdirSync(plain)).to.deep.equal(['notes']);
  });

  it('moves a group to where a spec says', async () => {
    await sandbox.store('t', [['a', 'b', 'c']]);
    const [reset] = await json('topics', 'reset', 't', '--group', 'g', '--to', '-2');
    expect(reset).to.deep.equal({ type: 'group', topic: 't', group: 'g', nextOffset: 1 });
    expect((await sandbox.run(['consume', 't', '-g', 'g'])).stdout.toString()).to.equal('b\nc\n');
  });

  it('shows no group that has taken nothing yet', async () => {
    await sandbox.store('t', [['a']]);
    await sandbox.run(['consume', 't', '-g', 'g', '-n', '0']);
    const [topic] = await json('topics', 'show', 't');
    expect(topic?.['groups']).to.deep.equal([]);
  });

  it('gives a group whose file is damaged a new place', async () => {
    await sandbox.store('t', [['a', 'b']]);
    await sandbox.run(['consume', 't', '-g', 'g']);
    writeFileSync(join(sandbox.dataDirectory, 't', 'groups', 'g'), 'x'.repeat(24));
    const refused = await sandbox.run(['consume', 't', '-g', 'g']);
    expect(refused.status).to.equal(3);
    expect(refused.stderr).to.include('topics reset');
    expect((await sandbox.run(['topics', 'reset', 't', '--group', 'g', '--to', 'end'])).status).to.equal(0);
    expect((await sandbox.run(['consume', 't', '-g', 'g'])).status).to.equal(0);
  });
});
