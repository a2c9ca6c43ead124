/**
 * What the stores have in common: input in batches of about 1 MiB of lines, and the three things they are asked for.
 *
 *     node STORE.js timed INPUT DIRECTORY     produce and consume in this process; prints the seconds of each as JSON
 *     node STORE.js single INPUT DIRECTORY    lines one at a time; prints the median seconds of one
 *     node STORE.js produce INPUT DIRECTORY   one whole process, as a command would be
 *     node STORE.js consume - DIRECTORY       the same: payloads to standard output, a line each
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { median } from '../lib/measure.js';

const BATCH_BYTES = 1 << 20;
/** Of lines that are stored one at a time, and how many before them do not count. */
const SINGLE_COUNT = 2000;
const SINGLE_WARM_UP_COUNT = 3000;
const NEWLINE = 0x0a;
const STDOUT = 1;

export const [, , task, input, directory, ...settings] = process.argv;

/** What is to be stored together: batches of lines (views without their newline) of a file of whole lines. */
export const batchesOf = (path) => (task === 'single' ? singlesOf(path) : (inMemory ?? bulkOf(path)));

/** From one to the next is how long the store took for the one. */
const singleSeconds = [];

function* singlesOf(path) {
  const lines = bulkOf(path).next().value;
  for (let number = 0; number < SINGLE_WARM_UP_COUNT + SINGLE_COUNT; number++) {
    const start = process.hrtime.bigint();
    yield [lines[number % lines.length]];
    if (number >= SINGLE_WARM_UP_COUNT) singleSeconds.push(Number(process.hrtime.bigint() - start) / 1e9);
  }
}

function* bulkOf(path) {
  const file = openSync(path);
  let rest = Buffer.alloc(0);
  for (;;) {
    const chunk = Buffer.allocUnsafe(BATCH_BYTES);
    const count = readSync(file, chunk);
    if (count === 0) break;
    const bytes = Buffer.concat([rest, chunk.subarray(0, count)]);
    const lines = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      lines.push(bytes.subarray(start, end));
      start = end + 1;
    }
    rest = bytes.subarray(start);
    yield lines;
  }
  closeSync(file);
}

/** A clock in this process is for the store alone. */
const inMemory = task === 'timed' ? [...bulkOf(input)] : undefined;

/** Does what the command line asks. `consume(visit)` gives every payload to `visit`. */
export async function perform({ produce, consume }) {
  if (task === 'produce') await produce();
  else if (task === 'consume') await consumeToPipe(consume);
  else await report({ produce, consume: () => consumeInMemory(consume) });
}

/** Times what is asked for in this process and prints the seconds. */
export async function report({ produce, consume }) {
  if (task === 'single') {
    await produce();
    console.log(JSON.stringify({ single: median(singleSeconds) }));
    return;
  }
  const timed = async (run) => {
    const start = process.hrtime.bigint();
    await run();
    return Number(process.hrtime.bigint() - start) / 1e9;
  };
  console.log(JSON.stringify({ produce: await timed(produce), consume: await timed(consume) }));
}

async function consumeInMemory(consume) {
  let bytes = 0;
  await consume((payload) => {
    bytes += payload.length;
  });
  if (bytes === 0) throw new Error('Nothing came back.');
}

async function consumeToPipe(consume) {
  const buffer = Buffer.allocUnsafeSlow(2 * BATCH_BYTES);
  let end = 0;
  const flush = () => {
    for (let taken = 0; taken < end;) taken += writeSync(STDOUT, buffer, taken, end - taken);
    end = 0;
  };
  await consume((payload) => {
    buffer.set(payload, end);
    end += payload.length;
    buffer[end++] = NEWLINE;
    if (end >= BATCH_BYTES) flush();
  });
  flush();
}
