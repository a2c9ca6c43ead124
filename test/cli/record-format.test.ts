import { expect } from 'chai';
import { formatRecords, parseRecordFormat } from '../../src/cli/consume/record-format.ts';
import { FastQueueError } from '../../src/engine/index.ts';

const record = {
  topic: 'events',
  offset: 42,
  timestamp: Date.UTC(2026, 0, 31, 12),
  payload: Buffer.from('hé'),
};
const binary = { ...record, payload: Buffer.of(0xff, 0x0a, 0x00) };

const format = (text: string, ...records: (typeof record)[]): Buffer =>
  formatRecords(records, parseRecordFormat(text));

describe('record formats', () => {
  const table: [string, string][] = [
    ['%s', 'hé'],
    ['%S', '3'],
    ['%o', '42'],
    ['%T', '1769860800000'],
    ['%T{iso}', '2026-01-31T12:00:00.000Z'],
    ['%t', 'events'],
    ['%%', '%'],
    ['%s{hex}', '68c3a9'],
    ['%s{base64}', 'aMOp'],
    ['%s{json}', '"hé"'],
    ['%o\\t%s\\n', '42\thé\n'],
    ['\\x00%o', '\x0042'],
    ['', ''],
    ['{%o}', '{42}'],
  ];
  for (const [text, expected] of table) {
    it(`writes ${JSON.stringify(text)} as ${JSON.stringify(expected)}`, () => {
      expect(format(text, record).toString()).to.equal(expected);
    });
  }

  it('writes bytes that are not UTF-8 as they are', () => {
    expect(format('<%s>', binary)).to.deep.equal(Buffer.from('3cff0a003e', 'hex'));
  });

  it('keeps the order of text and bytes over many records', () => {
    expect(format('%o=%s;', record, binary)).to.deep.equal(
      Buffer.concat([Buffer.from('42=hé;42='), binary.payload, Buffer.from(';')]),
    );
  });

  describe('of a record whose JSON is six times its 32 MiB', () => {
    const large = { ...record, payload: Buffer.alloc(32 * 1024 * 1024, 1) };
    const once = large.payload.length * '\\u0001'.length + 2;

    it('write it more often than a string could hold it', () => {
      const formatted = format('%s{json}%o%s{json}%s{json}', large);
      expect(formatted.length).to.equal(3 * once + 2);
      expect(formatted.toString('latin1', once - 7, once + 9)).to.equal('\\u0001"42"\\u0001');
    });

    it('refuse more than 1 GiB with a sentence that names the offset, however often it is asked for', () => {
      expect(() => format('%s{json}'.repeat(100), record, large)).to.throw(
        FastQueueError,
        /offset 42, .* 1 GiB/,
      );
    });
  });

  it('writes a timestamp that no calendar can show as its number', () => {
    expect(format('%T{iso}', { ...record, timestamp: 8.7e15 }).toString()).to.equal('8700000000000000');
  });

  for (const text of ['%z', '%', '%s{utf8}', '%o{hex}', '%T{json}', '%s{constructor}', '\\q']) {
    it(`refuses ${text} with a sentence that names what there is`, () => {
      expect(() => parseRecordFormat(text)).to.throw(FastQueueError, /there are|has no|escape/);
    });
  }
});
