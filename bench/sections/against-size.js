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
  const rounds = fewRounds * 2;
  const data = `${directory}/data`;
  const node = `'${process.execPath}' '${bin}'`;
  const points = [];
  for (const bytes of STEPS.filter((step) => step <= largestBytes)) {
    rmSync(data, { recursive: true, force: true });
    const part = linesFile(directory, { lineBytes: LINE_BYTES, totalBytes: Math.min(bytes, INPUT_BYTES) });
    const repeats = Math.round(bytes / (part.count * LINE_BYTES));
    const files = Array.from({ length: repeats }, () => part.path).join(' ');
    const peak = (command) => peakMegabytes(command, directory);
    const memory = { produce: peak(`${node} produce t ${files} -d ${data} --ack none`) };
    const count = part.count * repeats;
    const commands = {
      first: () => `${node} consume t -o ${Math.floor(Math.random() * count)} -n 1 -d ${data}`,
      open: () => `echo x | ${node} produce t -d ${data} --ack none`,
      show: () => `${node} topics show t -d ${data}`,
    };
    const prepare = () => tearTail(`${data}/t`);
    const times = await inTurn(
      {
        bare: { run: `'${process.execPath}' -e 0` },
        first: { run: () => seconds(commands.first()) },
        open: { prepare, run: commands.open() },
        show: { run: commands.show() },
      },
      rounds,
    );
    prepare();
    for (const [name, command] of Object.entries(commands).reverse()) memory[name] = peak(command());
    const ms = Object.fromEntries(Object.entries(times).map(([name, each]) => [name, median(each) * 1000]));
    points.push({ bytes, memory, ...ms });
  }
  rmSync(data, { recursive: true, force: true });
  return { rounds, points };
}

const WHATS = {
  first: 'first record at a random offset',
  open: 'append after a crash',
  show: 'topics show',
  bare: 'node -e 0',
  produce: 'produce, from a file',
};

const TIMED = ['first', 'open', 'show', 'bare'];

function report({ points }) {
  const title = 'Milliseconds against the size of the log';
  return {
    tables: [
      { caption: 'Milliseconds of whole commands, start-up included:', rows: timeRows(points) },
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
    note: 'The crash is half a batch behind the mark of the active segment. Nothing may take longer in a larger log.',
  };
}

function timeRows(points) {
  return TIMED.map((name) => {
    const more = points.at(-1)[name] - points[0][name] - (points.at(-1).bare - points[0].bare);
    return {
      what: WHATS[name],
      ...Object.fromEntries(points.map((point) => [sizeName(point.bytes), fixed(point[name], 0)])),
      [`longer, beyond what node -e 0 is; ≤ ${FLAT_MS}`]:
        name === 'bare' ? '' : `${fixed(more, 1)}: ${verdict(more <= FLAT_MS)}`,
    };
  });
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
