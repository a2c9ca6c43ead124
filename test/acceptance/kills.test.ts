import { killRounds } from '../support/kill-rounds.ts';

describe('kill -9 of produce', () => {
  it('loses no acknowledged record, doubles none and keeps the order, 12 times over', async () => {
    await killRounds(12);
  });
});
