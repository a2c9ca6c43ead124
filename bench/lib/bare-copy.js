/**
 * What produce can do at the best in this Node: reads a file and writes it into another in batches of the same size, each
 * synced on another thread while the next is read. No records, no lock, no second process.
 *
 *     node bare-copy.js FROM TO
 */
import { constants, openSync, readSync, write } from 'node:fs';

const READ_BYTES = 256 * 1024;
const BATCH_BYTES = 4 * 1024 * 1024;

const [from, to] = process.argv.slice(2);
const input = openSync(from, 'r');
const output = openSync(to, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_DSYNC);
const batches = [Buffer.alloc(BATCH_BYTES), Buffer.alloc(BATCH_BYTES)];
let position = 0;
let stored = Promise.resolve();

for (let number = 0; ; number++) {
  const batch = batches[number % 2];
  const byteCount = fill(batch);
  await stored;
  if (byteCount === 0) break;
  stored = store(batch.subarray(0, byteCount), position);
  position += byteCount;
}

function fill(batch) {
  let filled = 0;
  for (;;) {
    const count = readSync(input, batch, filled, Math.min(READ_BYTES, batch.length - filled), null);
    filled += count;
    if (count === 0 || filled === batch.length) return filled;
  }
}

function store(bytes, at) {
  return new Promise((resolve, reject) => {
    write(output, bytes, 0, bytes.length, at, (error, count) => {
      if (error !== null) reject(error);
      else if (count < bytes.length) reject(new Error(`${to}: ${count} of ${bytes.length} bytes were taken`));
      else resolve();
    });
  });
}
