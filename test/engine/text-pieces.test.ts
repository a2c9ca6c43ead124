import { expect } from 'chai';
import fc from 'fast-check';
import { gathered, jsonPieces } from '../../src/engine/text-pieces.ts';

describe('jsonPieces', () => {
  it('puts together to what JSON.stringify makes, and a newline', () => {
    const member = fc.oneof(fc.jsonValue(), fc.constant(undefined), fc.array(fc.jsonValue()));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), member), (value) => {
        expect([...jsonPieces(value)].join('')).to.equal(`${JSON.stringify(value)}\n`);
        const lines = [...jsonPieces(value, '\n')].join('');
        expect(JSON.parse(lines)).to.deep.equal(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('writes what is made one by one as a list, a piece each', () => {
    const made = function* (): Generator<object> {
      yield { number: 1 };
      yield { number: 2 };
    };
    expect([...jsonPieces({ type: 'report', made: made() })]).to.deep.equal([
      '{"type":',
      '"report"',
      ',"made":',
      '[{"number":1}',
      ',{"number":2}',
      ']',
      '}\n',
    ]);
  });
});

describe('gathered', () => {
  it('keeps every byte in order, in few pieces of at most 64 KiB but for one that is longer by itself', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.integer({ min: 0, max: 100_000 }).map((length) => 'ö'.repeat(length)),
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const written = [...gathered(pieces)].length;
        const bytes: Buffer[] = [];
        for (const each of gathered(pieces)) {
          expect(each.length <= 65_536 || pieces.includes(each.toString())).to.equal(true);
          bytes.push(Buffer.from(each));
        }
        const whole = Buffer.from(pieces.join(''));
        expect(Buffer.concat(bytes).equals(whole)).to.equal(true);
        expect(written).to.be.at.most(2 * Math.ceil(whole.length / 65_536) + 1);
      }),
    );
  });
});
