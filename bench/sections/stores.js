/**
 * The same lines into what people would pick instead, and out again: durable in batches of about 1 MiB each, and of 4 MiB
 * in those of `produce`, whose default that is. In such SQLite and lmdb are a twelfth slower.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { linesFile } from '../lib/input.js';
import { median, orderOfRound, seconds, speedRatio, warmMemory } from '../lib/measure.js';
import { barPlot } from '../lib/plot.js';
import { fixed, verdict } from '../lib/report.js';

const LINE_BYTES = 100;
const TIMES_BEST = 5;
/** In a running process a fifth of the records: servers need as long for them. */
const RUNNING_SHARE = 5;
const MOST_ROUNDS = 3;

const EMBEDDED = [
  { name: 'better-sqlite3, WAL, FULL', script: 'sqlite.js', promise: 'synced at every commit' },
  { name: 'lmdb', script: 'lmdb.js', promise: 'synced at every commit' },
  { name: 'classic-level, sync', script: 'level.js', promise: 'synced at every batch' },
];

const SERVERS = [
  {
    name: 'Redis Streams, always',
    script: 'redis.js',
    settings: ['always'],
    needs: 'redis-server',
    promise: 'synced before the reply',
  },
  {
    name: 'Redis Streams, everysec',
    script: 'redis.js',
    settings: ['everysec'],
    needs: 'redis-server',
    promise: 'up to a second lost',
  },
  {
    name: 'Redis Streams, replies counted',
    script: 'redis.js',
    settings: ['always', 'counted'],
    needs: 'redis-server',
    promise: 'synced before the reply; nobody sees what comes back',
    isLimit: true,
  },
  {
    name: 'NATS JetStream, file',
    script: 'nats.js',
    settings: [],
    needs: 'nats-server',
    promise: 'acknowledged before it is synced',
  },
];

const LIBRARY = { name: 'FastQueue, library', script: 'fastqueue.js', promise: 'synced at every append' };
const COMMANDS = { name: 'FastQueue, commands', promise: 'synced before the acknowledgement' };

export const stores = { title: 'Beside other stores', measure, report };

async function measure({ recordCount, directory, rounds: mostRounds, bin }) {
  const rounds = Math.min(mostRounds, MOST_ROUNDS);
  const settings = { directory, rounds, bin };
  const input = linesFile(directory, { lineBytes: LINE_BYTES, totalBytes: recordCount * LINE_BYTES });
  const few = linesFile(directory, {
    lineBytes: LINE_BYTES,
    totalBytes: (recordCount * LINE_BYTES) / RUNNING_SHARE,
  });
  const results = {
    rounds,
    processes: await wholeProcesses(settings, input),
    running: await runningProcesses(settings, few),
    singles: await oneAtATime(settings, few),
  };
  rmSync(input.path);
  rmSync(few.path);
  return results;
}

/** Who does the same job: a file of lines in, durable; every payload out as a line, through a pipe to `cat`. */
async function wholeProcesses({ directory, rounds, bin }, input) {
  const place = `${directory}/store`;
  const times = { produce: {}, consume: {} };
  const jobs = [
    {
      name: COMMANDS.name,
      produce: `'${process.execPath}' '${bin}' produce t ${input.path} -d ${place} --ack none`,
      consume: `'${process.execPath}' '${bin}' consume t -d ${place} | cat`,
    },
    ...EMBEDDED.map(({ name, script }) => ({
      name,
      produce: `'${process.execPath}' '${pathOf(script)}' produce ${input.path} ${place}`,
      consume: `'${process.execPath}' '${pathOf(script)}' consume - ${place} | cat`,
    })),
  ];
  for (let round = 0; round < rounds; round++) {
    for (const { name, produce, consume } of orderOfRound(jobs, round)) {
      anew(place);
      note(times, name, { produce: seconds(produce), consume: seconds(consume) });
    }
  }
  rmSync(place, { recursive: true });
  return figuresOf(times, [COMMANDS, ...EMBEDDED], input.count);
}

/** Inside a process that runs, as servers do, too: payloads through each one's library or client, and every one looked at. */
async function runningProcesses({ directory, rounds }, input) {
  const times = { produce: {}, consume: {} };
  const contenders = [LIBRARY, ...EMBEDDED, ...SERVERS.filter(isThere)];
  for (let round = 0; round < rounds; round++) {
    for (const store of orderOfRound(contenders, round))
      note(times, store.name, runStore(store, { task: 'timed', input: input.path, directory }));
  }
  return figuresOf(times, contenders, input.count);
}

/** In a running process: a record is durable, as far as the store's promise goes, before the next is stored. */
async function oneAtATime({ directory, rounds }, input) {
  const times = {};
  const servers = SERVERS.filter((server) => isThere(server) && !server.isLimit);
  const contenders = [LIBRARY, ...EMBEDDED, ...servers];
  for (let round = 0; round < rounds; round++) {
    for (const store of orderOfRound(contenders, round)) {
      const { single } = runStore(store, { task: 'single', input: input.path, directory });
      (times[store.name] ??= []).push(single);
    }
  }
  return contenders.map(({ name, promise }) => ({
    name,
    promise,
    ms: median(times[name]) * 1000,
    ownRatio: name === LIBRARY.name ? undefined : speedRatio(times, LIBRARY.name, name),
  }));
}

/** Records per second of each, and how many times as fast the first is: medians over the rounds. */
function figuresOf(times, [own, ...others], count) {
  const figures = (task, name) => ({
    recordsPerSecond: count / median(times[task][name]),
    ownRatio: name === own.name ? undefined : speedRatio(times[task], own.name, name),
  });
  return {
    count,
    stores: [own, ...others].map(({ name, promise, isLimit, needs }) => ({
      name,
      promise,
      isLimit,
      isServer: needs !== undefined,
      produce: figures('produce', name),
      consume: figures('consume', name),
    })),
  };
}

function report({ processes, running, singles }) {
  const title = 'Records per second beside other stores';
  const panel = (heading, { count, stores: each }) => ({
    heading: `${heading}, ${millions(count)} records`,
    axis: 'M records/s',
    rows: each.map(plotRow),
  });
  const missing = SERVERS.filter(({ name }) => !running.stores.some((store) => store.name === name));
  const servers = running.stores.filter(({ isServer, isLimit }) => isServer && !isLimit);
  return {
    tables: [
      {
        caption:
          `**Whole processes**, start-up included, doing the same: ${millions(processes.count)} lines of a file into an empty store; ` +
          'then every payload as a line through a pipe to `cat`.',
        rows: [
          ...processes.stores.map(tableRow),
          besideBest('beside the best of them', processes.stores.slice(1)),
        ],
      },
      {
        caption:
          `**In a running process**, beside servers that run, too: ${millions(running.count)} payloads from memory through each one's library, or its ` +
          'fastest client for Node, a batch at a time, which of servers are on their way together; then every one looked at. In the row ' +
          'of counted replies no client takes part and nobody looks at a payload: it is what Redis itself can send.',
        rows: [
          ...running.stores.map(tableRow),
          ...(servers.length === 0 ? [] : [besideBest('beside the best of the servers', servers)]),
          ...missing.map(({ name, needs }) => ({
            store: name,
            promise: `not measured: there is no ${needs} here`,
          })),
        ],
      },
      {
        caption:
          '**One record at a time** in a running process, each stored before the next is begun. ' +
          'SQLite, at its best here, writes over its log again and again; a file that grows needs a second write for its length.',
        rows: singles.map(({ name, promise, ms, ownRatio }) => ({
          store: name,
          promise,
          'ms a record': fixed(ms, 3),
          'FastQueue is faster by': ownRatio === undefined ? '' : fixed(ownRatio),
        })),
      },
    ],
    plot: {
      title,
      svg: barPlot({
        title,
        series: ['produce', 'consume'],
        panels: [panel('Whole processes', processes), panel('In a running process', running)],
      }),
    },
    note:
      'Lines of 100 bytes from a file, durable in batches of about 1 MiB, and of 4 MiB by `produce`, whose default that is ' +
      '(in such SQLite and lmdb are slower than in smaller ones).',
  };
}

function tableRow({ name, promise, produce, consume }) {
  const ratio = ({ ownRatio }) => (ownRatio === undefined ? '' : fixed(ownRatio, 1));
  return {
    store: name,
    promise,
    'produce, M records/s': fixed(produce.recordsPerSecond / 1e6),
    'FastQueue is faster by': ratio(produce),
    'consume, M records/s': fixed(consume.recordsPerSecond / 1e6),
    'and by': ratio(consume),
  };
}

/** How much faster FastQueue is than the best of others that do its work. */
function besideBest(name, others) {
  const result = (task) => {
    const least = Math.min(...others.map((store) => store[task].ownRatio));
    return `${fixed(least, 1)}, wanted ${TIMES_BEST}: ${verdict(least >= TIMES_BEST)}`;
  };
  return {
    store: name,
    promise: '',
    'produce, M records/s': '',
    'FastQueue is faster by': result('produce'),
    'consume, M records/s': '',
    'and by': result('consume'),
  };
}

function plotRow({ name, produce, consume }) {
  const bar = ({ recordsPerSecond }) => ({
    value: recordsPerSecond / 1e6,
    label: fixed(recordsPerSecond / 1e6),
  });
  return { name, bars: [bar(produce), bar(consume)] };
}

function note(times, name, { produce, consume }) {
  (times.produce[name] ??= []).push(produce);
  (times.consume[name] ??= []).push(consume);
}

function runStore({ script, settings = [] }, { task, input, directory }) {
  const place = `${directory}/store`;
  anew(place);
  const output = execFileSync(process.execPath, [pathOf(script), task, input, place, ...settings], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  return JSON.parse(output);
}

function anew(place) {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  warmMemory();
}

const pathOf = (script) => fileURLToPath(new URL(`../stores/${script}`, import.meta.url));

const isThere = ({ needs }) => spawnSync('/bin/sh', ['-c', `command -v ${needs}`]).status === 0;

const millions = (count) => `${count / 1e6} million`;
