import { failedSyncs, powerCuts } from '../support/power-cuts.ts';
import { describeWith } from '../support/root-tests.ts';

describeWith(['mkfs.ext4', 'losetup', 'python3'], 'a real disk', () => {
  it('has every acknowledged record after the power was cut, 4 times over', async () => {
    await powerCuts(4);
  });

  it('has every acknowledged record after a sync has failed, once', async () => {
    await failedSyncs(1);
  });
});
