import { expect } from 'chai';
import { parsePrometheusText } from './prometheus-text.ts';

const HEAD = '# HELP m What it is.\n# TYPE m';

describe('parsePrometheusText', () => {
  it('reads families, labels with escapes, and special values', () => {
    const families = parsePrometheusText(`${HEAD} gauge\nm{a="x\\"\\\\\\n,}",b=""} +Inf\nm 1e-3\n`);
    expect(families.get('m')).to.deep.equal({
      type: 'gauge',
      help: 'What it is.',
      samples: [
        { name: 'm', labels: { a: 'x"\\\n,}', b: '' }, value: Infinity },
        { name: 'm', labels: {}, value: 0.001 },
      ],
    });
  });

  const histogram = (lines: string): string => `${HEAD} histogram\n${lines}`;
  const wrong: [string, string][] = [
    ['no newline at the end', `${HEAD} gauge\nm 1`],
    ['a sample before its type', 'm 1\n'],
    ['a type without help', '# TYPE m gauge\nm 1\n'],
    ['a family twice', `${HEAD} gauge\nm 1\n${HEAD} gauge\nm{a="b"} 1\n`],
    ['a series twice', `${HEAD} gauge\nm{a="b"} 1\nm{a="b"} 2\n`],
    ['a sample of another family', `${HEAD} gauge\nn 1\n`],
    ['a value that is none', `${HEAD} gauge\nm one\n`],
    ['a label that is not closed', `${HEAD} gauge\nm{a="b} 1\n`],
    ['a raw quote in a label', `${HEAD} gauge\nm{a="b"c"} 1\n`],
    ['a counter below 0', `${HEAD} counter\nm -1\n`],
    ['a bucket that falls', histogram('m_bucket{le="1"} 2\nm_bucket{le="+Inf"} 1\nm_sum 1\nm_count 1\n')],
    ['no infinite bucket', histogram('m_bucket{le="1"} 2\nm_sum 1\nm_count 2\n')],
    ['a count that is not the last bucket', histogram('m_bucket{le="+Inf"} 2\nm_sum 1\nm_count 3\n')],
    ['a histogram without a sum', histogram('m_bucket{le="+Inf"} 2\nm_count 2\n')],
  ];
  for (const [what, text] of wrong) {
    it(`refuses ${what}`, () => {
      expect(() => parsePrometheusText(text)).to.throw(Error);
    });
  }
});
