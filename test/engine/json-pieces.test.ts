import { expect } from 'chai';
import fc from 'fast-check';
import { jsonPieces } from '../../src/engine/json-pieces.ts';

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
