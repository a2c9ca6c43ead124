/** One record at a time: through the library against a bare write and fdatasync of the same bytes, and end to end. */
import { closeSync, fdatasync, openSync, rmSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { inTurn, median, orderOfRound } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const LIMIT = 1.2;
/** Of each, for every round; as many again before they count, as in a process that has been running for a while. */
const COUNT = 200;
const datasync = promisify(fdatasync);

export const latency = { title: 'One record', measure, report };

async function measure({ directory, rounds: fewRounds, bin }) {
  const rounds = fewRounds * 2;
  const { openDataDirectory } = await import('../../dist/index.js');
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const topic = await openDataDirectory(data).openTopic('t', { mode: 'append', create: {} });
  const file = openSync(`${directory}/bare`, 'w');
  const payload = Buffer.alloc(100, 'x');
  const frame = Buffer.alloc(116, 'x');
  const contenders = {
    bare: async (number) => {
      writeSync(file, frame, 0, frame.length, number * frame.length);
      await datasync(file);
    },
    append: () => topic.append([payload]),
  };
  const times = { bare: [], append: [] };
  const count = COUNT * fewRounds;
  for (let number = 0; number < 2 * count; number++) {
    for (const [name, run] of orderOfRound(Object.entries(contenders), number)) {
      const taken = await milliseconds(() => run(number));
      if (number >= count) times[name].push(taken);
    }
  }
  closeSync(file);
  await topic.close();
  const processes = await inTurn(
    {
      bare: { run: `'${process.execPath}' -e 0` },
      produce: { run: `echo x | '${process.execPath}' '${bin}' produce t -d ${data} --ack none` },
    },
    rounds,
  );
  return {
    rounds,
    count,
    bareMs: median(times.bare),
    appendMs: median(times.append),
    produceMs: median(processes.produce) * 1000,
    bareProcessMs: median(processes.bare) * 1000,
  };
}

function report({ count, bareMs, appendMs, produceMs, bareProcessMs }) {
  const ratio = appendMs / bareMs;
  return {
    tables: [
      {
        rows: [
          { what: 'write + fdatasync of 116 bytes', 'median ms': fixed(bareMs, 3), ratio: '', bar: '' },
          {
            what: 'append of one record, library',
            'median ms': fixed(appendMs, 3),
            ratio: fixed(ratio),
            bar: `≤ ${LIMIT}: ${verdict(ratio <= LIMIT)}`,
          },
          { what: 'records/s in batches of one', 'median ms': fixed(1000 / appendMs, 0), ratio: '', bar: '' },
          {
            what: 'echo x | fastqueue produce t',
            'median ms': fixed(produceMs, 0),
            ratio: `${fixed(produceMs / bareProcessMs)} of node -e 0`,
            bar: '',
          },
        ],
      },
    ],
    note: `${count} of each, in turn, after as many that did not count. A batch of one record costs what the disk takes for a sync.`,
  };
}

async function milliseconds(run) {
  const start = process.hrtime.bigint();
  await run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}
