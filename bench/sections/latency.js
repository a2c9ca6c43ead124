/** One record at a time: through the library against a bare write and fdatasync of the same bytes, and end to end. */
import { closeSync, fdatasync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { inTurn, median, orderOfRound } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const LIMIT = 1.2;
/** Of one contender, one after the other, before the next has its turn: as a program does that stores one record and then the next. */
const TURN = 100;
/** For every round. */
const TURNS = 2;
/** Before they count: so many records it takes until V8 has compiled everything, as in a process that has run for a while. */
const WARM_UP_TURNS = 30;
/** Of these first ones what they take stands there, too. */
const FIRST_TURNS = 5;
/** Of each, one at a time behind another contender's: what the processor's caches held is gone then. */
const SCATTERED_COUNT = 1000;
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
  const countedTurns = TURNS * fewRounds;
  const turns = { bare: [], calls: [], append: [] };
  for (let turn = 0; turn < WARM_UP_TURNS + countedTurns; turn++) {
    for (const [name, run] of orderOfRound(Object.entries(contenders), turn)) {
      const taken = [];
      for (let number = turn * TURN; number < (turn + 1) * TURN; number++)
        taken.push(await milliseconds(() => run(number)));
      turns[name].push(median(taken));
    }
  }
  const scattered = { bare: [], calls: [], append: [] };
  const before = (WARM_UP_TURNS + countedTurns) * TURN;
  for (let number = before; number < before + SCATTERED_COUNT; number++) {
    for (const [name, run] of orderOfRound(Object.entries(contenders), number))
      scattered[name].push(await milliseconds(() => run(number)));
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
    count: countedTurns * TURN,
    counted: figuresOf(turns, WARM_UP_TURNS),
    first: figuresOf(turns, 0, FIRST_TURNS),
    scattered: figuresOf(scattered),
    produceMs: median(processes.produce) * 1000,
    bareProcessMs: median(processes.bare) * 1000,
  };
}

/** Medians, and how many times the bare ones the others took: the median over the turns. */
function figuresOf(times, from = 0, to = undefined) {
  const part = (name) => times[name].slice(from, to);
  const ratio = (name) => median(part(name).map((each, turn) => each / part('bare')[turn]));
  return {
    bareMs: median(part('bare')),
    callsMs: median(part('calls')),
    appendMs: median(part('append')),
    callsRatio: ratio('calls'),
    appendRatio: ratio('append'),
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

function report({ count, counted, first, scattered, produceMs, bareProcessMs }) {
  const row = (what, ms, ratio, bar = '') => ({ what, 'median ms': fixed(ms, 3), ratio: fixed(ratio), bar });
  const { appendMs, appendRatio } = counted;
  return {
    tables: [
      {
        rows: [
          row('write + fdatasync of 116 bytes, on another thread', counted.bareMs, 1),
          row('the eight calls to the disk of an append, alone', counted.callsMs, counted.callsRatio),
          row(
            'append of one record, library',
            appendMs,
            appendRatio,
            `≤ ${LIMIT}: ${verdict(appendRatio <= LIMIT)}`,
          ),
          row(`the first ${FIRST_TURNS * TURN} of a process`, first.appendMs, first.appendRatio),
          row('each behind one of another contender', scattered.appendMs, scattered.appendRatio),
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
    note: `${count} of each, ${TURN} in turn, after ${WARM_UP_TURNS * TURN} that did not count. A batch of one record costs what the disk takes for a sync.`,
  };
}

async function milliseconds(run) {
  const start = process.hrtime.bigint();
  await run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}
