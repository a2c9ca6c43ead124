import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { consume } from '../../src/cli/consume/consume.ts';
import { openDataDirectory } from '../../src/engine/index.ts';
import { encodeGroupPosition } from '../../src/engine/format/group-position.ts';
import { consumeRequest } from '../support/consume-request.ts';
import { describeWith, must } from '../support/root-tests.ts';
import { outputInto } from '../support/stand-in-output.ts';
import { opened, outcomeOf, Sandbox, seen } from './fastqueue.ts';

describe('consume', () => {
  let sandbox: Sandbox;

  beforeEach(async () => {
    sandbox = new Sandbox();
    await sandbox.store('t', [['a', 'b', 'c', 'd']]);
  });

  afterEach(() => {
    sandbox.remove();
  });

  const text = async (...args: string[]): Promise<string> =>
    (await sandbox.run(['consume', 't', ...args])).stdout.toString();

  const ranges: [string[], string][] = [
    [[], 'a\nb\nc\nd\n'],
    [['-o', '2'], 'c\nd\n'],
    [['-o', '-1'], 'd\n'],
    [['-o', '-10'], 'a\nb\nc\nd\n'],
    [['--offset=-2'], 'c\nd\n'],
    [['-o', 'end'], ''],
    [['-o', '4'], ''],
    [['-o', '1:3'], 'b\nc\n'],
    [['-o', ':1'], 'a\n'],
    [['-o', '3:'], 'd\n'],
    [['-o', '2:2'], ''],
    [['-o', 'earliest', '-n', '2'], 'a\nb\n'],
    [['-c', '1'], 'a\n'],
    [['-n', '0'], ''],
    [['-o', '99', '--clamp'], ''],
    [['-o', '2:99', '--clamp'], 'c\nd\n'],
    [['-o', '7:9', '--clamp'], ''],
    [['--since', '2001-01-01'], 'a\nb\nc\nd\n'],
    [['--since', '2101-01-01'], ''],
    [['--until', '2001-01-01'], ''],
    [['--until', '2101-01-01'], 'a\nb\nc\nd\n'],
    [['-o', '@2001-01-01T00:00:00Z:2101-01-01T00:00:00Z'], 'a\nb\nc\nd\n'],
    [['-o', 's@2001-01-01', '-o', 'e@2101-01-01'], 'a\nb\nc\nd\n'],
    [['-0'], 'a\0b\0c\0d\0'],
    [['-D', ', '], 'a, b, c, d, '],
    [['-D', ''], 'abcd'],
    [['-f', '%o:%s '], '0:a 1:b 2:c 3:d '],
    [['--framing', 'len32be', '-n', '2'], '\0\0\0\x01a\0\0\0\x01b'],
    [['--timeout', '10ms'], 'a\nb\nc\nd\n'],
    // Values that begin as a flag does.
    [['-o', '-0'], ''],
    [['-o', '-02'], 'c\nd\n'],
    [['--offset=-0'], ''],
    [['--since', '-0.5h'], 'a\nb\nc\nd\n'],
    [['--until=-0.5h'], ''],
    [['-n', '1', '-f', '-offset %o '], '-offset 0 '],
    [['-n1', '-f-c%o'], '-c0'],
    [['-n', '1', '--format=--json %s'], '--json a'],
    [['-n', '1', '-D', '-d-'], 'a-d-'],
    [['-qn1', '-D=-q'], 'a-q'],
    [['-n', '1', '-D', '=x'], 'a=x'],
    [['-n', '1', '-D==x'], 'a=x'],
  ];
  for (const [args, expected] of ranges) {
    it(`prints ${JSON.stringify(expected)} for ${args.length === 0 ? 'no flags' : args.join(' ')}`, async () => {
      const { stdout, stderr, status } = await sandbox.run(['consume', 't', ...args]);
      expect(stderr).to.equal('');
      expect(stdout.toString()).to.equal(expected);
      expect(status).to.equal(0);
    });
  }

  it('exits 124 when the time is up before the count is reached', async () => {
    const { stdout, status } = await sandbox.run(['consume', 't', '-n', '9', '--timeout', '50ms']);
    expect(stdout.toString()).to.equal('a\nb\nc\nd\n');
    expect(status).to.equal(124);
  });

  it('ends at the first record at or after --until that comes while it follows', async () => {
    const { stdout, status } = await sandbox.run(['consume', 't', '-F', '--until', '2001-01-01']);
    expect(stdout.toString()).to.equal('');
    expect(status).to.equal(0);
  });

  it('follows what others append, until it has enough', async () => {
    const child = sandbox.start(['consume', 't', '-F', '-n', '6']);
    const ended = outcomeOf(child);
    await seen(child.stdout, 'd\n');
    await sandbox.run(['produce', 't'], { input: 'e\n' });
    await sandbox.store('t', [['f', 'g']]);
    const { stdout, status } = await ended;
    expect(stdout.toString()).to.equal('a\nb\nc\nd\ne\nf\n');
    expect(status).to.equal(0);
  });

  it('waits for a range that is not there yet when it follows', async () => {
    const child = sandbox.start(['consume', 't', '-F', '-o', '3:5']);
    const ended = outcomeOf(child);
    await seen(child.stdout, 'd\n');
    await sandbox.store('t', [['e', 'f']]);
    expect((await ended).stdout.toString()).to.equal('d\ne\n');
  });

  for (const [signal, expected] of [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`ends a wait with ${expected} when ${signal} comes`, async () => {
      const child = sandbox.start(['consume', 't', '-F']);
      const ended = outcomeOf(child);
      await seen(child.stdout, 'd\n');
      child.kill(signal);
      expect((await ended).status).to.equal(expected);
    });
  }

  it('hears a signal though what it writes is taken at once, as files do', async () => {
    await sandbox.run(['produce', 'long'], { input: 'z'.repeat(999).concat('\n').repeat(4000) });
    const stop = new AbortController();
    const report = await consume(
      consumeRequest({
        dataDirectory: openDataDirectory(sandbox.dataDirectory),
        topic: 'long',
        form: { formatter: [({ payload }) => payload] },
        output: outputInto(() => {
          setImmediate(() => {
            stop.abort();
          });
        }),
        listenForStop: () => stop.signal,
      }),
    );
    expect(report.ending).to.equal('stopped');
    expect(report.recordCount).to.be.within(1, 3999);
  });

  it('is ended by a signal though its reader takes nothing', async () => {
    await sandbox.store('t', [Array.from({ length: 50_000 }, () => 'x'.repeat(99))]);
    const child = sandbox.start(['consume', 't', '-g', 'g']);
    const exited = once(child, 'exit');
    await opened(child, '/groups/g');
    // It listens by now, and the pipe is full.
    await new Promise((resolve) => setTimeout(resolve, 500));
    child.kill('SIGTERM');
    expect((await exited)[0]).to.equal(143);
    child.stdout.destroy();
    expect((await sandbox.run(['topics', 'show', 't'])).stdout.toString()).not.to.include('group g');
  });

  it('exits 0 when its reader has seen enough', async () => {
    await sandbox.store('t', [Array.from({ length: 50_000 }, () => 'x'.repeat(99))]);
    const child = sandbox.start(['consume', 't']);
    const closed = once(child, 'close');
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect((await closed)[0]).to.equal(0);
  });

  it('gives every byte to a reader that is slow', async () => {
    await sandbox.store('slow', [Array.from({ length: 3000 }, () => 'y'.repeat(999))]);
    const child = sandbox.start(['consume', 'slow']);
    let byteCount = 0;
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      byteCount += chunk.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(byteCount).to.equal(3000 * 1000);
  });

  it('prints one JSON object a record with the agreed fields', async () => {
    const lines = (await text('--json', '-n', '2')).trim().split('\n');
    const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records.map((record) => Object.keys(record))).to.deep.equal([
      ['type', 'topic', 'offset', 'timestamp', 'payload'],
      ['type', 'topic', 'offset', 'timestamp', 'payload'],
    ]);
    expect(records[1]).to.include({ type: 'record', topic: 't', offset: 1, payload: 'b' });
  });

  describe('with a group', () => {
    it('goes on where it stopped, and -o counts only the first time', async () => {
      expect(await text('-g', 'g', '-o', '1', '-n', '2')).to.equal('b\nc\n');
      expect(await text('-g', 'g', '-o', '0')).to.equal('d\n');
      expect(await text('-g', 'g')).to.equal('');
      expect(await text('-g', 'other', '-n', '1')).to.equal('a\n');
    });

    it('shows how far behind it is, and can be moved', async () => {
      await text('-g', 'g', '-n', '1');
      const shown = JSON.parse((await sandbox.run(['topics', 'show', 't', '--json'])).stdout.toString()) as {
        groups: { name: string; nextOffset: number; behind: number }[];
      };
      expect(shown.groups).to.have.length(1);
      expect(shown.groups[0]).to.include({ name: 'g', nextOffset: 1, behind: 3 });
      await sandbox.run(['topics', 'reset', 't', '--group', 'g', '--to', '-1']);
      expect(await text('-g', 'g')).to.equal('d\n');
    });

    it('has one consumer at a time: the second is told and exits 11', async () => {
      const child = sandbox.start(['consume', 't', '-F', '-g', 'g']);
      const ended = outcomeOf(child);
      await seen(child.stdout, 'd\n');
      const { status, stderr } = await sandbox.run(['consume', 't', '-g', 'g', '--lock-timeout', '50ms']);
      expect(stderr).to.include('has a consumer already');
      expect(status).to.equal(11);
      child.kill('SIGTERM');
      expect((await ended).status).to.equal(143);
    });

    it('is ended by a signal while it waits for another consumer of its group', async () => {
      const first = sandbox.start(['consume', 't', '-F', '-g', 'g']);
      await seen(first.stdout, 'd\n');
      const second = sandbox.start(['consume', 't', '-g', 'g', '--lock-timeout', '1h']);
      const ended = outcomeOf(second);
      await opened(second, 'groups/g');
      second.kill('SIGINT');
      expect((await ended).signal).to.equal('SIGINT');
      first.kill('SIGTERM');
      await once(first, 'close');
    });

    it('exits 3 where it stands past the end, and names the whole command that moves it', async () => {
      await text('-g', 'g');
      const position = encodeGroupPosition({ nextOffset: 9, storedAt: 0 });
      writeFileSync(join(sandbox.dataDirectory, 't', 'groups', 'g'), position);
      const { status, stderr } = await sandbox.run(['consume', 't', '-g', 'g']);
      expect(stderr).to.include('"fastqueue topics reset t --group g --to OFFSET"');
      expect(status).to.equal(3);
    });

    it('keeps its place when the reader goes away before it has taken anything', async () => {
      const child = sandbox.start(['consume', 't', '-g', 'g']);
      child.stdout.destroy();
      const [status] = (await once(child, 'close')) as [number];
      expect(status).to.equal(0);
      expect(await text('-g', 'g')).to.equal('a\nb\nc\nd\n');
    });
  });

  describe('where the log is damaged', () => {
    beforeEach(() => {
      // The payload of record 1: every frame here has 17 bytes, 16 of them header.
      const directory = join(sandbox.dataDirectory, 't');
      const store = readdirSync(directory).find((name) => name.endsWith('.store')) ?? '';
      const descriptor = openSync(join(directory, store), 'r+');
      writeSync(descriptor, 'X', 17 + 16);
      closeSync(descriptor);
    });

    it('prints what comes before, names the place and the next readable offset, and exits 3', async () => {
      const { stdout, stderr, status } = await sandbox.run(['consume', 't']);
      expect(stdout.toString()).to.equal('a\n');
      expect(stderr).to.include('byte 17').and.include('offset 2').and.include('fastqueue recover');
      expect(status).to.equal(3);
    });

    it('prints what lies behind it to whoever begins there, as it said, and exits 0', async () => {
      const { stdout, stderr, status } = await sandbox.run(['consume', 't', '-o', '2']);
      expect(stdout.toString()).to.equal('c\nd\n');
      expect(stderr).to.equal('');
      expect(status).to.equal(0);
    });

    it('steps over it when asked to, and still exits 3', async () => {
      const { stdout, stderr, status } = await sandbox.run(['consume', 't', '--on-damage', 'skip']);
      expect(stdout.toString()).to.equal('a\nc\nd\n');
      expect(stderr).to.include('offset 1');
      expect(status).to.equal(3);
    });

    it('exits 3 where what it stepped over is the mark, and everything that checks out was printed', async () => {
      writeFileSync(join(sandbox.dataDirectory, 't', 'high-watermark'), 'x'.repeat(64));
      const { stdout, stderr, status } = await sandbox.run([
        'consume',
        't',
        '-o',
        '2',
        '--on-damage',
        'skip',
      ]);
      expect(stdout.toString()).to.equal('c\nd\n');
      expect(stderr).to.include('high-water mark').and.include('fastqueue recover');
      expect(status).to.equal(3);
    });

    it('prints a gap among the JSON lines when asked to', async () => {
      const { stdout } = await sandbox.run(['consume', 't', '--on-damage', 'skip', '--json', '--gaps']);
      const types = stdout
        .toString()
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { type: string }).type);
      expect(types).to.deep.equal(['record', 'gap', 'record', 'record']);
    });
  });
});

describeWith(['losetup'], 'consume to a block device', () => {
  it('writes as to a file, and says where it is full', async () => {
    const sandbox = new Sandbox();
    const image = join(sandbox.directory, 'image');
    writeFileSync(image, Buffer.alloc(100 * 1024));
    const device = must('losetup', '--find', '--show', image).trim();
    try {
      const consumeTo = (topic: string): number | null => {
        const stdout = openSync(device, 'w');
        const args = ['bin/run.js', 'consume', topic, '-d', sandbox.dataDirectory];
        const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', stdout, 'ignore'] });
        closeSync(stdout);
        return status;
      };
      await sandbox.store('small', [['a', 'b', 'c', 'd']]);
      expect(consumeTo('small')).to.equal(0);
      expect(readFileSync(device).subarray(0, 8).toString()).to.equal('a\nb\nc\nd\n');
      await sandbox.store('large', [['x'.repeat(110_000)]]);
      expect(consumeTo('large')).to.equal(1);
    } finally {
      must('losetup', '--detach', device);
      sandbox.remove();
    }
  });
});
