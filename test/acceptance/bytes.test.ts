/** What goes in comes out, and the files say the same to a reader that shares no code with the engine. */
import { expect } from 'chai';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync, spawnSync } from 'node:child_process';
import { Sandbox } from '../cli/fastqueue.ts';
import { readTopicFiles } from '../support/log-files.ts';

const MIB = 1024 * 1024;
const SIZES = [0, 1, 15, 16, 17, 255, 1023, 1024, 4096, 65_536, MIB - 16, MIB, 5 * MIB, 16 * MIB];

describe('bytes', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  const filesOf = (topic: string): Buffer[] =>
    readTopicFiles(join(sandbox.dataDirectory, topic), { index: 1024 }).map(({ payload }) => payload);

  const random = (sizes: readonly number[], forbidden: number | undefined): Buffer[] =>
    sizes.map((size) => {
      const bytes = randomBytes(size);
      if (forbidden !== undefined)
        for (let at = 0; at < size; at++) if (bytes[at] === forbidden) bytes[at] = forbidden ^ 1;
      return bytes;
    });

  const join32 = (payloads: readonly Buffer[]): Buffer =>
    Buffer.concat(
      payloads.flatMap((payload) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(payload.length);
        return [length, payload];
      }),
    );

  const terminated = (payloads: readonly Buffer[], byte: number): Buffer =>
    Buffer.concat(payloads.flatMap((payload) => [payload, Buffer.of(byte)]));

  const manySizes = (): number[] => [...SIZES, ...Array.from({ length: 2000 }, () => randomInt(300))];

  const ways: [string, string[], string[], number | undefined, (payloads: Buffer[]) => Buffer][] = [
    ['lines', [], [], 10, (payloads) => terminated(payloads, 10)],
    ['NUL-separated records', ['-0'], ['-0'], 0, (payloads) => terminated(payloads, 0)],
    ['length-prefixed records', ['-i', 'len32be'], ['--framing', 'len32be'], undefined, join32],
  ];
  for (const [what, produceFlags, consumeFlags, forbidden, join] of ways) {
    it(`come back identical as ${what} of 0 B to 16 MiB, and stand so in the files`, async () => {
      const payloads = random(manySizes(), forbidden);
      const input = join(payloads);
      const produced = await sandbox.run(['produce', 't', ...produceFlags], { input });
      expect(produced.status, produced.stderr).to.equal(0);
      const consumed = await sandbox.run(['consume', 't', ...consumeFlags]);
      expect(consumed.stdout.equals(input), 'consumed bytes').to.equal(true);
      expect(Buffer.concat(filesOf('t')).equals(Buffer.concat(payloads)), 'stored bytes').to.equal(true);
    });
  }

  it('come back identical through consume --json and produce -i json', async () => {
    const payloads = random(manySizes(), undefined);
    await sandbox.run(['produce', 'a', '-i', 'len32be'], { input: join32(payloads) });
    const { stdout } = await sandbox.run(['consume', 'a', '--json']);
    const copied = await sandbox.run(['produce', 'b', '-i', 'json'], { input: stdout });
    expect(copied.status, copied.stderr).to.equal(0);
    const stored = filesOf('b');
    expect(Buffer.concat(stored).equals(Buffer.concat(payloads))).to.equal(true);
    expect(stored.map(({ length }) => length)).to.deep.equal(payloads.map(({ length }) => length));
  });

  it('of each file are one record with -i raw', async () => {
    const payloads = random([0, 1, 16 * MIB, 777], undefined);
    const paths = payloads.map((payload, number) => {
      const path = join(sandbox.directory, `file-${number}`);
      writeFileSync(path, payload);
      return path;
    });
    await sandbox.run(['produce', 't', '-i', 'raw', ...paths]);
    expect(filesOf('t').map((payload, at) => payload.equals(payloads[at]!))).to.deep.equal([
      true,
      true,
      true,
      true,
    ]);
  });

  it("of a tar archive, of file names and of a package manager's log are what they were", async () => {
    const directory = join(sandbox.directory, 'tree');
    mkdirSync(join(directory, 'with\nnewline'), { recursive: true });
    writeFileSync(join(directory, 'with\nnewline', 'a'), randomBytes(100_000));
    const archive = execFileSync('tar', ['-c', '-C', directory, '.']);
    const names = execFileSync('find', ['/usr/share', '-xdev', '-print0'], { maxBuffer: 1e9 });
    const log = spawnSync('npm', ['prefix', '--loglevel', 'silly']).stderr;
    const jobs: [string, string[], string[], Buffer][] = [
      ['archive', ['-i', 'raw'], ['-D', ''], archive],
      ['names', ['-0'], ['-0'], names],
      ['log', [], [], log],
    ];
    for (const [topic, produceFlags, consumeFlags, input] of jobs) {
      await sandbox.run(['produce', topic, ...produceFlags], { input });
      const { stdout } = await sandbox.run(['consume', topic, ...consumeFlags]);
      expect(stdout.equals(input), topic).to.equal(true);
    }
  });

  it('stand in sound segments whether the clock goes back or says 2099', async () => {
    const clock = (shiftMs: number): Record<string, string> => {
      const path = join(sandbox.directory, `clock${shiftMs}.mjs`);
      writeFileSync(path, `const now = Date.now; Date.now = () => now() + ${shiftMs};`);
      return { NODE_OPTIONS: `--import=${path}` };
    };
    // A clock of 2099 would let retention take what is 73 years old by it.
    await sandbox.run(['topics', 'create', 't', '--set', 'retentionAgeMs=none']);
    const years73 = 73 * 365 * 86_400_000;
    for (const [line, shiftMs] of [
      ['now', 0],
      ['2099', years73],
      ['back', 0],
      ['a little back', -30_000],
      ['hours back', -7_200_000],
    ] as const) {
      const { status, stderr } = await sandbox.run(['produce', 't'], {
        input: `${line}\n`,
        env: clock(shiftMs),
      });
      expect(status, stderr).to.equal(0);
    }
    const records = readTopicFiles(join(sandbox.dataDirectory, 't'), { index: 1024 });
    expect(records.map(({ payload }) => payload.toString())).to.deep.equal([
      'now',
      '2099',
      'back',
      'a little back',
      'hours back',
    ]);
    const year = (at: number): number => new Date(records[at]!.timestamp).getUTCFullYear();
    expect(year(1)).to.be.at.least(2098);
    expect(year(2), 'one wrong clock does not freeze time').to.be.lessThan(2098);
  });
});
