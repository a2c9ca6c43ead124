import { expect } from 'chai';
import { parseDelimiter, parseTerminator, unescapeBytes } from '../../src/cli/delimiter.ts';
import { FastQueueError } from '../../src/engine/index.ts';

describe('delimiters', () => {
  const table: [string, number[]][] = [
    ['\\n', [0x0a]],
    ['\\r\\n', [0x0d, 0x0a]],
    ['\\t', [0x09]],
    ['\\0', [0]],
    ['\\\\', [0x5c]],
    ['\\xff\\x00', [0xff, 0]],
    ['a\\x41b', [0x61, 0x41, 0x62]],
    ['é', [0xc3, 0xa9]],
  ];
  for (const [text, bytes] of table) {
    it(`reads ${text} as ${Buffer.from(bytes).toString('hex')}`, () => {
      expect([...unescapeBytes(text)]).to.deep.equal(bytes);
    });
  }

  for (const text of ['\\', '\\q', '\\x4', '\\xgg']) {
    it(`refuses ${text} with the escapes that there are`, () => {
      expect(() => unescapeBytes(text)).to.throw(FastQueueError, '\\xNN');
    });
  }

  it('refuses what was not UTF-8 as it was typed, rather than to look for other bytes', () => {
    expect(() => unescapeBytes('a\ufffd')).to.throw(FastQueueError, '\\xNN');
    expect([...unescapeBytes('\\xef\\xbf\\xbd')]).to.deep.equal([0xef, 0xbf, 0xbd]);
  });

  it('refuses an empty delimiter for input and takes an empty terminator for output', () => {
    expect(() => parseDelimiter('')).to.throw(FastQueueError, '1 to 1024 bytes');
    expect(parseTerminator('')).to.have.length(0);
  });
});
