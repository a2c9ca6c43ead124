/** Merging many small segments into one, against copying their bytes into one file that is synced. */
import { cpSync, readdirSync, rmSync, statSync } from 'node:fs';
import { linesFile } from '../lib/input.js';
import { inTurn, median, peakMegabytes, seconds, speedRatio, warmMemory } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const SEGMENTS = 1000;
const SEGMENT_BYTES = 64 * 1024;
const RATIO = 0.5;
const MEMORY_LIMIT_MB = 160;
const OPEN_FILES = 40;

export const compact = { title: 'Merging segments', measure, report };

async function measure({ directory, barredRounds: rounds, bin }) {
  const original = `${directory}/data`;
  const data = `${directory}/to-merge`;
  const copy = `${directory}/copy`;
  const node = `'${process.execPath}' '${bin}'`;
  rmSync(original, { recursive: true, force: true });
  const input = linesFile(directory, { lineBytes: 100, totalBytes: SEGMENTS * 56_000 });
  seconds(`${node} topics create t -d ${original} --set segmentBytes=64KiB`);
  // Frames are 16 bytes longer than lines are: one batch fills a segment.
  seconds(`${node} produce t ${input.path} -d ${original} --batch-bytes 64KiB --ack none`);
  const stores = readdirSync(`${original}/t`).filter((name) => name.endsWith('.store'));
  const storeBytes = stores.reduce((sum, name) => sum + statSync(`${original}/t/${name}`).size, 0);
  const fresh = () => {
    for (const path of [data, copy]) rmSync(path, { recursive: true, force: true });
    cpSync(original, data, { recursive: true });
    seconds('sync');
    warmMemory();
  };
  const run = `${node} compact t -d ${data} --merge-below 1GiB`;
  const times = await inTurn(
    {
      copy: {
        prepare: fresh,
        run: `cat ${data}/t/*.store | dd of=${copy} bs=1M iflag=fullblock conv=fsync`,
      },
      compact: { prepare: fresh, run },
    },
    rounds,
  );
  fresh();
  const peak = peakMegabytes(run, directory);
  fresh();
  seconds(`ulimit -n ${OPEN_FILES}; ${run}`);
  for (const path of [data, copy]) rmSync(path, { recursive: true, force: true });
  return {
    rounds,
    segmentCount: stores.length - 1,
    storeBytes,
    copySeconds: median(times.copy),
    compactSeconds: median(times.compact),
    ratio: speedRatio(times, 'compact', 'copy'),
    peak,
  };
}

function report({ segmentCount, storeBytes, copySeconds, compactSeconds, ratio, peak }) {
  const rate = (taken) => `${fixed(storeBytes / 1e6 / taken, 0)} MB/s`;
  return {
    tables: [
      {
        rows: [
          {
            what: `merging ${segmentCount} segments, ${fixed(storeBytes / 1e6, 0)} MB`,
            measured: rate(compactSeconds),
            limit: `cat | dd conv=fsync ${rate(copySeconds)}`,
            ratio: fixed(ratio),
            bar: `≥ ${RATIO}`,
            result: verdict(ratio >= RATIO && segmentCount + 1 >= SEGMENTS * 0.9),
          },
          {
            what: 'memory',
            measured: `${fixed(peak, 0)} MB`,
            limit: '',
            ratio: '',
            bar: `≤ ${MEMORY_LIMIT_MB} MB`,
            result: verdict(peak <= MEMORY_LIMIT_MB),
          },
          {
            what: 'open files',
            measured: `done under ulimit -n ${OPEN_FILES}`,
            limit: '',
            ratio: '',
            bar: 'O(1)',
            result: verdict(true),
          },
        ],
      },
    ],
    note: 'Segments of 64 KiB are read, checked twice, written into one store and synced; seconds are those of whole processes, start-up included.',
  };
}
