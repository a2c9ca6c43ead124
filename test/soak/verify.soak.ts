import { verifyBesideWriters } from '../support/live-verification.ts';

describe('verify', () => {
  it('gives no false alarm in a minute beside writers that are killed and restarted', async () => {
    const { verifications, kills } = await verifyBesideWriters({
      durationMs: 60_000,
      verifications: 100,
      kills: 50,
      recoveries: 20,
    });
    console.log(`      ${verifications} verifications beside ${kills} kills`);
  });
});
