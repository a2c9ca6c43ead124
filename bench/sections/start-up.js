/** Each command against `node -e 0`: the least that a command can do. The commands are those that there are. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { linesFile } from '../lib/input.js';
import { inTurn, median, seconds, speedRatio } from '../lib/measure.js';
import { barPlot } from '../lib/plot.js';
import { fixed, metOrNot, verdict } from '../lib/report.js';

const LIMIT = 1.8;

/** What each command is given to do; one that is not here prints its help. `$$` is another number in every run. */
const ARGUMENTS = {
  consume: 't',
  'inspect-segment': 't/00000000000000000000.store',
  produce: 't -q',
  recover: 't --dry-run',
  compact: 't --dry-run',
  topics: '',
  'topics:create': 'new-$$',
  'topics:reset': 't --group g --to beginning',
  'topics:set': 't retentionAgeMs=7d',
  'topics:show': 't',
  verify: 't',
};

export const startUp = { title: 'Start-up', measure, report };

async function measure({ directory, rounds: fewRounds, bin }) {
  const rounds = fewRounds * 6;
  const { COMMAND_LOADERS } = await import('../../dist/commands/index.js');
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const input = linesFile(directory, { lineBytes: 100, totalBytes: 10_000 });
  const node = `'${process.execPath}' '${bin}'`;
  seconds(`${node} produce t ${input.path} -d ${data}`);
  const contenders = {
    bare: { run: `'${process.execPath}' -e 0` },
    '--help': { name: '--help', run: `${node} --help` },
  };
  for (const id of Object.keys(COMMAND_LOADERS)) {
    const name = id.replace(':', ' ');
    if (id === 'serve') {
      contenders['serve, until it listens'] = { name, run: () => secondsUntilListening({ bin, data }) };
    } else if (id === 'topics:delete') {
      contenders['topics delete d --yes'] = {
        name,
        prepare: () => seconds(`${node} topics create d -d ${data}`),
        run: `${node} topics delete d --yes -d ${data}`,
      };
    } else if (ARGUMENTS[id] === undefined) {
      contenders[`${name} --help`] = { name, run: `${node} ${name} --help` };
    } else {
      const given = `${name} ${ARGUMENTS[id]}`.trim();
      const from = id === 'produce' ? input.path : '/dev/null';
      contenders[given] = {
        name,
        run: `cd ${data} && ${node} ${given} ${id === 'inspect-segment' ? '' : `-d ${data}`} < ${from}`,
      };
    }
  }
  const { bare, ...commands } = contenders;
  const times = await inTurn({ bare, ...commands }, rounds);
  return {
    rounds,
    bareMs: median(times.bare) * 1000,
    commands: Object.entries(commands).map(([given, { name }]) => ({
      name,
      given: given.replace('$$', 'N'),
      ms: median(times[given]) * 1000,
      ratio: 1 / speedRatio(times, given, 'bare'),
    })),
  };
}

function report({ bareMs, commands }) {
  const title = 'Start-up of each command';
  return {
    tables: [
      {
        rows: commands.map(({ given, ms, ratio }) => ({
          command: `fastqueue ${given}`,
          'median ms': fixed(ms, 0),
          'ratio to node -e 0': fixed(ratio),
          [`≤ ${LIMIT}`]: verdict(ratio <= LIMIT),
        })),
      },
    ],
    plot: {
      title,
      svg: barPlot({
        title,
        series: ['met'],
        panels: [{ axis: `times as long as node -e 0, at most ${LIMIT}`, rows: commands.map(plotRow) }],
      }),
    },
    note:
      `\`node -e 0\` itself: ${fixed(bareMs, 0)} ms. Commands that change a topic wait for the disk too: ` +
      '`produce` stores 100 records.',
  };
}

const plotRow = ({ name, ratio }) => ({
  name,
  bars: [
    {
      value: ratio,
      label: `${fixed(ratio)}: ${metOrNot(ratio <= LIMIT)}`,
      wanted: LIMIT,
      isMet: ratio <= LIMIT,
    },
  ],
});

async function secondsUntilListening({ bin, data }) {
  const start = process.hrtime.bigint();
  const server = spawn(process.execPath, [bin, 'serve', '--port', '0', '-d', data], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(server.stdout, 'data');
  const elapsed = Number(process.hrtime.bigint() - start) / 1e9;
  server.kill();
  await once(server, 'exit');
  return elapsed;
}
