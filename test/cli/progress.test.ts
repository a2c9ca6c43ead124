import { expect } from 'chai';
import { Progress } from '../../src/cli/views/progress.ts';

describe('Progress', () => {
  it('says how much, how fast and how much longer', () => {
    const progress = new Progress('storing', { isShown: false });
    progress.doneBytes = 3 * 1024 ** 2;
    progress.totalBytes = 9 * 1024 ** 2;
    expect(progress.describe(1000)).to.equal('storing 3 MiB of 9 MiB, 3 MiB/s, 2 s left');
  });

  it('leaves out the time where nobody knows how much there is', () => {
    const progress = new Progress('reading', { isShown: false });
    progress.doneBytes = 2048;
    expect(progress.describe(2000)).to.equal('reading 2 KiB, 1 KiB/s');
  });

  it('promises no time before anything is done', () => {
    const progress = new Progress('verifying', { isShown: false });
    progress.totalBytes = 9 * 1024 ** 2;
    expect(progress.describe(1500)).to.equal('verifying 0 B of 9 MiB');
  });
});
