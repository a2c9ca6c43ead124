/**
 * Commands over several topics, of which one or another fails: all are told, and damage is the status that counts. And
 * what becomes of errors that nobody has foreseen.
 */
import { expect } from 'chai';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reportError } from '../../src/cli/report-error.ts';
import { ERROR_TABLE } from '../../src/engine/index.ts';
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

  it('exits 3 where damage is why one of them failed, though another failed before it', async () => {
    for (const topic of ['first', 'second'])
      cpSync(join(sandbox.dataDirectory, 'orders'), join(sandbox.dataDirectory, topic), { recursive: true });
    rmSync(join(sandbox.dataDirectory, 'first', 'high-watermark'));
    mkdirSync(join(sandbox.dataDirectory, 'first', 'high-watermark'));
    writeFileSync(join(sandbox.dataDirectory, 'second', 'high-watermark'), 'no mark');
    const { status, stderr } = await sandbox.run(['compact', 'first', 'second']);
    expect(stderr)
      .to.include('is a directory')
      .and.match(/"second" .*damaged/s);
    expect(status).to.equal(3);
  });

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

describe('an error that nobody has foreseen', () => {
  it('has a code of the table with --json, as every other', () => {
    const write = process.stderr.write.bind(process.stderr);
    let told = '';
    process.stderr.write = (chunk: string | Uint8Array): boolean => {
      told += String(chunk);
      return true;
    };
    try {
      expect(reportError(new TypeError('odd'), { isJson: true })).to.equal(1);
    } finally {
      process.stderr.write = write;
    }
    const { code, message } = JSON.parse(told) as { code: string; message: string };
    expect(ERROR_TABLE).to.have.property(code);
    expect(message).to.include('odd').and.include('FASTQUEUE_DEBUG=1');
  });
});
