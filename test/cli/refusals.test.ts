import { expect } from 'chai';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox, type Outcome } from './fastqueue.ts';

interface Refusal {
  readonly args: string[];
  readonly status: number;
  /** Part of the sentence that says what to do. */
  readonly says: string;
  readonly input?: string;
}

/** A topic `events` with offsets 0 to before 3 is there. */
const REFUSALS: readonly Refusal[] = [
  { args: ['prodcue', 'events'], status: 2, says: 'Did you mean "fastqueue produce"?' },
  { args: ['help', 'prodcue'], status: 2, says: 'Did you mean "fastqueue produce"?' },
  { args: ['topics', 'shwo', 'events'], status: 2, says: 'Did you mean "fastqueue topics show"?' },
  { args: ['-d', 'data', 'topics'], status: 2, says: 'behind the command' },
  { args: ['topics', '-d', ''], status: 2, says: '--data-dir' },
  // What Node makes of a byte that is not UTF-8.
  { args: ['topics', '-d', 'a\ufffd'], status: 2, says: 'is not UTF-8' },
  { args: ['produce', 'events', '-D', '\ufffd'], status: 2, says: '\\xNN' },
  { args: ['produce', 'events', '--lock-timeout', '30d'], status: 2, says: 'between 0 and 1d, or none' },
  // Who never waits for a topic takes no time for it.
  { args: ['verify', '--lock-timeout', '1s'], status: 2, says: '--lock-timeout' },
  { args: ['inspect-segment', '.', '--lock-timeout', '1s'], status: 2, says: '--lock-timeout' },
  { args: ['topics', '--lock-timeout', '1s'], status: 2, says: '--lock-timeout' },
  { args: ['topics', 'show', 'events', '--lock-timeout', '1s'], status: 2, says: '--lock-timeout' },
  { args: ['recover', '--undo', 'x', '--out', 'y'], status: 2, says: '--out' },
  { args: ['recover', '--purge', 'x', '--try-bitflip'], status: 2, says: '--try-bitflip' },
  { args: ['recover', '--list-runs', '--out', 'y'], status: 2, says: '--out' },
  { args: ['produce'], status: 2, says: 'needs TOPIC' },
  { args: ['consume'], status: 2, says: 'needs TOPIC' },
  { args: ['consume', 'events', 'more'], status: 2, says: 'takes no argument "more"' },
  { args: ['consume', 'events', '--folow'], status: 2, says: 'Did you mean --follow?' },
  { args: ['produce', 'events', '--acks=all'], status: 2, says: 'Did you mean --ack?' },
  { args: ['produce', 'events', '--ack', 'all'], status: 2, says: 'summary, offset, json, none' },
  { args: ['produce', 'events', '--input', 'xml'], status: 2, says: 'lines, raw, json, len32be' },
  { args: ['produce', 'events', '--batch-bytes', '64q'], status: 2, says: '64k' },
  { args: ['produce', 'events', '--batch-bytes', '33M'], status: 2, says: 'between' },
  { args: ['produce', 'events', '--max-record-bytes', '32M'], status: 2, says: 'and 33554416 B' },
  { args: ['produce', 'events', '--linger', '5'], status: 2, says: '500ms' },
  { args: ['produce', 'events', '--expect-offset', '-1'], status: 2, says: 'whole number' },
  { args: ['produce', 'events', '-D', '\\q'], status: 2, says: 'escape' },
  { args: ['produce', 'events', '-D', ''], status: 2, says: '1 to 1024 bytes' },
  { args: ['produce', 'events', '-0', '-D', ';'], status: 2, says: '--null' },
  { args: ['produce', 'events', '-0', '-i', 'raw'], status: 2, says: 'no delimiter' },
  { args: ['produce', 'events', '--tee', '--ack', 'offset'], status: 2, says: '--ack summary' },
  { args: ['produce', '.hidden'], status: 2, says: 'not beginning with . or -' },
  { args: ['produce', 'a/b'], status: 2, says: 'A-Z a-z 0-9' },
  {
    args: ['produce', 'events', '-q', '-v'],
    status: 2,
    says: '--quiet cannot also be provided when using --verbose',
  },
  { args: ['produce', 'events', '--expect-offset', '7'], status: 6, says: 'not 7 as expected', input: 'x' },
  { args: ['produce', 'nowhere', '--no-create'], status: 10, says: 'fastqueue topics' },
  { args: ['produce', 'events', '/no/such/file'], status: 1, says: 'no such file' },
  { args: ['produce', 'events', '/tmp'], status: 1, says: 'directory' },
  { args: ['produce', 'events', '-i', 'json'], status: 1, says: 'is not JSON', input: 'nonsense\n' },
  {
    args: ['produce', 'events', '-i', 'json'],
    status: 1,
    says: 'payload_base64',
    input: '{"type":"record"}\n',
  },
  {
    args: ['produce', 'events', '-i', 'json'],
    status: 1,
    says: 'not base64',
    input: '{"payload_base64":"!"}\n',
  },
  {
    args: ['produce', 'events', '-i', 'json'],
    status: 1,
    says: 'surrogate',
    input: '{"payload":"\\ud800"}\n',
  },
  {
    args: ['produce', 'events', '-i', 'json'],
    status: 1,
    says: 'not a record',
    input: '{"type":"ack","payload":""}\n',
  },
  {
    args: ['produce', 'events', '-i', 'json'],
    status: 1,
    says: 'Line 1 (it ends at byte 23) has the member "key", which would be lost',
    input: '{"payload":"x","key":1}',
  },
  {
    args: ['produce', 'events', '-i', 'json'],
    status: 1,
    says: 'is not an object',
    input: '["payload"]\n',
  },
  { args: ['produce', 'new', '--expect-offset', '5'], status: 6, says: 'is 0, not 5', input: 'a\n' },
  { args: ['produce', 'new', 'package.json', 'src'], status: 1, says: 'src is a directory' },
  { args: ['produce', 'events', '-i', 'len32be'], status: 1, says: 'cut off', input: '\0\0\0\x05ab' },
  {
    args: ['produce', 'events', '--max-record-bytes', '4'],
    status: 1,
    says: 'Record 1, at byte 0',
    input: 'abcde',
  },
  {
    args: ['produce', 'events', '-i', 'raw', '--max-record-bytes', '4'],
    status: 1,
    says: '4 bytes',
    input: 'abcde',
  },
  { args: ['consume', 'nowhere'], status: 10, says: 'fastqueue topics' },
  { args: ['consume', 'events', '-d', '/no/such/directory'], status: 10, says: 'There is no data directory' },
  { args: ['consume', 'events', '-o', '99'], status: 1, says: 'offsets 0 to before 3' },
  { args: ['consume', 'events', '-o', '0:99'], status: 1, says: '--clamp' },
  { args: ['consume', 'events', '-o', '2:1'], status: 2, says: 'before it begins' },
  { args: ['consume', 'events', '-o', 'begin'], status: 2, says: 'beginning' },
  { args: ['consume', 'events', '-o', 'constructor', '--clamp'], status: 2, says: 'beginning' },
  { args: ['consume', 'events', '-o', '9:8', '--clamp'], status: 2, says: 'before it begins' },
  { args: ['inspect-segment', '.', '--offset', '5:2'], status: 2, says: 'B not before A' },
  { args: ['consume', 'events', '-o', '1', '--since', '-1h'], status: 2, says: 'said twice' },
  { args: ['consume', 'events', '--since', 'yesterday'], status: 2, says: '2026-01-31' },
  { args: ['consume', 'events', '-n', '-3'], status: 2, says: 'whole number' },
  // A value was forgotten, and a flag that takes none has one: that would be read as a name or a file.
  { args: ['consume', 'events', '--until', '-q'], status: 2, says: 'expects a value' },
  { args: ['produce', 'events', '--batch-bytes', '--tee'], status: 2, says: 'expects a value' },
  { args: ['produce', 'events', '--no-create=no'], status: 2, says: '--no-create takes no value' },
  { args: ['recover', '--dry-run=1'], status: 2, says: '--dry-run takes no value' },
  { args: ['consume', 'events', '--timeout', '5'], status: 2, says: '500ms' },
  { args: ['consume', 'events', '-f', '%z'], status: 2, says: '%s payload' },
  { args: ['consume', 'events', '-f', '%o{hex}'], status: 2, says: 'has no {hex}' },
  { args: ['consume', 'events', '-f', '%s', '-0'], status: 2, says: '--null' },
  { args: ['consume', 'events', '--framing', 'len64'], status: 2, says: 'len32be' },
  { args: ['consume', 'events', '--on-damage', 'ignore'], status: 2, says: 'stop, skip' },
  { args: ['consume', 'events', '-g', 'a/b'], status: 2, says: 'group name' },
  { args: ['consume', 'events', '-o', '5', '-n', '5', '--timeout', '50ms'], status: 1, says: '--clamp' },
  { args: ['topics', '-d', '/no/such/directory'], status: 10, says: 'There is no data directory' },
  { args: ['topics', 'show', 'nowhere'], status: 10, says: 'There is no topic' },
  { args: ['topics', 'create', 'events'], status: 6, says: 'already' },
  { args: ['topics', 'create', 'new', '--set', 'segmentByte=1M'], status: 2, says: 'segmentBytes' },
  { args: ['topics', 'create', 'new', '--set', 'segmentBytes=1'], status: 2, says: 'between' },
  { args: ['topics', 'create', 'new', '--set', 'segmentBytes'], status: 2, says: 'key=value' },
  { args: ['topics', 'set', 'events'], status: 2, says: 'SETTINGS' },
  { args: ['topics', 'set', 'nowhere', 'segmentBytes=1M'], status: 10, says: 'There is no topic' },
  { args: ['topics', 'delete', 'events'], status: 2, says: '--yes' },
  { args: ['topics', 'delete', 'nowhere', '--yes'], status: 10, says: 'There is no topic' },
  { args: ['topics', 'reset', 'events', '--group', 'g'], status: 2, says: '--to' },
  { args: ['topics', 'reset', 'events', '--group', 'g', '--to', '1:2'], status: 2, says: 'is a range' },
  {
    args: ['topics', 'reset', 'events', '--group', 'g', '--to', '99'],
    status: 1,
    says: 'offsets 0 to before 3',
  },
];

/** These contradict `--json`, which is wrong usage before anything else is. */
const isTextOnly = ({ args }: Refusal): boolean =>
  args.some((argument) => ['-f', '-0', '-D', '--framing'].includes(argument));

/**
 * Every refusal is seen with `--json`, where the sentence is a member of the object. What differs without it is the last
 * step alone, the same for all of them: that is seen once for each command and each status.
 */
const TEXTS = REFUSALS.filter(
  (refusal, at) =>
    isTextOnly(refusal) ||
    at ===
      REFUSALS.findIndex(
        ({ args, status }) =>
          status === refusal.status && args.slice(0, 2).join() === refusal.args.slice(0, 2).join(),
      ),
);

describe('what is refused', () => {
  const sandbox = new Sandbox();

  before(async () => {
    await sandbox.store('events', [['a', 'b', 'c']]);
  });

  after(() => {
    sandbox.remove();
  });

  const run = ({ args, input }: Refusal, ...more: string[]): Promise<Outcome> =>
    sandbox.run([...args, ...more], input === undefined ? {} : { input: Buffer.from(input, 'latin1') });

  for (const refusal of REFUSALS) {
    const { args, status, says } = refusal;
    it(`${args.join(' ')} --json exits ${status}, with an object on stderr that says: ${says}`, async () => {
      const refused = await run(refusal, '--json');
      const error = JSON.parse(refused.stderr.split('\n')[0] ?? '') as { message: string };
      expect(error).to.include({ type: 'error', exitStatus: refused.status });
      expect(refused.stdout.toString()).to.equal('');
      if (isTextOnly(refusal)) return;
      expect(error.message).to.include(says);
      expect(refused.status).to.equal(status);
    });
  }

  for (const refusal of TEXTS) {
    const { args, status, says } = refusal;
    it(`${args.join(' ')} exits ${status} and says: ${says}`, async () => {
      const refused = await run(refusal);
      expect(refused.stderr).to.include(says).and.not.include('    at ');
      expect(refused.status).to.equal(status);
      expect(refused.stdout.toString()).to.equal('');
    });
  }

  it('a command that fails leaves no topic behind', async () => {
    const { stdout } = await sandbox.run(['topics', '--json']);
    const names = stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { topic: string }).topic);
    expect(names).to.deep.equal(['events']);
  });

  it('a value in the environment is judged like a flag', async () => {
    const { status, stderr } = await sandbox.run(['produce', 'events'], {
      env: { FASTQUEUE_BATCH_BYTES: 'huge' },
    });
    expect(stderr).to.include('FASTQUEUE_BATCH_BYTES: "huge" is not');
    expect(status).to.equal(2);
  });

  for (const [name, args] of [
    ['FASTQUEUE_LOCK_TIMEOUT', ['produce', 'events']],
    ['FASTQUEUE_LOCK_TIMEOUT', ['consume', 'events', '-g', 'g']],
    ['FASTQUEUE_SEGMENT_BYTES', ['topics', 'create', 'new']],
  ] as const) {
    it(`a value in the environment is refused by the name of its variable: ${name} of ${args[0]}`, async () => {
      const { status, stderr } = await sandbox.run(args, { env: { [name]: '5 minutes' } });
      expect(stderr).to.include(`${name}: "5 minutes" is not`);
      expect(status).to.equal(2);
    });
  }

  it('a variable that is empty is none', async () => {
    const env = {
      HOME: sandbox.directory,
      FASTQUEUE_DATA_DIR: '',
      XDG_DATA_HOME: '',
      FASTQUEUE_SEGMENT_BYTES: '',
    };
    expect((await sandbox.run(['topics', 'create', 't'], { env })).stderr).to.equal('created topic t\n');
    expect(existsSync(join(sandbox.directory, '.local/share/fastqueue/t/topic.json'))).to.equal(true);
  });

  it('a fastqueue.json that is wrong is named with what is wrong in it', async () => {
    const directory = join(sandbox.directory, 'other');
    mkdirSync(directory);
    writeFileSync(join(directory, 'fastqueue.json'), '{"segmentByte": 1}');
    const { status, stderr } = await sandbox.run(['produce', 'x', '-d', directory], { input: 'a' });
    expect(stderr).to.include('fastqueue.json').and.include('segmentBytes');
    expect(status).to.equal(2);
  });
});
