/** Standard output itself, in a process of its own. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const OUTPUT = fileURLToPath(new URL('../../src/cli/output.ts', import.meta.url));
const LONG_BYTES = 3_000_000;

/** What the reader has no room for waits; by the time of the second write it has taken the rest out again. */
const TWO_WRITES = `
  import { stdout } from ${JSON.stringify(OUTPUT)};
  const first = stdout().write(Buffer.alloc(${LONG_BYTES}, 'a'));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  await Promise.all([first, stdout().write('b')]);
`;

describe('standard output', () => {
  it('lets nothing go ahead of what waits for room', async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', TWO_WRITES],
      { maxBuffer: 2 * LONG_BYTES },
    );
    expect(stdout.length).to.equal(LONG_BYTES + 1);
    expect(stdout.indexOf('b')).to.equal(LONG_BYTES);
  });
});
