/** Each command against `node -e 0`: the least that a command can do. The commands are those that there are. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { linesFile } from '../lib/input.js';
import { inTurn, median, seconds, speedRatio } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

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

export async function startUp({ directory, rounds, bin }) {
  const { COMMAND_LOADERS } = await import('../../dist/commands/index.js');
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const input = linesFile(directory, { lineBytes: 100, totalBytes: 10_000 });
  const node = `'${process.execPath}' '${bin}'`;
  seconds(`${node} produce t ${input.path} -d ${data}`);
  const contenders = { bare: { run: `'${process.execPath}' -e 0` }, '--help': { run: `${node} --help` } };
  for (const id of Object.keys(COMMAND_LOADERS)) {
    const name = id.replace(':', ' ');
    if (id === 'serve') {
      contenders['serve, until it listens'] = { run: () => secondsUntilListening({ bin, data }) };
    } else if (id === 'topics:delete') {
      contenders['topics delete d --yes'] = {
        prepare: () => seconds(`${node} topics create d -d ${data}`),
        run: `${node} topics delete d --yes -d ${data}`,
      };
    } else if (ARGUMENTS[id] === undefined) {
      contenders[`${name} --help`] = { run: `${node} ${name} --help` };
    } else {
      const given = `${name} ${ARGUMENTS[id]}`.trim();
      const from = id === 'produce' ? input.path : '/dev/null';
      contenders[given] = {
        run: `cd ${data} && ${node} ${given} ${id === 'inspect-segment' ? '' : `-d ${data}`} < ${from}`,
      };
    }
  }
  const times = await inTurn(contenders, rounds * 3);
  const rows = Object.keys(contenders)
    .filter((name) => name !== 'bare')
    .map((name) => {
      const ratio = 1 / speedRatio(times, name, 'bare');
      return {
        command: `fastqueue ${name.replace('$$', 'N')}`,
        'median ms': fixed(median(times[name]) * 1000, 0),
        'ratio to node -e 0': fixed(ratio),
        [`≤ ${LIMIT}`]: verdict(ratio <= LIMIT),
      };
    });
  return {
    rows,
    note:
      `\`node -e 0\` itself: ${fixed(median(times.bare) * 1000, 0)} ms. Commands that change a topic wait for the disk too: ` +
      '`produce` stores 100 records.',
  };
}

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
