import { expect } from 'chai';
import fc from 'fast-check';
import type { StandingFrame } from '../../../src/engine/damage-scan.ts';
import type { FoundRegion } from '../../../src/engine/recovery/damaged-region.ts';
import { addRegion, regionsOf, regionTable } from '../../../src/engine/recovery/region-table.ts';

const number = fc.maxSafeNat();
const timestamp = fc.option(number, { nil: undefined });
const frame: fc.Arbitrary<StandingFrame> = fc.record({
  position: number,
  bytes: number,
  offset: number,
  offsetCount: number,
  timestamp: number,
  checksum: number,
});

const region: fc.Arbitrary<FoundRegion> = fc
  .record({
    code: fc.constantFrom('bad_checksum', 'bad_length', 'foreign_bytes', 'misplaced_frames'),
    baseOffset: number,
    position: number,
    endPosition: number,
    offset: number,
    nextOffset: number,
    checksum: fc.oneof(number, fc.constant(NaN)),
    storeBytes: number,
    flip: fc.option(fc.record({ position: number, value: fc.nat(255) }), { nil: undefined }),
    exchange: fc.record({
      moved: fc.array(frame, { maxLength: 1 }),
      strays: fc.array(frame, { maxLength: 1 }),
      unexplainedCount: number,
      timestampBefore: timestamp,
      timestampAfter: timestamp,
    }),
  })
  .map((found) => ({
    ...found,
    moved: found.exchange.moved,
    timestamp: found.exchange.timestampBefore ?? found.exchange.timestampAfter,
  }));

describe('a table of damaged regions', () => {
  it('gives each back as it was added, in order, from another thread, too, and as often as it is asked', () => {
    fc.assert(
      fc.property(fc.array(region, { maxLength: 600, size: 'max' }), (regions) => {
        const table = regionTable();
        for (const each of regions) addRegion(table, each);
        expect(table.rows.length).to.equal(regions.length);
        expect([...regionsOf(table)]).to.deep.equal(regions);
        expect([...regionsOf(structuredClone(table))]).to.deep.equal(regions);
      }),
      { numRuns: 30 },
    );
  });
});
