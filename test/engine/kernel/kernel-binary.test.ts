/** The compiled kernel that is committed against the source that stands beside it. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';

describe('kernel-binary.ts', function () {
  // A whole compiler runs here: on a busy machine that takes its time.
  this.timeout(180_000);

  it('is what its AssemblyScript compiles to', async () => {
    const script = new URL('../../../scripts/compile-kernel.js', import.meta.url).href;
    const { kernelBinarySource } = (await import(script)) as { kernelBinarySource: () => Promise<string> };
    const committed = readFileSync(
      new URL('../../../src/engine/kernel/kernel-binary.ts', import.meta.url),
      'utf8',
    );
    expect(committed).to.equal(await kernelBinarySource());
  });
});
