/** What must not grow with the log: the first record at any offset, open after a crash, topics show. And memory. */
import { appendFileSync, readdirSync, rmSync } from 'node:fs';
import { linesFile } from '../lib/input.js';
import { inTurn, median, peakMegabytes, seconds } from '../lib/measure.js';
import { linePlot } from '../lib/plot.js';
import { fixed, verdict } from '../lib/report.js';

const STEPS = [1e6, 1e7, 1e8, 1e9, 1e10];
const LINE_BYTES = 100;
/** Larger logs are made of the same input many times over. */
const INPUT_BYTES = 1e8;

/** Milliseconds that the largest log may take longer than the smallest. */
const FLAT_MS = 5;

const MEMORY_LIMIT_MB = 160;

export const againstSize = { title: 'Cost against the size of the log', measure, report };

async function measure({ directory, rounds: fewRounds, largestBytes, bin }) {
  const rounds = fewRounds * 6;
  const node = `'${process.execPath}' '${bin}'`;
  const peak = (command) => peakMegabytes(command, directory);
  const logs = STEPS.filter((step) => step <= largestBytes).map((bytes) => {
    const data = `${directory}/data-${bytes}`;
    const part = linesFile(directory, { lineBytes: LINE_BYTES, totalBytes: Math.min(bytes, INPUT_BYTES) });
    const repeats = Math.round(bytes / (part.count * LINE_BYTES));
    const files = Array.from({ length: repeats }, () => part.path).join(' ');
    const produce = peak(`${node} produce t ${files} -d ${data} --ack none`);
    const count = part.count * repeats;
    const commands = {
      first: () => `${node} consume t -o ${Math.floor(Math.random() * count)} -n 1 -d ${data}`,
      open: () => `echo x | ${node} produce t -d ${data} --ack none`,
      show: () => `${node} topics show t -d ${data}`,
    };
    return { bytes, data, produce, commands, crash: () => tearTail(`${data}/t`) };
  });
  // All sizes take turns: what else the machine does meanwhile is the same for each.
  const contenders = logs.flatMap(({ bytes, commands, crash }) =>
    Object.entries(commands).map(([name, command]) => [
      `${name} ${bytes}`,
      { run: () => seconds(command()), ...(name === 'open' ? { prepare: crash } : {}) },
    ]),
  );
  const bare = `'${process.execPath}' -e 0`;
  const times = await inTurn({ bare: { run: bare }, ...Object.fromEntries(contenders) }, rounds);
  const points = logs.map(({ bytes, produce, commands, crash }) => {
    crash();
    const inReverse = Object.entries(commands).reverse();
    const memory = { produce, ...Object.fromEntries(inReverse.map(([name, run]) => [name, peak(run())])) };
    const ms = Object.fromEntries(TIMED.map((name) => [name, median(times[`${name} ${bytes}`]) * 1000]));
    return { bytes, memory, ...ms };
  });
  for (const { data } of logs) rmSync(data, { recursive: true });
  const longerMs = Object.fromEntries(
    TIMED.map((name) => {
      const [smallest, largest] = [logs.at(0), logs.at(-1)].map(({ bytes }) => times[`${name} ${bytes}`]);
      return [name, median(largest.map((each, round) => each - smallest[round])) * 1000];
    }),
  );
  return { rounds, points, longerMs, bareMs: median(times.bare) * 1000 };
}

const WHATS = {
  first: 'first record at a random offset',
  open: 'append after a crash',
  show: 'topics show',
  produce: 'produce, from a file',
};

const TIMED = ['first', 'open', 'show'];

function report({ points, longerMs, bareMs }) {
  const title = 'Milliseconds against the size of the log';
  return {
    tables: [
      { caption: 'Milliseconds of whole commands, start-up included:', rows: timeRows(points, longerMs) },
      { caption: `Peak memory in MB, of which there may be ${MEMORY_LIMIT_MB}:`, rows: memoryRows(points) },
    ],
    plot: {
      title,
      svg: linePlot({
        title,
        x: {
          axis: 'size of the log',
          ticks: points.map(({ bytes }) => ({ value: bytes, name: sizeName(bytes) })),
        },
        yAxis: 'milliseconds',
        series: TIMED.map((name) => ({ name: WHATS[name], values: points.map((point) => point[name]) })),
      }),
    },
    note:
      `\`node -e 0\` itself: ${fixed(bareMs, 0)} ms. The crash is half a batch behind the mark of the active segment. Nothing may take ` +
      'longer in a larger log.',
  };
}

function timeRows(points, longerMs) {
  return TIMED.map((name) => ({
    what: WHATS[name],
    ...Object.fromEntries(points.map((point) => [sizeName(point.bytes), fixed(point[name], 0)])),
    [`longer in the largest; ≤ ${FLAT_MS}`]: `${fixed(longerMs[name], 1)}: ${verdict(longerMs[name] <= FLAT_MS)}`,
  }));
}

function memoryRows(points) {
  return ['produce', 'first', 'open', 'show'].map((name) => ({
    what: WHATS[name],
    ...Object.fromEntries(points.map(({ bytes, memory }) => [sizeName(bytes), fixed(memory[name], 0)])),
    result: verdict(points.every(({ memory }) => memory[name] <= MEMORY_LIMIT_MB)),
  }));
}

/** What a killed writer leaves: the beginning of a batch that was never synced. */
function tearTail(topicDirectory) {
  const active = readdirSync(topicDirectory)
    .filter((name) => name.endsWith('.store'))
    .sort()
    .at(-1);
  appendFileSync(`${topicDirectory}/${active}`, Buffer.alloc(40_000, 'x'));
}

const sizeName = (bytes) => (bytes >= 1e9 ? `${bytes / 1e9} GB` : `${bytes / 1e6} MB`);
