/** produce and consume at other record sizes, and produce at other batch sizes. */
import { rmSync } from 'node:fs';
import { linesFile } from '../lib/input.js';
import { inTurn, median, warmMemory } from '../lib/measure.js';
import { barPlot } from '../lib/plot.js';
import { fixed } from '../lib/report.js';

const LINE_BYTES = [16, 100, 1024, 65_536];
const BATCHES = ['64 KiB', '1 MiB', '8 MiB'];
/** Of the lines that the batches are of. */
const BATCH_LINE_BYTES = 100;
const MOST_ROUNDS = 3;

export const sizes = { title: 'Record and batch sizes', measure, report };

async function measure({ directory, rounds: mostRounds, inputBytes, bin }) {
  const data = `${directory}/data`;
  const node = `'${process.execPath}' '${bin}'`;
  const rounds = Math.min(mostRounds, MOST_ROUNDS);
  const prepare = () => {
    rmSync(data, { recursive: true, force: true });
    warmMemory();
  };
  const inputOf = (lineBytes) => linesFile(directory, { lineBytes, totalBytes: inputBytes / 2 });
  const lines = [];
  for (const lineBytes of LINE_BYTES) {
    const input = inputOf(lineBytes);
    const { produce, consume } = await inTurn(
      {
        produce: { prepare, run: `${node} produce t ${input.path} -d ${data} --ack none` },
        // Of what was stored just before, or in the round before where it goes first.
        consume: { run: `${node} consume t -d ${data} | cat` },
      },
      rounds,
    );
    lines.push({ lineBytes, produce: speedOf(input, produce), consume: speedOf(input, consume) });
    if (lineBytes !== BATCH_LINE_BYTES) rmSync(input.path);
  }
  const input = inputOf(BATCH_LINE_BYTES);
  const batches = [];
  for (const size of BATCHES) {
    const run = `${node} produce t ${input.path} -d ${data} --ack none --batch-bytes ${size.replace(' ', '')}`;
    const { produce } = await inTurn({ produce: { prepare, run } }, rounds);
    batches.push({ size, produce: speedOf(input, produce) });
  }
  rmSync(data, { recursive: true });
  return { rounds, lines, batches };
}

function speedOf({ count, lineBytes }, times) {
  const recordsPerSecond = count / median(times);
  return { recordsPerSecond, bytesPerSecond: recordsPerSecond * lineBytes };
}

function report({ lines, batches }) {
  const title = 'Speed by record and batch size';
  const byLines = lines.map((each) => ({ name: `lines of ${each.lineBytes} bytes`, ...each }));
  const byBatches = batches.map((each) => ({ name: `batches of ${each.size}`, ...each }));
  return {
    tables: [{ rows: [...byLines, ...byBatches].map(tableRow) }],
    plot: {
      title,
      svg: barPlot({
        title,
        series: ['produce', 'consume'],
        panels: [
          { heading: 'Record sizes', axis: 'MB/s', rows: byLines.map(plotRow) },
          {
            heading: `Batch sizes, lines of ${BATCH_LINE_BYTES} bytes`,
            axis: 'MB/s',
            rows: byBatches.map(plotRow),
          },
        ],
      }),
    },
    note: 'Whole processes, start-up included. Batches of one record are in "One record" below.',
  };
}

const megabytes = ({ bytesPerSecond }) => `${fixed(bytesPerSecond / 1e6, 0)} MB/s`;

function tableRow({ name, produce, consume }) {
  const cell = (speed) =>
    speed === undefined ? '' : `${fixed(speed.recordsPerSecond / 1e6, 3)} M records/s, ${megabytes(speed)}`;
  return { what: name, produce: cell(produce), consume: cell(consume) };
}

function plotRow({ name, produce, consume }) {
  const bar = (speed) => ({ value: speed.bytesPerSecond / 1e6, label: megabytes(speed) });
  return { name, bars: [bar(produce), ...(consume === undefined ? [] : [bar(consume)])] };
}
