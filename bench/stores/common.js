/** What the stores have in common: input in batches of about 1 MiB of lines, and how results come out. */
import { closeSync, openSync, readSync } from 'node:fs';

const BATCH_BYTES = 1 << 20;
const NEWLINE = 0x0a;

/** Batches of lines (views without their newline) of a file of whole lines. */
export function* batchesOf(path) {
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

/** Times `produce` and `consume`, which returns the payload bytes that it saw, and prints both as JSON. */
export async function report({ produce, consume }) {
  const timed = async (run) => {
    const start = process.hrtime.bigint();
    const result = await run();
    return { seconds: Number(process.hrtime.bigint() - start) / 1e9, result };
  };
  const produced = await timed(produce);
  const consumed = await timed(consume);
  console.log(
    JSON.stringify({ produce: produced.seconds, consume: consumed.seconds, bytes: consumed.result }),
  );
}
