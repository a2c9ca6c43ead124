/** The commands that are printed to be copied: they mean the data directory and the work that was asked about. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server } from '../server/serving.ts';
import { Sandbox, type Outcome } from './fastqueue.ts';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));

/** Every command that was printed, without the quotes of its sentence. */
function commandsIn({ stdout, stderr }: Pick<Outcome, 'stderr'> & { stdout: Buffer | string }): string[] {
  const text = `${stdout.toString()}\n${stderr}`;
  return [...text.matchAll(/fastqueue (?!inspect-segment)[a-z]+ [^"\n|]*/g)].map(([command]) => command);
}

interface Scene {
  readonly damage: string;
  readonly args: readonly string[];
  /** What is printed, without the data directory. */
  readonly says: readonly string[];
  readonly input?: string;
}

const RECOVER = 'fastqueue recover orders --dry-run';
const SCENES: readonly Scene[] = [
  { damage: 'flipped-bit', args: ['verify'], says: [RECOVER] },
  { damage: 'mark-missing', args: ['verify', 'orders'], says: [RECOVER] },
  { damage: 'index-missing', args: ['verify'], says: ['fastqueue recover orders'] },
  { damage: 'tail-missing', args: ['verify', '--quick'], says: ['fastqueue verify orders'] },
  { damage: 'flipped-bit', args: ['recover', '-n'], says: ['fastqueue recover orders'] },
  { damage: 'flipped-bit', args: ['compact'], says: ['fastqueue verify orders'] },
  { damage: 'flipped-bit', args: ['compact', '-n'], says: ['fastqueue verify orders'] },
  { damage: 'settings-missing', args: ['compact'], says: ['fastqueue recover orders'] },
  {
    damage: 'settings-missing',
    args: ['produce', 'orders'],
    input: 'x\n',
    says: ['fastqueue recover orders', 'fastqueue topics set orders'],
  },
  { damage: 'flipped-bit', args: ['consume', 'orders'], says: [RECOVER] },
  { damage: 'mark-missing', args: ['consume', 'orders'], says: [RECOVER] },
  { damage: 'mark-missing', args: ['produce', 'orders'], input: 'x\n', says: [RECOVER] },
  {
    damage: 'tail-missing',
    args: ['produce', 'orders'],
    input: 'x\n',
    says: ['fastqueue recover orders'],
  },
  { damage: 'healthy', args: ['recover', '--undo', 'x'], says: ['fastqueue recover --list-runs'] },
  { damage: 'healthy', args: ['consume', 'other'], says: ['fastqueue topics'] },
  { damage: 'healthy', args: ['topics', 'create', 'orders'], says: ['fastqueue topics set orders'] },
  { damage: 'healthy', args: ['topics', 'delete', 'orders'], says: ['fastqueue topics delete orders --yes'] },
  {
    damage: 'healthy',
    args: ['topics', 'reset', 'orders'],
    says: ['fastqueue topics reset orders --group GROUP --to OFFSET'],
  },
];

describe('printed commands', () => {
  let sandbox: Sandbox;
  let directory: string;
  let suffix: string;

  beforeEach(() => {
    sandbox = new Sandbox();
    directory = join(sandbox.directory, "night's data");
    suffix = ` -d '${directory.replace("'", `'\\''`)}'`;
  });

  afterEach(() => {
    sandbox.remove();
  });

  function fill(damage: string, where = directory): void {
    mkdirSync(where);
    cpSync(join(FIXTURES, damage, 'data'), where, { recursive: true });
  }

  for (const { damage, args, says, input = '' } of SCENES) {
    it(`carry the data directory that a flag named, quoted for a shell: ${args.join(' ')} of ${damage}`, async () => {
      fill(damage);
      const outcome = await sandbox.run([...args, '-d', directory], { input });
      expect([...new Set(commandsIn(outcome))]).to.deep.equal(says.map((command) => `${command}${suffix}`));
    });
  }

  it('carry none that the environment named', async () => {
    fill('flipped-bit', sandbox.dataDirectory);
    for (const command of ['verify', 'consume'])
      expect(commandsIn(await sandbox.run([command, 'orders']))).to.deep.equal([RECOVER]);
    const repaired = await sandbox.run(['recover']);
    expect(repaired.stdout.toString()).to.match(/ {2}to undo: fastqueue recover orders --undo \S+$/m);
  });

  it('carry it in sentences about groups, runs and what an undo would overwrite', async () => {
    fill('torn-tail');
    const run = async (...args: string[]): Promise<Outcome> =>
      sandbox.run([...args, '-d', directory], { input: 'newer\n' });
    const report = (await run('recover', '--json')).stdout.toString();
    const { runs } = JSON.parse(report) as { runs: { run: string }[] };
    await run('produce', 'orders');
    const undo = await run('recover', 'orders', '--undo', runs[0]!.run);
    expect(commandsIn(undo)).to.deep.equal([`fastqueue produce orders --input json${suffix}`]);
    expect(undo.stderr).to.include(`fastqueue inspect-segment '${directory.replace("'", `'\\''`)}/orders/`);
    await run('consume', 'orders', '-g', 'g');
    writeFileSync(join(directory, 'orders/groups/g'), 'x'.repeat(24));
    const reset = `fastqueue topics reset orders --group g --to OFFSET${suffix}`;
    expect(commandsIn(await run('consume', 'orders', '-g', 'g'))).to.deep.equal([reset]);
    expect(commandsIn(await run('topics', 'show', 'orders'))).to.deep.equal([reset]);
  });

  it('are carried out on that directory, from anywhere, when they are copied', async () => {
    fill('flipped-bit');
    const bin = join(sandbox.directory, 'fastqueue');
    writeFileSync(bin, `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`);
    chmodSync(bin, 0o755);
    const follow = (command: string): ReturnType<typeof spawnSync> & { stdout: string; stderr: string } =>
      spawnSync('sh', ['-c', command], {
        cwd: '/',
        env: { PATH: `${sandbox.directory}:${process.env['PATH'] ?? ''}`, HOME: sandbox.directory },
        encoding: 'utf8',
      });
    const [preview = ''] = commandsIn(await sandbox.run(['verify', '-d', directory]));
    const [repair = ''] = commandsIn(follow(preview));
    const repaired = follow(repair);
    expect(repaired.stdout).to.include('1 place repaired');
    const [undo = ''] = commandsIn(repaired);
    expect(follow(undo).stdout).to.include('was undone');
  });

  it('keep of a dry run every flag that says what is done', async () => {
    fill('flipped-bit');
    const previewOf = async (...args: string[]): Promise<string> =>
      (await sandbox.run([...args, '-d', directory])).stdout.toString();
    expect(await previewOf('recover', '-n', '--try-bitflip')).to.include(
      `\n  nothing was changed; to repair: fastqueue recover orders --try-bitflip${suffix}\n`,
    );
    expect(await previewOf('compact', '--before=7', '--merge-below', '1M', '-n', '-q')).to.include(
      `\n  nothing was changed; to do it: fastqueue compact orders --before 7 --merge-below 1M${suffix}\n`,
    );
  });

  it('name the directory of --out where the copy is meant', async () => {
    fill('flipped-bit');
    const out = join(sandbox.directory, 'a copy');
    const copied = await sandbox.run(['recover', 'orders', '--out', out, '-d', directory]);
    expect(copied.stdout.toString()).to.match(
      /to undo: fastqueue recover orders --undo \S+ -d '.*\/a copy'\n/,
    );
  });

  it('carry none over HTTP, whatever serve was given', async () => {
    fill('mark-missing');
    const server = await Server.start(sandbox, ['-d', directory]);
    try {
      const answers = [await server.get('/topics/orders/messages'), await server.get('/topics/other')];
      const text = answers.map(({ body }) => body.toString()).join('\n');
      expect(commandsIn({ stdout: text.replaceAll('\\"', '"'), stderr: '' })).to.include.members([RECOVER]);
      expect(text).to.not.include(' -d ').and.not.include(sandbox.directory);
    } finally {
      await server.stop();
    }
  });
});
