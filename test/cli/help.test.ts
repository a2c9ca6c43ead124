/** Help is printed from pages collected by the build: they must be the ones that oclif itself would print. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { COMMAND_LOADERS } from '../../src/commands/index.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ENVIRONMENT = { ...process.env, COLUMNS: '100', NO_COLOR: '1' };

/** What oclif prints once it has loaded its configuration, its plugins and every command. */
const ASK_OCLIF = `import { run } from '@oclif/core/run'; await run(process.argv.slice(1), process.env.BIN);`;

function help(parameters: readonly string[]): string {
  return spawnSync(process.execPath, ['bin/run.js', ...parameters], {
    cwd: ROOT,
    env: ENVIRONMENT,
  }).stdout.toString();
}

function oclifHelp(parameters: readonly string[]): string {
  const script = ['--input-type=module', '-e', ASK_OCLIF, '--', ...parameters];
  const env = { ...ENVIRONMENT, BIN: new URL('../../bin/run.js', import.meta.url).href };
  return spawnSync(process.execPath, script, { cwd: ROOT, env }).stdout.toString();
}

describe('--help', () => {
  for (const parameters of [
    ['--help'],
    ['produce', '--help'],
    ['help', 'topics', 'set'],
    ['topics', '-h'],
    ['--version'],
  ]) {
    it(`prints for "${parameters.join(' ')}" what oclif prints`, () => {
      const page = help(parameters);
      expect(page).to.not.equal('');
      expect(page).to.equal(oclifHelp(parameters));
    });
  }

  for (const id of ['', ...Object.keys(COMMAND_LOADERS)]) {
    it(`fits 100 columns and names no empty choice: "${id.replace(':', ' ')} --help"`, () => {
      const lines = help([...id.split(':'), '--help'].filter((word) => word !== '')).split('\n');
      expect(lines.filter((line) => line.length > 100)).to.deep.equal([]);
      expect(lines.filter((line) => /\| *[|\]]|\w \]/.test(line))).to.deep.equal([]);
    });
  }

  it('names every flag in a usage line that stands in the command itself', async () => {
    let written = 0;
    for (const [id, load] of Object.entries(COMMAND_LOADERS)) {
      const { default: command } = await load();
      if (command.usage === undefined) continue;
      written += 1;
      const words = [command.usage]
        .flat()
        .join(' ')
        .split(/[^\w-]+/);
      for (const [name, { char, hidden }] of Object.entries({ ...command.baseFlags, ...command.flags })) {
        if (hidden === true) continue;
        expect(words.includes(`--${name}`) || words.includes(`-${char ?? ''}`), `${id} --${name}`).to.equal(
          true,
        );
      }
    }
    expect(written).to.be.greaterThan(0);
  });

  it('has a page for every command', () => {
    const overview = help(['--help']);
    for (const id of Object.keys(COMMAND_LOADERS).filter((each) => !each.includes(':'))) {
      expect(overview).to.match(new RegExp(`^  ${id} `, 'm'));
    }
  });
});
