/** Commands over several topics, of which one or another fails: all are told, and damage is the status that counts. */
import { expect } from 'chai';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sandbox } from './fastqueue.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures/', import.meta.url));

describe('a command over several topics', () => {
  const sandbox = new Sandbox();

  before(() => {
    cpSync(join(FIXTURES, 'flipped-bit', 'data'), sandbox.dataDirectory, { recursive: true });
  });

  after(() => {
    sandbox.remove();
  });

  for (const command of ['verify', 'recover', 'compact']) {
    it(`${command}: tells of every topic that fails, and exits as the first of them asks`, async () => {
      const { status, stderr } = await sandbox.run([command, 'first', 'second']);
      expect(stderr).to.include('no topic "first"').and.include('no topic "second"');
      expect(status).to.equal(10);
    });
  }

  for (const [what, ...args] of [
    ['verify', 'verify', 'orders', 'missing'],
    ['recover --dry-run', 'recover', '--dry-run', 'orders', 'missing'],
  ] as const) {
    it(`${what}: exits 3 where it found damage, though another topic failed`, async () => {
      const { status, stderr } = await sandbox.run(args);
      expect(stderr).to.include('no topic "missing"');
      expect(status).to.equal(3);
    });
  }
});
