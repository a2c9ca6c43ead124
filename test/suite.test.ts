/** The suite itself, as `npm run suite` runs it: nothing is left out, forgotten or left running without a failure. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const MOCHA = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'));

/** Files of tests, each with one defect. */
const DEFECTS = {
  skipped: `it.skip('x', () => {});`,
  'skips-itself': `it('x', function () { this.skip(); });`,
  'without-a-body': `it('x');`,
  'leaves-others-out': `it.only('x', () => {}); it('y', () => {});`,
  'cannot-be-loaded': `throw new Error('x');`,
  dies: `it('x', () => { process.kill(process.pid, 'SIGKILL'); });`,
  'leaves-a-timer': `it('x', () => { setInterval(() => {}, 1000); });`,
  'warns-when-it-is-over': `it('x', () => { setTimeout(() => process.emitWarning('x'), 50); });`,
  'rejects-when-it-is-over': `it('x', () => { setTimeout(() => void Promise.reject(new Error('x')), 50); });`,
};

describe('the suite, two files at a time', () => {
  it(`fails once for each of these: ${Object.keys(DEFECTS).join(', ')}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'fastqueue-test-'));
    try {
      const files = Object.entries(DEFECTS).map(([name, text]) => {
        const path = join(directory, `${name}.mjs`);
        writeFileSync(path, text);
        return path;
      });
      const flags = ['--parallel', '--jobs', '2', '--reporter', 'dot'];
      const run = spawnSync(process.execPath, [MOCHA, ...flags, ...files], { cwd: ROOT, encoding: 'utf8' });
      // Mocha's exit status is the number of its failures.
      expect(run.status, run.stdout + run.stderr).to.equal(files.length);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
