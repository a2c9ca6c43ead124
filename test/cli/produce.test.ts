import { expect } from 'chai';
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { produce, type ProduceRequest } from '../../src/cli/produce/produce.ts';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { outputInto } from '../support/stand-in-output.ts';
import { opened, outcomeOf, Sandbox, seen } from './fastqueue.ts';

describe('produce', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  /** Payloads as hexadecimal. */
  const payloads = (topic: string): string[] =>
    sandbox.stored(topic).map((payload) => payload.toString('hex'));

  const hex = (...texts: string[]): string[] => texts.map((text) => Buffer.from(text).toString('hex'));

  const splitting: [string, string[], string, string[]][] = [
    ['lines, with or without a newline at the end', [], 'a\nb', hex('a', 'b')],
    ['empty lines as empty records', [], '\n\na\n\n', hex('', '', 'a', '')],
    ['carriage returns as bytes like any other', [], 'a\r\nb\r\n', hex('a\r', 'b\r')],
    ['NUL-separated records', ['-0'], 'a\nb\0c\0', hex('a\nb', 'c')],
    ['another delimiter of several bytes', ['-D', '\\r\\n--'], 'a\r\n--b\r\n-\r\n--', hex('a', 'b\r\n-')],
    ['the whole input as one record', ['-i', 'raw'], 'a\nb\n', hex('a\nb\n')],
    ['an empty input as one empty record with -i raw', ['-i', 'raw'], '', hex('')],
    ['length-prefixed records', ['-i', 'len32be'], '\0\0\0\x03a\nb\0\0\0\0', hex('a\nb', '')],
    [
      'JSON lines, gaps left out',
      ['-i', 'json'],
      '{"payload":"é"}\n{"type":"gap"}\n\n{"payload_base64":"/w=="}',
      ['c3a9', 'ff'],
    ],
    [
      'JSON lines with every member that consume --json prints',
      ['-i', 'json'],
      '{"type":"record","topic":"u","offset":7,"timestamp":1,"payload":"a"}\n' +
        '{"type":"gap","topic":"u","offset":8,"count":2,"reason":"damage"}\n' +
        '{"type":"record","topic":"u","offset":10,"timestamp":1,"payload_base64":"/w=="}\n',
      ['61', 'ff'],
    ],
    ['nothing as no records', [], '', []],
  ];
  for (const [what, flags, input, expected] of splitting) {
    it(`takes ${what}`, async () => {
      const { status } = await sandbox.run(['produce', 't', ...flags], { input });
      expect(status).to.equal(0);
      expect(payloads('t')).to.deep.equal(expected);
    });
  }

  it('says what it stored on stderr, and nothing on stdout', async () => {
    await sandbox.store('t', [['a', 'b']]);
    const { stdout, stderr } = await sandbox.run(['produce', 't'], { input: 'c\nd\ne\n' });
    expect(stderr).to.equal('produced 3 records to t: offsets 2..4, synced\n');
    expect(stdout).to.have.length(0);
  });

  it('prints the offsets of each batch once it is durable', async () => {
    const { stdout, stderr } = await sandbox.run(
      ['produce', 't', '--ack', 'offset', '--batch-bytes', '34', '-i', 'len32be'],
      {
        input: '\0\0\0\x01a\0\0\0\x01b\0\0\0\x01c',
      },
    );
    expect(stdout.toString()).to.equal('0..1\n2..2\n');
    expect(stderr).to.equal('');
  });

  it('makes no batch larger than a segment, or than a MiB where segments are smaller', async () => {
    const input = `${'x'.repeat(999)}\n`.repeat(6000);
    for (const [segmentBytes, largestBatch] of [
      [2_500_000, 2_500_000],
      [16_384, 1_048_576],
    ] as const) {
      await sandbox.store(`s${segmentBytes}`, [], { segmentBytes, indexIntervalBytes: 65536 });
      const { stdout } = await sandbox.run(['produce', `s${segmentBytes}`, '--ack', 'json'], { input });
      const acks = stdout
        .toString()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { count: number });
      expect(Math.max(...acks.map(({ count }) => count)) * 1015).to.be.within(
        largestBatch - 1015,
        largestBatch,
      );
    }
  });

  it('prints acknowledgements as JSON with the agreed fields', async () => {
    const { stdout } = await sandbox.run(['produce', 't', '--ack', 'json'], { input: 'a\n' });
    const ack = JSON.parse(stdout.toString()) as Record<string, unknown>;
    expect(ack).to.include({ type: 'ack', topic: 't', offset: 0, lastOffset: 0, count: 1 });
    expect(ack['timestamp']).to.be.a('number');
  });

  it('prints nothing at all with --ack none', async () => {
    const { stdout, stderr } = await sandbox.run(['produce', 't', '--ack', 'none'], { input: 'a\n' });
    expect(stdout.toString() + stderr).to.equal('');
  });

  it('reads files in order, each ending its last record, and - as standard input', async () => {
    writeFileSync(join(sandbox.directory, 'one'), 'a\nb');
    writeFileSync(join(sandbox.directory, 'two'), 'd\n');
    const files = [join(sandbox.directory, 'one'), '-', join(sandbox.directory, 'two')];
    await sandbox.run(['produce', 't', ...files], { input: 'c' });
    expect(payloads('t')).to.deep.equal(hex('a', 'b', 'c', 'd'));
  });

  it('stores what comes slowly as it comes', async () => {
    const child = sandbox.start(['produce', 't', '--ack', 'offset']);
    const ended = outcomeOf(child);
    child.stdin.write('a\n');
    await seen(child.stdout, '0..0\n');
    child.stdin.end('b\n');
    expect((await ended).stdout.toString()).to.equal('0..0\n1..1\n');
  });

  it('stores the lines behind one that came in pieces and is larger than a batch, with the input still open', async () => {
    const child = sandbox.start(['produce', 't', '--ack', 'offset', '--batch-bytes', '1k']);
    const ended = outcomeOf(child);
    const beginning = 'x'.repeat(3000);
    child.stdin.write(`a\n${beginning}`);
    await seen(child.stdout, '0..0\n');
    child.stdin.write('y\nb\nc\n');
    await seen(child.stdout, '2..3\n');
    child.stdin.end();
    expect((await ended).status).to.equal(0);
    expect(payloads('t')).to.deep.equal(hex('a', `${beginning}y`, 'b', 'c'));
  });

  it('gathers what comes within the linger time', async () => {
    const child = sandbox.start(['produce', 't', '--ack', 'offset', '--linger', '1h']);
    const ended = outcomeOf(child);
    child.stdin.write('a\n');
    child.stdin.end('b\n');
    expect((await ended).stdout.toString()).to.equal('0..1\n');
  });

  it('waits for the writer of a named pipe, and ends when that has gone', async () => {
    const pipe = join(sandbox.directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const produced = outcomeOf(sandbox.start(['produce', 't', pipe]));
    await promisify(execFile)('sh', ['-c', `{ echo a; echo b; } > ${pipe}`]);
    expect((await produced).status).to.equal(0);
    expect(payloads('t')).to.deep.equal(hex('a', 'b'));
  });

  it('copies its input to stdout with --tee', async () => {
    const input = randomBytes(300_000);
    const { stdout, status } = await sandbox.run(['produce', 't', '--tee', '-q'], { input });
    expect(status).to.equal(0);
    expect(stdout.equals(input)).to.equal(true);
  });

  it('goes on storing when the reader of --tee goes away', async () => {
    const child = sandbox.start(['produce', 't', '--tee', '-q']);
    const ended = outcomeOf(child);
    child.stdout.destroy();
    child.stdin.write('a\n'.repeat(100_000));
    child.stdin.end('last');
    expect((await ended).status).to.equal(0);
    expect(payloads('t')).to.have.length(100_001);
  });

  it('stores only if the first record gets the expected offset', async () => {
    expect((await sandbox.run(['produce', 't', '--expect-offset', '0'], { input: 'a' })).status).to.equal(0);
    expect((await sandbox.run(['produce', 't', '--expect-offset', '1'], { input: 'b' })).status).to.equal(0);
    const { status, stderr } = await sandbox.run(['produce', 't', '--expect-offset', '1'], { input: 'c' });
    expect(status).to.equal(6);
    expect(stderr.trim().split('\n').at(-1)).to.equal('stored 0 records; next input byte 0');
    expect(payloads('t')).to.deep.equal(hex('a', 'b'));
  });

  it('gives a receipt after a record that is too large, and what came before is stored', async () => {
    const { status, stderr } = await sandbox.run(['produce', 't', '--max-record-bytes', '4'], {
      input: 'a\nbb\ntoo large\nc\n',
    });
    expect(status).to.equal(1);
    const lines = stderr.trim().split('\n');
    expect(lines[0]).to.include('Record 3, at byte 5');
    expect(lines.at(-1)).to.equal('stored 2 records, offsets 0..1, synced; next input byte 5');
    expect(payloads('t')).to.deep.equal(hex('a', 'bb'));
  });

  it('takes a record of exactly the largest size and refuses one byte more', async () => {
    expect(
      (await sandbox.run(['produce', 't', '--max-record-bytes', '1000'], { input: 'x'.repeat(1000) })).status,
    ).to.equal(0);
    expect(
      (await sandbox.run(['produce', 't', '--max-record-bytes', '1000'], { input: 'x'.repeat(1001) })).status,
    ).to.equal(1);
    expect(
      (await sandbox.run(['produce', 't', '--max-record-bytes', '1000'], { input: `${'x'.repeat(1000)}\n` }))
        .status,
    ).to.equal(0);
  });

  it('leaves a record that takes all of its memory alone until it is stored, whatever comes behind it', async () => {
    const large = [Buffer.alloc(20 * 1024 * 1024, 'a'), Buffer.alloc(32 * 1024 * 1024 - 16, 'b')];
    const small = Buffer.from('behind it\n'.repeat(500));
    const input = Buffer.concat(large.flatMap((record) => [record, Buffer.from('\n'), small]));
    const file = join(sandbox.directory, 'large');
    writeFileSync(file, input);
    const largest = String(32 * 1024 * 1024 - 16);
    const { status, stderr } = await sandbox.run(['produce', 't', '--max-record-bytes', largest, file]);
    expect([status, stderr]).to.deep.equal([0, 'produced 1002 records to t: offsets 0..1001, synced\n']);
    const consumed = await sandbox.run(['consume', 't']);
    expect(consumed.stderr).to.equal('');
    expect(consumed.stdout.equals(input)).to.equal(true);
  });

  for (const [signal, expected] of [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`stores what had come completely when ${signal} comes, with a receipt`, async () => {
      const child = sandbox.start(['produce', 't', '--ack', 'offset']);
      const ended = outcomeOf(child);
      child.stdin.write('a\nb\nunfinished');
      await seen(child.stdout, '1\n');
      child.kill(signal);
      const { status, stderr } = await ended;
      expect(status).to.equal(expected);
      expect(stderr).to.equal('stored 2 records, offsets 0..1, synced; next input byte 4\n');
      expect(payloads('t')).to.deep.equal(hex('a', 'b'));
    });

    it(`ends with ${expected} when ${signal} comes while a named pipe has no writer yet`, async () => {
      const pipe = join(sandbox.directory, 'pipe');
      execFileSync('mkfifo', [pipe]);
      const first = join(sandbox.directory, 'first');
      writeFileSync(first, 'a\n');
      // A file's last line is stored when the next input makes produce wait: the pipe has no writer.
      const child = sandbox.start(['produce', 't', '--ack', 'offset', first, pipe]);
      const ended = outcomeOf(child);
      await seen(child.stdout, '0..0\n');
      child.kill(signal);
      expect((await ended).status).to.equal(expected);
    });
  }

  for (const [what, line] of [
    ['an empty line', ''],
    ['a gap', '{"type":"gap"}'],
  ] as const) {
    it(`stores JSON before ${what} without waiting for what comes behind that`, async () => {
      const child = sandbox.start(['produce', 't', '-i', 'json', '--ack', 'offset']);
      const ended = outcomeOf(child);
      child.stdin.write(`{"payload":"a"}\n{"payload":"b"}\n${line}\n`);
      await seen(child.stdout, '0..1\n');
      child.kill('SIGTERM');
      expect((await ended).stderr).to.include('stored 2 records, offsets 0..1, synced; next input byte 32\n');
    });
  }

  it('takes a line of JSON that a signal cuts off for unfinished, not for malformed', async () => {
    const child = sandbox.start(['produce', 't', '-i', 'json', '--ack', 'offset']);
    const ended = outcomeOf(child);
    child.stdin.write('{"payload":"a"}\n{"payl');
    await seen(child.stdout, '0..0\n');
    child.kill('SIGTERM');
    const { status, stderr } = await ended;
    expect(stderr).to.equal('stored 1 record, offsets 0..0, synced; next input byte 16\n');
    expect(status).to.equal(143);
  });

  const cutOffInputs: [ProduceRequest['format'], string, number, number][] = [
    ['lines', 'a\nb\nunfinished', 2, 4],
    ['json', '{"payload":"a"}\n{"payload":"b"}\n{"payl', 2, 32],
    ['len32be', '\0\0\0\x01a\0\0\0\x01b\0\0\0\x09unfin', 2, 10],
    ['raw', 'unfinished', 0, 0],
  ];
  for (const [format, input, recordCount, byte] of cutOffInputs) {
    it(`stores what was read completely as ${format} when the signal comes while --tee is writing it`, async () => {
      const file = join(sandbox.directory, 'input');
      writeFileSync(file, input);
      const stop = new AbortController();
      const report = await produce({
        dataDirectory: openDataDirectory(sandbox.dataDirectory, { map: false }),
        topic: 't',
        files: [file],
        format,
        delimiter: Buffer.from('\n'),
        batchBytes: 1024,
        lingerMs: 0,
        maxRecordBytes: 1024,
        expectedOffset: undefined,
        create: {},
        teeTo: outputInto(() => {
          stop.abort();
        }),
        onAck: () => Promise.resolve(),
        progress: { doneBytes: 0, totalBytes: undefined },
        listenForStop: () => stop.signal,
      });
      expect(report.failure).to.equal(undefined);
      expect(report.inputPosition.byte).to.equal(byte);
      expect(payloads('t')).to.deep.equal(hex('a', 'b').slice(0, recordCount));
    });
  }

  it('is ended by a signal while it waits for a topic that somebody else holds', async () => {
    await sandbox.run(['produce', 't'], { input: 'a\n' });
    const mark = new NodeFileSystem().open(join(sandbox.dataDirectory, 't', 'high-watermark'), 'update');
    expect(mark.tryLock()).to.equal(true);
    const child = sandbox.start(['produce', 't', '--lock-timeout', '1h']);
    const ended = outcomeOf(child);
    await opened(child, 'high-watermark');
    child.kill('SIGINT');
    expect((await ended).signal).to.equal('SIGINT');
    mark.close();
  });

  it('gives back any bytes through consume --json and produce -i json', async () => {
    const input = Buffer.concat([Buffer.from('\ufeffBOM\n"quotes"\\\n\u2028\n\n'), randomBytes(200_000)]);
    await sandbox.run(['produce', 't'], { input });
    const lines = await sandbox.run(['consume', 't', '--json']);
    const { status } = await sandbox.run(['produce', 'copy', '-i', 'json'], { input: lines.stdout });
    expect(status).to.equal(0);
    expect(payloads('copy')).to.deep.equal(payloads('t'));
  });

  it('stores the records before a line of JSON that is none, and says where that begins', async () => {
    const lines = ['{"payload":"one"}\n', '{"payload":"two"}\n'];
    const input = [...lines, 'nonsense\n', '{"payload":"three"}\n'].join('');
    const { status, stderr } = await sandbox.run(['produce', 't', '-i', 'json'], { input });
    expect(status).to.equal(1);
    expect(stderr).to.include('Line 3 ');
    expect(stderr).to.include(
      `stored 2 records, offsets 0..1, synced; next input byte ${lines.join('').length}`,
    );
    expect(sandbox.stored('t').map(String)).to.deep.equal(['one', 'two']);
  });

  for (const [what, long, says] of [
    ['a payload', 'x'.repeat(5), 'line 2 (it ends at byte 36)'],
    ['a line', 'x'.repeat(9000), 'line 2 (it begins at byte 16)'],
  ] as const) {
    it(`says where ${what} of JSON is that is too large, and stores the records before it`, async () => {
      const input = `{"payload":"a"}\n{"payload":"${long}"}${what === 'a line' ? '' : '\n'}`;
      const { status, stderr } = await sandbox.run(
        ['produce', 't', '-i', 'json', '--max-record-bytes', '4'],
        { input },
      );
      expect(status).to.equal(1);
      expect(stderr).to.include(says);
      expect(stderr).to.include('stored 1 record, offsets 0..0, synced; next input byte 16');
    });
  }

  it('gives back any bytes through lengths, whatever the batch size', async () => {
    const records = Array.from({ length: 300 }, (_, index) => randomBytes(index * 37));
    const input = Buffer.concat(
      records.map((payload) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(payload.length);
        return Buffer.concat([length, payload]);
      }),
    );
    for (const size of ['1', '1k', '64k', '32M']) {
      const topic = `t${size}`;
      await sandbox.run(['produce', topic, '-i', 'len32be', '--batch-bytes', size], { input });
      const stored = sandbox.stored(topic);
      expect(stored.map((payload, at) => payload.equals(records[at]!))).to.deep.equal(
        records.map(() => true),
      );
    }
  });

  it('takes records larger than half of its memory, one after the other', async () => {
    const large = randomBytes(20 * 1024 * 1024);
    const files = ['one', 'two'].map((name) => join(sandbox.directory, name));
    for (const file of files) writeFileSync(file, large);
    const { status } = await sandbox.run([
      'produce',
      't',
      '-i',
      'raw',
      '--max-record-bytes',
      '31M',
      ...files,
    ]);
    expect(status).to.equal(0);
    const { stdout } = await sandbox.run(['consume', 't', '-D', '']);
    expect(stdout.equals(Buffer.concat([large, large]))).to.equal(true);
  });

  it('prints what is in force and where it came from', async () => {
    mkdirSync(sandbox.dataDirectory);
    writeFileSync(
      join(sandbox.dataDirectory, 'fastqueue.json'),
      '{"lockTimeoutMs":"2s","maxRecordBytes":"1M"}',
    );
    const { stdout } = await sandbox.run(['produce', 't', '--print-config', '--linger', '5ms'], {
      env: { FASTQUEUE_BATCH_BYTES: '64k', FASTQUEUE_LOCK_TIMEOUT: '3s', FASTQUEUE_MAX_RECORD_BYTES: '' },
    });
    const lines = stdout
      .toString()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(lines).to.deep.include(['batchBytes', '64 KiB', 'FASTQUEUE_BATCH_BYTES']);
    expect(lines).to.deep.include(['lingerMs', '5ms', '--linger']);
    expect(lines).to.deep.include(['lockTimeoutMs', '3s', 'FASTQUEUE_LOCK_TIMEOUT']);
    expect(lines).to.deep.include(['maxRecordBytes', '1 MiB', 'fastqueue.json']);
  });
});
