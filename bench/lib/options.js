/** What `node bench/run.js` is told on its command line, and what it says about it. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

const NUMBERS = {
  'input-mb': { means: 'MB of input for `produce`, `consume`, `verify`', whole: '1000', quick: '200' },
  records: { means: 'records for each of the other stores', whole: '5000000', quick: '500000' },
  'largest-mb': { means: 'the largest log', whole: '10000', quick: '100' },
  rounds: {
    means: 'how often the contenders take turns, nearly twice as often for what has a bar and is soon done',
    whole: '5',
    quick: '2',
  },
};

/**
 * @param sections names that --only knows
 * @throws Error whose message is a sentence, where the command line says what there is not
 */
export function readOptions(args, { sections, isQuick }) {
  const options = {
    help: { type: 'boolean', short: 'h' },
    only: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
  };
  for (const [name, { whole, quick }] of Object.entries(NUMBERS)) {
    options[name] = { type: 'string', default: isQuick ? quick : whole };
  }
  const { values } = parseArgs({ args, options });
  for (const name of Object.keys(NUMBERS)) {
    if (!/^[1-9]\d*$/.test(values[name]))
      throw new Error(`--${name} is a whole number above zero, not '${values[name]}'`);
    values[name] = Number(values[name]);
  }
  if (values.only !== undefined && !sections.includes(values.only)) {
    throw new Error(`--only is one of ${sections.join(', ')}, not '${values.only}'`);
  }
  if (!existsSync(values.directory)) throw new Error(`--directory: there is no ${values.directory}`);
  return values;
}

export function usage(sections) {
  const rows = [
    ...Object.entries(NUMBERS).map(([name, { means, whole, quick }]) => [
      `--${name} N`,
      `${means}; ${whole}, quick: ${quick}`,
    ]),
    ['--only SECTION', `one part, and leaves the others as they are: ${sections.join(', ')}`],
    ['--directory DIR', `where to measure; ${tmpdir()}`],
    ['--help', 'prints this'],
  ];
  return [
    'npm run bench [-- OPTIONS]',
    '',
    'Measures every promise of speed beside what it is measured at, into docs/bench.md and its plots.',
    '',
    ...rows.map(([option, means]) => `  ${option.padEnd(18)}${means}`),
    '',
    'FASTQUEUE_BENCH=quick in the environment takes small sizes and prints the results only.',
  ].join('\n');
}
