import { expect } from 'chai';
import { FastQueueError, parseOffsetSpec, resolveOffset, type OffsetRange } from '../../src/engine/index.ts';

const NOW_MS = Date.UTC(2026, 0, 31, 12);
const JANUARY = Date.UTC(2026, 0, 1);

const offset = (value: number) => ({ type: 'offset', offset: value }) as const;
const time = (timestamp: number) => ({ type: 'time', timestamp }) as const;

describe('parseOffsetSpec', () => {
  const table: [string, OffsetRange][] = [
    ['42', { from: offset(42) }],
    ['0', { from: offset(0) }],
    ['-10', { from: { type: 'before-end', count: 10 } }],
    ['beginning', { from: { type: 'beginning' } }],
    ['earliest', { from: { type: 'beginning' } }],
    ['end', { from: { type: 'end' } }],
    ['latest', { from: { type: 'end' } }],
    ['5:9', { from: offset(5), until: offset(9) }],
    ['5:', { from: offset(5) }],
    [':9', { until: offset(9) }],
    ['-10:end', { from: { type: 'before-end', count: 10 }, until: { type: 'end' } }],
    ['@2026-01-01', { from: time(JANUARY) }],
    ['@2026-01-01T00:00:00Z', { from: time(JANUARY) }],
    ['@2026-01-01T00:00:00Z:2026-01-31T12:00:00Z', { from: time(JANUARY), until: time(NOW_MS) }],
    ['@2026-01-01T00:00:00Z:@2026-01-31T12:00:00Z', { from: time(JANUARY), until: time(NOW_MS) }],
    ['@2026-01-01:', { from: time(JANUARY) }],
    ['@:2026-01-01', { until: time(JANUARY) }],
    ['5:@2026-01-01T00:00:00Z', { from: { type: 'offset', offset: 5 }, until: time(JANUARY) }],
    [':@2026-01-01', { until: time(JANUARY) }],
    ['@-2h', { from: time(NOW_MS - 7_200_000) }],
    ['@-2h:-1h', { from: time(NOW_MS - 7_200_000), until: time(NOW_MS - 3_600_000) }],
    ['s@1767225600000', { from: time(JANUARY) }],
    ['e@1767225600', { until: time(JANUARY) }],
  ];
  it('refuses what is longer than two times can be, without a look at each of its colons', () => {
    const begun = performance.now();
    expect(() => parseOffsetSpec(`@${':'.repeat(15_000)}`, NOW_MS)).to.throw(FastQueueError);
    expect(performance.now() - begun).to.be.lessThan(100);
  });

  for (const [text, range] of table) {
    it(`understands ${text}`, () => {
      expect(parseOffsetSpec(text, NOW_MS)).to.deep.equal(range);
    });
  }

  const refused = [
    '',
    ':',
    'begin',
    '1.5',
    '1e3',
    '--1',
    '9007199254740992',
    '1:2:3',
    '@',
    '@:',
    '@yesterday',
    's@',
    ' 1',
    'constructor',
    '__proto__',
    'toString:5',
  ];
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => parseOffsetSpec(text, NOW_MS)).to.throw(FastQueueError);
    });
  }
});

describe('resolveOffset', () => {
  const bounds = {
    startOffset: 10,
    nextOffset: 100,
    offsetAtTime: (timestampMs: number) => Promise.resolve(timestampMs + 1),
  };

  it('counts from the end, and never to before the beginning', async () => {
    expect(await resolveOffset({ type: 'before-end', count: 5 }, bounds)).to.equal(95);
    expect(await resolveOffset({ type: 'before-end', count: 500 }, bounds)).to.equal(10);
  });

  it('knows both ends and asks for times', async () => {
    expect(await resolveOffset({ type: 'beginning' }, bounds)).to.equal(10);
    expect(await resolveOffset({ type: 'end' }, bounds)).to.equal(100);
    expect(await resolveOffset(time(41), bounds)).to.equal(42);
  });

  it('leaves an explicit offset as it is, for the caller to judge', async () => {
    expect(await resolveOffset(offset(5000), bounds)).to.equal(5000);
  });
});
