import { expect } from 'chai';
import { manyProcesses, turnsBesideABusyWriter } from '../support/many-processes.ts';

describe('many processes on one topic', () => {
  it('4 × 50,000 records, two followers and a random reader agree on the log', async () => {
    const { sights, kills } = await manyProcesses(50_000, 10);
    console.log(`      ${kills} kills, ${sights} records read at random`);
  });

  it('give each other their turn within 300 ms at the 99th percentile', async () => {
    const waits = await turnsBesideABusyWriter(400);
    const [median, p99, longest] = [0.5, 0.99, 1].map((share) => waits[Math.ceil(waits.length * share) - 1]!);
    console.log(
      `      median ${median!.toFixed(1)} ms, 99% ${p99!.toFixed(1)} ms, longest ${longest!.toFixed(1)} ms`,
    );
    expect(p99).to.be.lessThan(300);
  });
});
