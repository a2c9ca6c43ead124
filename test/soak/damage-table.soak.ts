import { describeDamageTable } from '../support/damage-table.ts';

describe('recover, over every damage of a table', () => {
  describeDamageTable(1);
});
