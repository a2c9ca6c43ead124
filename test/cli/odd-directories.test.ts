/**
 * What bears the name of one of the log's files and is no regular file: every command says so and ends (exit 1), none
 * waits for it, takes it for damage, removes or replaces it.
 */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sandbox, type Outcome } from './fastqueue.ts';

const HEALTHY = fileURLToPath(new URL('../../fixtures/healthy/data', import.meta.url));
const STORE = '00000000000000000006.store';

/** What it is called in the sentence, and how it is made. */
const ODD_THINGS: Readonly<Record<string, (path: string) => void>> = {
  'a named pipe': (path) => execFileSync('mkfifo', [path]),
  'a directory': (path) => {
    mkdirSync(path);
  },
  'a symbolic link to /nowhere/at/all': (path) => {
    symlinkSync('/nowhere/at/all', path);
  },
};

const INDEX = '00000000000000000006.index';
const SELF_LINK = `a symbolic link to ${INDEX}`;
const linkToItself = (path: string): void => {
  symlinkSync(INDEX, path);
};

describe('a data directory with odd things in it', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
    cpSync(HEALTHY, sandbox.dataDirectory, { recursive: true });
  });

  afterEach(() => {
    sandbox.remove();
  });

  function put(name: string, make: (path: string) => void): string {
    const path = join(sandbox.dataDirectory, 'orders', name);
    rmSync(path);
    make(path);
    return path;
  }

  function expectRefusal(outcome: Outcome, sentence: string): void {
    expect(outcome.status, outcome.stderr).to.equal(1);
    expect(outcome.stdout.toString() + outcome.stderr).to.include(sentence);
    expect(outcome.stderr).not.to.match(/^\s+at /m);
  }

  for (const [what, make] of Object.entries(ODD_THINGS)) {
    it(`says that a store is ${what}, and neither repairs nor removes it`, async () => {
      const path = put(STORE, make);
      const before = lstatSync(path, { bigint: true }).ino;
      const sentence = `${path} is ${what}`;
      const commands = [
        ['verify'],
        ['recover', '--dry-run'],
        ['recover'],
        ['compact'],
        ['consume', 'orders'],
      ];
      const outcomes = await Promise.all(commands.map((args) => sandbox.run(args)));
      for (const outcome of outcomes) expectRefusal(outcome, sentence);
      expect(outcomes[0]?.stdout.toString()).to.include('io_error').and.not.include('missing_segment');
      expect(lstatSync(path, { bigint: true }).ino).to.equal(before);
    });
  }

  for (const what of ['a named pipe', 'a directory', SELF_LINK]) {
    it(`leaves alone what is called an index and is ${what}: recover has nothing to repair`, async () => {
      const path = put(INDEX, ODD_THINGS[what] ?? linkToItself);
      const before = lstatSync(path, { bigint: true }).ino;
      const recovered = await sandbox.run(['recover']);
      expect(recovered.status, recovered.stderr).to.equal(0);
      expectRefusal(await sandbox.run(['verify']), `${path} is ${what}`);
      const consumed = await sandbox.run(['consume', 'orders', '-o', '7', '-n', '1', '-f', '%o']);
      expect([consumed.status, consumed.stdout.toString()], consumed.stderr).to.deep.equal([0, '7']);
      // Nor where the store beside it is repaired, and the index would be mended after it.
      const store = path.replace('.index', '.store');
      const bytes = readFileSync(store);
      bytes[20]! ^= 1;
      writeFileSync(store, bytes);
      const repaired = await sandbox.run(['recover']);
      expect(repaired.status, repaired.stderr).to.equal(4);
      expect(repaired.stdout.toString()).to.include('lost: 1 record, offset 6');
      expect(lstatSync(path, { bigint: true }).ino).to.equal(before);
    });
  }

  it('hides no other topic where one cannot be looked at, and calls nothing damaged that could not be read', async () => {
    cpSync(join(HEALTHY, 'orders'), join(sandbox.dataDirectory, 'second'), { recursive: true });
    const path = put('high-watermark', ODD_THINGS['a directory']!);
    const commands = [['verify'], ['topics'], ['recover'], ['compact'], ['recover', '--list-runs']];
    const outcomes = await Promise.all(commands.map((args) => sandbox.run(args)));
    const [verified, listed, recovered, compacted, runs] = outcomes.map(({ stdout }) => stdout.toString());
    for (const outcome of outcomes.slice(0, -1)) expectRefusal(outcome, `${path} is a directory`);
    expect(verified).to.include('topic second').and.include(': sound');
    expect(verified).to.include('not all of it could be read').and.not.include('damaged');
    expect(listed).to.include('second');
    expect(recovered).to.include('second: sound, nothing to recover');
    expect(compacted).to.include('second: ');
    expect(runs).to.equal('');
  });

  it('does not pass over a topic that is a link to what is not mounted', async () => {
    const path = join(sandbox.dataDirectory, 'elsewhere');
    symlinkSync('/nowhere/at/all', path);
    const commands = [
      ['verify'],
      ['topics'],
      ['recover'],
      ['compact'],
      ['consume', 'elsewhere'],
      ['produce', 'elsewhere'],
    ];
    const outcomes = await Promise.all(commands.map((args) => sandbox.run(args, { input: 'x' })));
    for (const outcome of outcomes) expectRefusal(outcome, `${path} is a symbolic link to /nowhere/at/all`);
    expect(outcomes[0]?.stdout.toString()).to.include('topic orders').and.include('io_error');
    expect(lstatSync(path).isSymbolicLink()).to.equal(true);
  });

  for (const name of ['high-watermark', 'topic.json']) {
    it(`does not wait for a pipe that is called ${name}`, async () => {
      const path = put(name, ODD_THINGS['a named pipe']!);
      const outcomes = await Promise.all([['verify'], ['recover']].map((args) => sandbox.run(args)));
      for (const outcome of outcomes) expectRefusal(outcome, `${path} is a named pipe`);
    });
  }
});
