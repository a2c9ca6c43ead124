import { expect } from 'chai';
import { produceReceipt, produceSummary } from '../../src/cli/views/produce-view.ts';

const outcome = {
  topic: 'events',
  recordCount: 1234,
  firstOffset: 42,
  lastOffset: 1275,
  isDense: true,
  inputPosition: { path: undefined, byte: 99_120 },
  isUncertain: false,
};

describe('what produce says', () => {
  it('names the offsets that were stored', () => {
    expect(produceSummary(outcome)).to.equal('produced 1234 records to events: offsets 42..1275, synced');
  });

  it('says between which offsets they stand when other writers came in between', () => {
    const mixed = { ...outcome, lastOffset: 1300, isDense: false };
    expect(produceReceipt(mixed)).to.equal(
      'stored 1234 records, between 42 and 1300, synced; next input byte 99120',
    );
  });

  it('names the file in which to go on', () => {
    const inFile = { ...outcome, inputPosition: { path: 'log.1', byte: 7 } };
    expect(produceReceipt(inFile)).to.equal(
      'stored 1234 records, offsets 42..1275, synced; next input byte 7 of log.1',
    );
  });

  it('warns where the outcome of the last batch is not known', () => {
    expect(produceReceipt({ ...outcome, isUncertain: true })).to.include('may have been stored');
  });
});
