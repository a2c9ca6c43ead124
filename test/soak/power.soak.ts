import { failedSyncs, powerCuts } from '../support/power-cuts.ts';
import { recoveryPowerCuts } from '../support/recovery-power-cuts.ts';
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

  for (const name of ['flipped-bit', 'frame-removed'])
    it(`can be recovered after the power was cut in the middle of a recover of ${name}, 10 times over`, async () => {
      const { finished } = await recoveryPowerCuts(name, 10);
      console.log(`      10 power cuts, ${finished} behind the end of the recovery`);
    });
});
