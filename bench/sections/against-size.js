/** What must not grow with the log: the first record at any offset, open after a crash, topics show. And memory. */
import { appendFileSync, readdirSync, rmSync } from 'node:fs';
import { linesFile } from '../lib/input.js';
import { inTurn, median, peakMegabytes, seconds } from '../lib/measure.js';
import { fixed } from '../lib/report.js';

const STEPS = [1e6, 1e7, 1e8, 1e9, 1e10];
const LINE_BYTES = 100;
/** Larger logs are made of the same input many times over. */
const INPUT_BYTES = 1e8;

export async function againstSize({ directory, rounds, largestBytes, bin }) {
  const data = `${directory}/data`;
  const node = `'${process.execPath}' '${bin}'`;
  const rows = [];
  const points = [];
  for (const bytes of STEPS.filter((step) => step <= largestBytes)) {
    rmSync(data, { recursive: true, force: true });
    const part = linesFile(directory, { lineBytes: LINE_BYTES, totalBytes: Math.min(bytes, INPUT_BYTES) });
    const repeats = Math.round(bytes / (part.count * LINE_BYTES));
    const files = Array.from({ length: repeats }, () => part.path).join(' ');
    const peak = peakMegabytes(`${node} produce t ${files} -d ${data} --ack none`, directory);
    const count = part.count * repeats;
    const times = await inTurn(
      {
        first: {
          run: () => seconds(`${node} consume t -o ${Math.floor(Math.random() * count)} -n 1 -d ${data}`),
        },
        open: {
          prepare: () => tearTail(`${data}/t`),
          run: `echo x | ${node} produce t -d ${data} --ack none`,
        },
        show: { run: `${node} topics show t -d ${data}` },
        bare: { run: `'${process.execPath}' -e 0` },
      },
      rounds,
    );
    const ms = Object.fromEntries(Object.entries(times).map(([name, each]) => [name, median(each) * 1000]));
    points.push({ bytes, ...ms });
    rows.push({
      log: sizeName(bytes),
      'first record at a random offset, ms': fixed(ms.first, 0),
      'append after a crash, ms': fixed(ms.open, 0),
      'topics show, ms': fixed(ms.show, 0),
      'node -e 0, ms': fixed(ms.bare, 0),
      'memory of produce, MB': fixed(peak, 0),
    });
  }
  rmSync(data, { recursive: true, force: true });
  return {
    rows,
    points,
    note: 'Whole commands, start-up included. The crash is half a frame behind the mark of the active segment.',
  };
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

const LINES = [
  { key: 'first', label: 'first record at a random offset', colour: '#1f77b4' },
  { key: 'open', label: 'append after a crash', colour: '#d62728' },
  { key: 'show', label: 'topics show', colour: '#2ca02c' },
  { key: 'bare', label: 'node -e 0', colour: '#7f7f7f' },
];

/** Milliseconds against bytes, the latter on a logarithmic axis. */
export function sizePlot(points) {
  const [width, height, left, top, bottom] = [720, 360, 60, 20, 50];
  const highest =
    Math.ceil(Math.max(...points.flatMap((point) => LINES.map(({ key }) => point[key]))) / 50) * 50;
  const x = (bytes) => left + ((Math.log10(bytes) - 6) / 4) * (width - left - 20);
  const y = (ms) => height - bottom - (ms / highest) * (height - bottom - top);
  const text = (at, content, anchor = 'middle') =>
    `<text x="${at.x.toFixed(0)}" y="${at.y.toFixed(0)}" text-anchor="${anchor}">${content}</text>`;
  const grid = Array.from({ length: highest / 50 + 1 }, (_, step) => step * 50).map(
    (ms) =>
      `<path d="M${left} ${y(ms).toFixed(1)}H${width - 20}" stroke="#ddd"/>${text({ x: left - 8, y: y(ms) + 4 }, ms, 'end')}`,
  );
  const names = points.map(({ bytes }) => text({ x: x(bytes), y: height - bottom + 18 }, sizeName(bytes)));
  const series = LINES.map(({ key, label, colour }, number) => {
    const path = points.map((point) => `${x(point.bytes).toFixed(1)},${y(point[key]).toFixed(1)}`).join(' ');
    const legend = { x: left + number * 170, y: height - 10 };
    return (
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>` +
      `<rect x="${legend.x}" y="${legend.y - 9}" width="10" height="10" fill="${colour}"/>` +
      text({ x: legend.x + 15, y: legend.y }, label, 'start')
    );
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>` +
    `${[...grid, ...names, ...series].join('\n')}\n` +
    `${text({ x: 8, y: 14 }, 'milliseconds', 'start')}</svg>\n`
  );
}
