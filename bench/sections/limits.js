/** The commands against the disk and the pipe: `dd`, `cat`, and a checksum alone. */
import { rmSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { linesFile } from '../lib/input.js';
import { inTurn, median, peakMegabytes, seconds, speedRatio, warmMemory } from '../lib/measure.js';
import { barPlot } from '../lib/plot.js';
import { fixed, metOrNot, verdict } from '../lib/report.js';

const BARE_COPY = fileURLToPath(new URL('../lib/bare-copy.js', import.meta.url));
const LINE_BYTES = 100;
const MEMORY_LIMIT_MB = 160;

const MEGABYTES = { name: 'MB/s', bytes: 1e6, digits: 0 };
const GIGABYTES = { name: 'GB/s', bytes: 1e9, digits: 2 };

/**
 * What is measured (`of` is its contender's name where that is another), what limits it (`as` is that one's), and what is
 * wanted of which of its figures.
 */
const SPEEDS = {
  file: {
    what: 'produce from a file',
    limit: 'dd oflag=dsync',
    unit: MEGABYTES,
    as: 'dd',
    bar: '≥ 0.8',
    wanted: { of: 'ratio', least: 0.8 },
  },
  copy: {
    what: 'the same bytes copied by node, synced on another thread',
    limit: 'dd oflag=dsync',
    unit: MEGABYTES,
    as: 'dd',
    bar: '',
  },
  large: {
    what: 'dd with blocks as large as batches of produce, 4 MiB',
    limit: 'dd oflag=dsync',
    unit: MEGABYTES,
    as: 'dd',
    bar: '',
  },
  pipe: {
    what: 'produce from a pipe',
    limit: 'cat | dd',
    unit: MEGABYTES,
    as: 'catDd',
    bar: '≥ 0.6',
    wanted: { of: 'ratio', least: 0.6 },
  },
  consume: {
    what: 'consume to a pipe',
    limit: 'cat | cat',
    unit: MEGABYTES,
    as: 'cat',
    bar: '≥ 5 million records/s',
    wanted: { of: 'recordsPerSecond', least: 5e6 },
  },
  verify: {
    what: 'verify, one thread',
    limit: 'zlib.crc32 alone',
    unit: GIGABYTES,
    as: 'crc',
    bar: '≥ 1.2 GB/s',
    wanted: { of: 'bytesPerSecond', least: 1.2e9 },
  },
  verifyReading: {
    what: 'verify, one thread',
    of: 'verify',
    limit: 'reading the file alone',
    unit: GIGABYTES,
    as: 'read',
    bar: '',
  },
  inspect: {
    what: 'inspect-segment',
    limit: 'zlib.crc32 alone',
    unit: GIGABYTES,
    as: 'crc',
    bar: '',
  },
  verifyAll: {
    what: `verify, ${cpus().length} threads over segments`,
    limit: 'the same with one thread',
    unit: GIGABYTES,
    as: 'verifyOne',
    bar: 'scales',
  },
};

const PEAKS = { file: 'produce, file', pipe: 'produce, pipe', consume: 'consume', verify: 'verify' };

export const limits = { title: 'Beside the limit', measure, report };

async function measure({ directory, barredRounds: rounds, inputBytes, bin }) {
  const input = linesFile(directory, { lineBytes: LINE_BYTES, totalBytes: inputBytes });
  const data = `${directory}/data`;
  const other = `${directory}/other`;
  const node = `'${process.execPath}' '${bin}'`;
  const fresh = () => {
    rmSync(data, { recursive: true, force: true });
    rmSync(other, { force: true });
    warmMemory();
  };
  seconds(`cat ${input.path}`);
  const writing = await inTurn(
    {
      dd: { prepare: fresh, run: `dd if=${input.path} of=${other} bs=1M oflag=dsync` },
      large: { prepare: fresh, run: `dd if=${input.path} of=${other} bs=4M oflag=dsync` },
      copy: { prepare: fresh, run: `'${process.execPath}' '${BARE_COPY}' ${input.path} ${other}` },
      file: { prepare: fresh, run: `${node} produce t ${input.path} -d ${data} --ack none` },
      catDd: {
        prepare: fresh,
        run: `cat ${input.path} | dd of=${other} bs=1M iflag=fullblock oflag=dsync`,
      },
      pipe: { prepare: fresh, run: `cat ${input.path} | ${node} produce t -d ${data} --ack none` },
    },
    rounds,
  );
  const peaks = {};
  fresh();
  peaks.file = peakMegabytes(`${node} produce t ${input.path} -d ${data} --ack none`, directory);
  fresh();
  peaks.pipe = peakMegabytes(`cat ${input.path} | ${node} produce t -d ${data} --ack none`, directory);
  const store = `${data}/t/00000000000000000000.store`;
  const storeBytes = statSync(store).size;
  // The same records in segments, for several threads.
  seconds(`${node} topics create parts --set segmentBytes=${Math.ceil(storeBytes / 4)} -d ${data}`);
  seconds(`${node} produce parts ${input.path} -d ${data} --ack none`);
  const reading = await inTurn(
    {
      cat: { run: `cat ${input.path} | cat` },
      consume: { run: `${node} consume t -d ${data} | cat` },
      read: { run: `cat ${store}` },
      crc: {
        run: `'${process.execPath}' '${new URL('../lib/checksum.js', import.meta.url).pathname}' ${store}`,
      },
      verify: { run: `${node} verify t --jobs 1 -d ${data}` },
      verifyOne: { run: `${node} verify parts --jobs 1 -d ${data}` },
      verifyAll: { run: `${node} verify parts --jobs ${cpus().length} -d ${data}` },
      inspect: { run: `${node} inspect-segment ${store}` },
    },
    rounds,
  );
  peaks.consume = peakMegabytes(`${node} consume t -d ${data} | cat`, directory);
  peaks.verify = peakMegabytes(`${node} verify parts -d ${data}`, directory);
  const speeds = {};
  for (const [name, { of = name, as }] of Object.entries(SPEEDS)) {
    const isWriting = of in writing;
    const times = isWriting ? writing : reading;
    const byteCount = isWriting || of === 'consume' ? inputBytes : storeBytes;
    speeds[name] = {
      bytesPerSecond: byteCount / median(times[of]),
      recordsPerSecond: input.count / median(times[of]),
      limitBytesPerSecond: byteCount / median(times[as]),
      ratio: speedRatio(times, of, as),
    };
  }
  return { rounds, speeds, peaks };
}

function report({ speeds, peaks }) {
  const results = Object.entries(SPEEDS).map(([name, asked]) => ({ ...asked, ...speeds[name] }));
  const title = 'Speed as a share of what limits it';
  return {
    tables: [
      {
        rows: [
          ...results.map(speedRow),
          ...Object.entries(PEAKS).map(([name, what]) => memoryRow(what, peaks[name])),
        ],
      },
    ],
    plot: {
      title,
      svg: barPlot({
        title,
        series: ['met, or nothing wanted'],
        panels: [{ axis: 'times as fast as the limit', rows: results.map(plotRow) }],
      }),
    },
    note: 'Lines of 100 bytes, every batch synced; seconds are those of whole processes, start-up included.',
  };
}

function speedRow(result) {
  const { what, unit, limit, as, ratio, bar } = result;
  const rate = (bytesPerSecond) => `${fixed(bytesPerSecond / unit.bytes, unit.digits)} ${unit.name}`;
  const ofRecords = `${fixed(result.recordsPerSecond / 1e6)} million records/s: `;
  const isOfRecords = result.wanted?.of === 'recordsPerSecond';
  return {
    what,
    measured: rate(result.bytesPerSecond),
    limit: as === 'verifyOne' ? limit : `${limit} ${rate(result.limitBytesPerSecond)}`,
    ratio: fixed(ratio),
    bar,
    result: result.wanted === undefined ? '' : `${isOfRecords ? ofRecords : ''}${verdict(isMet(result))}`,
  };
}

const isMet = (result) => result[result.wanted.of] >= result.wanted.least;

function memoryRow(what, peak) {
  return {
    what: `memory: ${what}`,
    measured: `${fixed(peak, 0)} MB`,
    limit: '',
    ratio: '',
    bar: `≤ ${MEMORY_LIMIT_MB} MB`,
    result: verdict(peak <= MEMORY_LIMIT_MB),
  };
}

/** The mark stands at the ratio that there would be if the figure were what is wanted of it. */
function plotRow(result) {
  const { what, limit, ratio, bar, wanted } = result;
  const label = `${fixed(ratio)} of ${limit}`;
  if (wanted === undefined) return { name: what, bars: [{ value: ratio, label }] };
  const asked = {
    label: `${label}; ${bar}: ${metOrNot(isMet(result))}`,
    wanted: (ratio * wanted.least) / result[wanted.of],
    isMet: isMet(result),
  };
  return { name: what, bars: [{ value: ratio, ...asked }] };
}
