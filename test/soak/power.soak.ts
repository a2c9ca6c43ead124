import { failedSyncs, powerCuts } from '../support/power-cuts.ts';
import { describeWith } from '../support/root-tests.ts';

describeWith(['mkfs.ext4', 'losetup', 'python3'], 'a real disk', () => {
  it('has every acknowledged record after the power was cut, 40 times over', async () => {
    const { stored } = await powerCuts(40);
    console.log(`      40 power cuts, ${stored} records`);
  });

  it('has every acknowledged record after a sync has failed, 30 times over', async () => {
    const { failures, stored } = await failedSyncs(30);
    console.log(`      ${failures} failed syncs, ${stored} records`);
  });
});
