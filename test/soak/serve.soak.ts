import { describeWith } from '../support/root-tests.ts';
import { serveFullDiskRounds, serveKillRounds, serveStopRounds } from '../support/serve-load.ts';

describe('serve under load', () => {
  it('killed with -9 has every record in the log that it answered 201 for, once, 30 times over', async () => {
    const { acknowledged, stored } = await serveKillRounds(30);
    console.log(`      30 rounds: ${acknowledged} records answered with 201, ${stored} stored`);
  });

  it('asked to stop loses no answered request, leaves none unanswered that it stored, exits with 0, 15 times over', async () => {
    const { acknowledged } = await serveStopRounds(15);
    console.log(`      15 rounds: ${acknowledged} records, each answered and stored`);
  });
});

describeWith(['mount'], 'serve on a disk that fills', () => {
  it('answers 507 or 503, says so in /health, and takes records again when there is room, 8 times over', async () => {
    const { acknowledged, refused } = await serveFullDiskRounds(8);
    console.log(`      8 rounds: ${acknowledged} records answered with 201, ${refused} requests refused`);
  });
});
