import { describeDamageTable } from '../../support/damage-table.ts';

describe('recover, over a table of damages', function () {
  this.timeout(240_000);
  // A prime: every bit of a byte and every byte of a frame come up.
  describeDamageTable(13);
});
