/** The commands against the disk and the pipe: `dd`, `cat`, and a checksum alone. */
import { rmSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { linesFile } from '../lib/input.js';
import { inTurn, median, peakMegabytes, seconds, speedRatio } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const LINE_BYTES = 100;
const MEMORY_LIMIT_MB = 160;

/** Rows of the bars that have one. */
export async function commandLimits({ directory, rounds, inputBytes, bin }) {
  const input = linesFile(directory, { lineBytes: LINE_BYTES, totalBytes: inputBytes });
  const data = `${directory}/data`;
  const other = `${directory}/other`;
  const node = `'${process.execPath}' '${bin}'`;
  const fresh = () => {
    rmSync(data, { recursive: true, force: true });
    rmSync(other, { force: true });
  };
  seconds(`cat ${input.path}`);
  const writing = await inTurn(
    {
      dd: { prepare: fresh, run: `dd if=${input.path} of=${other} bs=1M oflag=dsync` },
      file: { prepare: fresh, run: `${node} produce t ${input.path} -d ${data} --ack none` },
      catDd: {
        prepare: fresh,
        run: `cat ${input.path} | dd of=${other} bs=1M iflag=fullblock oflag=dsync`,
      },
      pipe: { prepare: fresh, run: `cat ${input.path} | ${node} produce t -d ${data} --ack none` },
    },
    rounds,
  );
  fresh();
  const filePeak = peakMegabytes(`${node} produce t ${input.path} -d ${data} --ack none`, directory);
  fresh();
  const pipePeak = peakMegabytes(`cat ${input.path} | ${node} produce t -d ${data} --ack none`, directory);
  const store = `${data}/t/00000000000000000000.store`;
  const storeBytes = statSync(store).size;
  // The same records in segments, for several threads.
  seconds(`${node} topics create parts --set segmentBytes=${Math.ceil(storeBytes / 4)} -d ${data}`);
  seconds(`${node} produce parts ${input.path} -d ${data} --ack none`);
  const reading = await inTurn(
    {
      cat: { run: `cat ${input.path} | cat` },
      consume: { run: `${node} consume t -d ${data} | cat` },
      catStore: { run: `cat ${store} | cat` },
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
  const consumePeak = peakMegabytes(`${node} consume t -d ${data} | cat`, directory);
  const verifyPeak = peakMegabytes(`${node} verify parts -d ${data}`, directory);
  const fileRatio = speedRatio(writing, 'file', 'dd');
  const pipeRatio = speedRatio(writing, 'pipe', 'catDd');
  const consumeRate = input.count / median(reading.consume);
  const megabytes = (times) => `${fixed(inputBytes / 1e6 / median(times), 0)} MB/s`;
  const rows = [
    row(
      'produce from a file',
      megabytes(writing.file),
      `dd oflag=dsync ${megabytes(writing.dd)}`,
      fileRatio,
      0.8,
    ),
    row(
      'produce from a pipe',
      megabytes(writing.pipe),
      `cat \\| dd ${megabytes(writing.catDd)}`,
      pipeRatio,
      0.6,
    ),
    {
      ...row(
        'consume to a pipe',
        megabytes(reading.consume),
        `cat \\| cat ${megabytes(reading.cat)}`,
        speedRatio(reading, 'consume', 'cat'),
        0,
      ),
      bar: '≥ 5 million records/s',
      result: `${fixed(consumeRate / 1e6)} million records/s: ${verdict(consumeRate >= 5e6)}`,
    },
  ];
  for (const name of ['verify', 'inspect']) {
    const rate = storeBytes / median(reading[name]) / 1e9;
    rows.push({
      ...row(
        name === 'verify' ? 'verify, one thread' : 'inspect-segment',
        `${fixed(rate)} GB/s`,
        `zlib.crc32 alone ${fixed(storeBytes / median(reading.crc) / 1e9)} GB/s`,
        speedRatio(reading, name, 'crc'),
        0,
      ),
      bar: name === 'verify' ? '≥ 1.2 GB/s' : '',
      result: name === 'verify' ? verdict(rate >= 1.2) : '',
    });
  }
  rows.push({
    what: `verify, ${cpus().length} threads over segments`,
    measured: `${fixed(storeBytes / median(reading.verifyAll) / 1e9)} GB/s`,
    limit: 'the same with one thread',
    ratio: fixed(speedRatio(reading, 'verifyAll', 'verifyOne')),
    bar: 'scales',
    result: '',
  });
  for (const [what, peak] of [
    ['produce, file', filePeak],
    ['produce, pipe', pipePeak],
    ['consume', consumePeak],
    ['verify', verifyPeak],
  ]) {
    rows.push({
      what: `memory: ${what}`,
      measured: `${fixed(peak, 0)} MB`,
      limit: '',
      ratio: '',
      bar: `≤ ${MEMORY_LIMIT_MB} MB`,
      result: verdict(peak <= MEMORY_LIMIT_MB),
    });
  }
  return {
    rows,
    note: 'Lines of 100 bytes, every batch synced; seconds are those of whole processes, start-up included.',
  };
}

function row(what, measured, limit, ratio, bar) {
  return {
    what,
    measured,
    limit,
    ratio: fixed(ratio),
    bar: bar > 0 ? `≥ ${bar}` : '',
    result: bar > 0 ? verdict(ratio >= bar) : '',
  };
}

/** produce and consume at other record sizes, and produce at other batch sizes. */
export async function recordSizes({ directory, rounds, inputBytes, bin }) {
  const data = `${directory}/data`;
  const node = `'${process.execPath}' '${bin}'`;
  const fresh = () => {
    rmSync(data, { recursive: true, force: true });
  };
  const rows = [];
  for (const lineBytes of [16, 100, 1024, 65_536]) {
    const input = linesFile(directory, { lineBytes, totalBytes: inputBytes / 2 });
    const times = await inTurn(
      {
        produce: { prepare: fresh, run: `${node} produce t ${input.path} -d ${data} --ack none` },
        consume: { run: `${node} consume t -d ${data} | cat` },
      },
      Math.min(rounds, 3),
    );
    rows.push(rates(`lines of ${lineBytes} bytes`, input, times));
    if (lineBytes !== LINE_BYTES) rmSync(input.path);
  }
  const input = linesFile(directory, { lineBytes: LINE_BYTES, totalBytes: inputBytes / 2 });
  for (const [name, batch] of [
    ['64 KiB', '64KiB'],
    ['1 MiB', '1MiB'],
    ['8 MiB', '8MiB'],
  ]) {
    const run = `${node} produce t ${input.path} -d ${data} --ack none --batch-bytes ${batch}`;
    const times = await inTurn({ produce: { prepare: fresh, run } }, Math.min(rounds, 3));
    rows.push(rates(`batches of ${name}`, input, times));
  }
  fresh();
  return {
    rows,
    note: 'Whole processes, start-up included. Batches of one record are in "One record" below.',
  };
}

function rates(what, { count, lineBytes }, { produce, consume }) {
  const rate = (times) =>
    times === undefined
      ? ''
      : `${fixed(count / median(times) / 1e6, 3)} M records/s, ${fixed((count * lineBytes) / median(times) / 1e6, 0)} MB/s`;
  return { what, produce: rate(produce), consume: rate(consume) };
}
