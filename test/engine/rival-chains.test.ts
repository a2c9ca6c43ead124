import { expect } from 'chai';
import { addChain, type Chain } from '../../src/engine/rival-chains.ts';
import type { FileHandle } from '../../src/engine/io/file-system.ts';

/** Nothing is read for chains that claim other offsets each. */
const UNREAD = {} as FileHandle;

const chainOf = (number: number, count: number): Chain => ({
  start: { position: number * 1000, offset: number * 10 },
  firstTimestamp: 0,
  end: { position: number * 1000 + count * 20, offset: number * 10 + count, lastTimestamp: 0 },
});

describe('addChain', () => {
  it('keeps at most 64 chains, and forgets the one with the fewest offsets for another', () => {
    const chains: Chain[] = [];
    for (let number = 0; number < 64; number++)
      addChain(chains, chainOf(number, number === 20 ? 1 : 2), UNREAD);
    expect(chains).to.have.length(64);
    addChain(chains, chainOf(64, 1), UNREAD);
    expect(chains).to.have.length(64);
    expect(chains.map(({ start }) => start.offset)).not.to.include(200);
    expect(chains.at(-1)?.start.offset).to.equal(640);
  });
});
