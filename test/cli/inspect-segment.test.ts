import { expect } from 'chai';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox, type Outcome } from './fastqueue.ts';

/** A frame as the Java FastQueue2 writes it: the checksum is the XOR of the payload's sign-extended bytes. */
function javaFrame(payload: Buffer, timestamp: number): Buffer {
  const frame = Buffer.alloc(16 + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeBigInt64BE(BigInt(timestamp), 4);
  frame.writeInt32BE(
    payload.reduce((sum, _, at) => sum ^ payload.readInt8(at), 0),
    12,
  );
  payload.copy(frame, 16);
  return frame;
}

describe('inspect-segment', () => {
  let sandbox: Sandbox;
  let store: string;

  beforeEach(async () => {
    sandbox = new Sandbox();
    await sandbox.store('t', [['hello', 'world', '', 'last']], { indexIntervalBytes: 64 });
    store = join(sandbox.dataDirectory, 't', `${'0'.repeat(20)}.store`);
  });

  afterEach(() => {
    sandbox.remove();
  });

  const inspect = (...args: string[]): Promise<Outcome> => sandbox.run(['inspect-segment', ...args]);
  const lines = ({ stdout }: Outcome): string[] => stdout.toString().trimEnd().split('\n');
  const report = ({ stdout }: Outcome): Record<string, unknown> =>
    JSON.parse(stdout.toString()) as Record<string, unknown>;

  function flip(path: string, at: number): void {
    const bytes = readFileSync(path);
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(path, bytes);
  }

  it('sums up a store, and exits 0 where it is sound', async () => {
    const outcome = await inspect(store, '--json');
    expect(outcome.status).to.equal(0);
    expect(report(outcome)).to.include({ type: 'report', baseOffset: 0, nextOffset: 4, records: 4, gaps: 0 });
    expect(report(outcome)['findings']).to.deep.equal([]);
  });

  it('lists a line a frame, goes on after damage, and exits 3', async () => {
    const withoutVariables = (outcome: Outcome): string[] =>
      lines(outcome).map((line) => line.replace(/ ts: \d+/, '').replace(/ crc: [0-9a-f]{8}/, ''));
    const sound = await inspect('-l', store);
    expect(sound.status).to.equal(0);
    expect(withoutVariables(sound)).to.deep.equal([
      'offset: 0 position: 0 size: 21 payload: 5 valid: true',
      'offset: 1 position: 21 size: 21 payload: 5 valid: true',
      'offset: 2 position: 42 size: 16 payload: 0 valid: true',
      'offset: 3 position: 58 size: 20 payload: 4 valid: true',
    ]);
    flip(store, 40);
    const damaged = await inspect('-l', store);
    expect(damaged.status).to.equal(3);
    expect(withoutVariables(damaged)[1]).to.match(
      /^offset: 1 position: 21 size: 21 .*valid: false.* bad_checksum/,
    );
    expect(withoutVariables(damaged)[2]).to.equal('offset: 2 position: 42 size: 16 payload: 0 valid: true');
    expect((await inspect(store, '--json')).status).to.equal(3);
  });

  it('takes a last frame of a copy that is not whole for what a live file has', async () => {
    const copy = join(sandbox.directory, 'copy');
    mkdirSync(copy);
    const path = join(copy, `${'0'.repeat(20)}.store`);
    writeFileSync(path, readFileSync(store));
    truncateSync(path, 70);
    const outcome = await inspect(path, '--json');
    expect(outcome.status).to.equal(0);
    expect(report(outcome)).to.include({ records: 3 });
  });

  it('finds the base offset of a renamed copy from its checksums', async () => {
    await sandbox.store('t', [Array.from({ length: 40 }, () => 'more')]);
    const path = join(sandbox.directory, 'evidence.store');
    writeFileSync(path, readFileSync(store).subarray(42));
    expect(report(await inspect(path, '--json'))).to.include({ baseOffset: 2, nextOffset: 44 });
  });

  it('shows only the offsets, the positions or the count that are asked for', async () => {
    const offsets = async (...args: string[]): Promise<number[]> =>
      lines(await inspect(store, ...args)).map((line) => Number(/offset: (\d+)/.exec(line)![1]));
    expect(await offsets('--offset', '1:3')).to.deep.equal([1, 2]);
    expect(await offsets('--offset', '2')).to.deep.equal([2]);
    expect(await offsets('--position', '21:42')).to.deep.equal([1]);
    expect(await offsets('-n', '2')).to.deep.equal([0, 1]);
  });

  it('shows payloads when asked to, and none with --redact', async () => {
    expect((await inspect(store, '-p', '--offset', '0')).stdout.toString()).to.include('hello');
    expect((await inspect(store, '--hexdump', '--offset', '0')).stdout.toString()).to.include(
      '68 65 6c 6c 6f',
    );
    for (const flag of ['-p', '--hexdump'])
      expect((await inspect(store, flag, '--redact')).stdout.toString()).not.to.match(/hello|68 65/);
  });

  it('explains bytes, holds the index against the store, and refuses what is no file', async () => {
    expect((await inspect(store, '--at', '22', '--explain')).stdout.toString()).to.match(/offset:? 1/);
    const index = await inspect('--index', '-l', store);
    expect(index.status).to.equal(0);
    expect((await inspect('/no/such/file')).status).to.be.oneOf([1, 2]);
    for (const args of [[], [store, '--offset', 'x'], [store, '--checksum', 'md5']])
      expect((await inspect(...args)).status, args.join(' ')).to.equal(2);
  });

  it('reads files of the Java FastQueue2, and finds what is damaged in them', async () => {
    const path = join(sandbox.directory, 'segment-7.store');
    const payloads = ['one', 'zwei', '\u00ff\u0080 bytes', ''].map((text) => Buffer.from(text, 'latin1'));
    writeFileSync(
      path,
      Buffer.concat(payloads.map((payload, at) => javaFrame(payload, 1_500_000_000_000 + at))),
    );
    const sound = await inspect('--checksum', 'xor8', path, '--json');
    expect(sound.status).to.equal(0);
    expect(report(sound)).to.include({ baseOffset: 7, nextOffset: 11, records: 4 });
    flip(path, 17);
    expect((await inspect('--checksum', 'xor8', path)).status).to.equal(3);
    expect((await inspect('--checksum', 'none', path)).status).to.equal(0);
  });
});
