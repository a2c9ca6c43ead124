/** One record at a time: through the library against a bare write and fdatasync of the same bytes, and end to end. */
import { closeSync, fdatasync, openSync, rmSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { median, seconds } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const LIMIT = 1.2;
/** Of each, for every round; as many again before they count, as in a process that has been running for a while. */
const COUNT = 200;
const datasync = promisify(fdatasync);

export async function latency({ directory, rounds, bin }) {
  const { openDataDirectory } = await import('../../dist/index.js');
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const topic = await openDataDirectory(data).openTopic('t', { mode: 'append', create: {} });
  const file = openSync(`${directory}/bare`, 'w');
  const payload = Buffer.alloc(100, 'x');
  const frame = Buffer.alloc(116, 'x');
  const bare = [];
  const appended = [];
  const count = COUNT * rounds;
  for (let number = 0; number < 2 * count; number++) {
    const times = {
      bare: await milliseconds(async () => {
        writeSync(file, frame, 0, frame.length, number * frame.length);
        await datasync(file);
      }),
      appended: await milliseconds(() => topic.append([payload])),
    };
    if (number < count) continue;
    bare.push(times.bare);
    appended.push(times.appended);
  }
  closeSync(file);
  await topic.close();
  const endToEnd = [];
  const started = [];
  for (let round = 0; round < rounds * 2; round++) {
    started.push(seconds(`'${process.execPath}' -e 0`));
    endToEnd.push(seconds(`echo x | '${process.execPath}' '${bin}' produce t -d ${data} --ack none`));
  }
  const ratio = median(appended) / median(bare);
  return {
    note: `${count} of each, in turn, after as many that did not count. A batch of one record costs what the disk takes for a sync.`,
    rows: [
      { what: 'write + fdatasync of 116 bytes', 'median ms': fixed(median(bare), 3), ratio: '', bar: '' },
      {
        what: 'append of one record, library',
        'median ms': fixed(median(appended), 3),
        ratio: fixed(ratio),
        bar: `≤ ${LIMIT}: ${verdict(ratio <= LIMIT)}`,
      },
      {
        what: 'records/s in batches of one',
        'median ms': fixed(1000 / median(appended), 0),
        ratio: '',
        bar: '',
      },
      {
        what: 'echo x \\| fastqueue produce t',
        'median ms': fixed(median(endToEnd) * 1000, 0),
        ratio: `${fixed(median(endToEnd) / median(started))} of node -e 0`,
        bar: '',
      },
    ],
  };
}

async function milliseconds(run) {
  const start = process.hrtime.bigint();
  await run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}
