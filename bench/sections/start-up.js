/** Each command against `node -e 0`: the least that a command can do. */
import { rmSync } from 'node:fs';
import { linesFile } from '../lib/input.js';
import { inTurn, median, seconds, speedRatio } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const LIMIT = 1.8;

const COMMANDS = [
  '--help',
  'produce --help',
  'produce t -q',
  'consume t',
  'topics',
  'topics show t',
  'verify t',
  'recover t --dry-run',
  'compact t --dry-run',
];

export async function startUp({ directory, rounds, bin }) {
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const input = linesFile(directory, { lineBytes: 100, totalBytes: 10_000 });
  const node = `'${process.execPath}'`;
  seconds(`${node} '${bin}' produce t ${input.path} -d ${data}`);
  const full = (command) =>
    `${node} '${bin}' ${command} ${command.includes('--help') ? '' : `-d ${data}`} < ${command.startsWith('produce t') ? input.path : '/dev/null'}`;
  const known = COMMANDS.filter((command) => {
    try {
      seconds(full(command));
      return true;
    } catch {
      return false;
    }
  });
  const contenders = Object.fromEntries(known.map((command) => [command, { run: full(command) }]));
  const times = await inTurn({ bare: { run: `${node} -e 0` }, ...contenders }, rounds * 3);
  const rows = known.map((command) => {
    const ratio = 1 / speedRatio(times, command, 'bare');
    return {
      command: `fastqueue ${command}`,
      'median ms': fixed(median(times[command]) * 1000, 0),
      'ratio to node -e 0': fixed(ratio),
      [`≤ ${LIMIT}`]: verdict(ratio <= LIMIT),
    };
  });
  return {
    rows,
    note: `\`node -e 0\` itself: ${fixed(median(times.bare) * 1000, 0)} ms. \`produce\` stores 100 records and waits for the disk.`,
  };
}
