/** One record at a time: through the library against a bare write and fdatasync of the same bytes, and end to end. */
import { closeSync, fdatasync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { inTurn, median, orderOfRound } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const LIMIT = 1.2;
/** Of each, for every round. */
const COUNT = 200;
/** Of each, before they count: so many it takes until V8 has compiled everything, as in a process that has run for a while. */
const WARM_UP_COUNT = 3000;
/** Of these first ones what they take stands there, too. */
const FIRST_COUNT = 500;
const datasync = promisify(fdatasync);
/** Those of the project itself, not of this folder. */
const requireOfProject = createRequire(new URL('../../package.json', import.meta.url));

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
  const calls = callsOfAnAppend(directory, frame);
  const contenders = {
    bare: async (number) => {
      writeSync(file, frame, 0, frame.length, number * frame.length);
      await datasync(file);
    },
    calls: calls.run,
    append: () => topic.append([payload]),
  };
  const first = { bare: [], calls: [], append: [] };
  const times = { bare: [], calls: [], append: [] };
  const count = COUNT * fewRounds;
  for (let number = 0; number < WARM_UP_COUNT + count; number++) {
    for (const [name, run] of orderOfRound(Object.entries(contenders), number)) {
      const taken = await milliseconds(() => run(number));
      if (number < FIRST_COUNT) first[name].push(taken);
      if (number >= WARM_UP_COUNT) times[name].push(taken);
    }
  }
  closeSync(file);
  calls.close();
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
    callsMs: median(times.calls),
    appendMs: median(times.append),
    firstMs: median(first.append),
    firstBareMs: median(first.bare),
    produceMs: median(processes.produce) * 1000,
    bareProcessMs: median(processes.bare) * 1000,
  };
}

/**
 * What an append asks of the disk, without a line of the library's: lock; is the mark the file of its name; the mark; is
 * the store the file of its name; the write; the sync; the mark; unlock. To two files of its own.
 */
function callsOfAnAppend(directory, frame) {
  const { tryLock, unlock } = requireOfProject('fs-native-extensions');
  const [markPath, storePath] = [`${directory}/calls.mark`, `${directory}/calls.store`];
  const [mark, store] = [openSync(markPath, 'w+'), openSync(storePath, 'w')];
  const markBytes = Buffer.alloc(64, 'x');
  writeSync(mark, markBytes, 0, 64, 0);
  const run = async (number) => {
    tryLock(mark, 0, 0, { shared: false });
    statSync(markPath);
    readSync(mark, markBytes, 0, 64, 0);
    statSync(storePath);
    writeSync(store, frame, 0, frame.length, number * frame.length);
    await datasync(store);
    writeSync(mark, markBytes, 0, 64, 0);
    unlock(mark);
  };
  const close = () => {
    closeSync(mark);
    closeSync(store);
  };
  return { run, close };
}

function report({ count, bareMs, callsMs, appendMs, firstMs, firstBareMs, produceMs, bareProcessMs }) {
  const ratio = appendMs / bareMs;
  return {
    tables: [
      {
        rows: [
          { what: 'write + fdatasync of 116 bytes', 'median ms': fixed(bareMs, 3), ratio: '', bar: '' },
          {
            what: 'the eight calls to the disk of an append, alone',
            'median ms': fixed(callsMs, 3),
            ratio: fixed(callsMs / bareMs),
            bar: '',
          },
          {
            what: 'append of one record, library',
            'median ms': fixed(appendMs, 3),
            ratio: fixed(ratio),
            bar: `≤ ${LIMIT}: ${verdict(ratio <= LIMIT)}`,
          },
          {
            what: `the first ${FIRST_COUNT} of a process`,
            'median ms': fixed(firstMs, 3),
            ratio: fixed(firstMs / firstBareMs),
            bar: '',
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
    note: `${count} of each, in turn, after ${WARM_UP_COUNT} that did not count. A batch of one record costs what the disk takes for a sync.`,
  };
}

async function milliseconds(run) {
  const start = process.hrtime.bigint();
  await run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}
