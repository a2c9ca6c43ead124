/** The same lines into what people would pick instead, and out again: durable in batches of about 1 MiB each. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { linesFile } from '../lib/input.js';
import { median, seconds, speedRatio } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';

const LINE_BYTES = 100;
const TIMES_BEST = 5;
/** Servers take a fifth of the records: they need as long for them. */
const SERVER_SHARE = 5;

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
    name: 'NATS JetStream, file',
    script: 'nats.js',
    settings: [],
    needs: 'nats-server',
    promise: 'acknowledged before it is synced',
  },
];

const LIBRARY = { name: 'FastQueue, library', script: 'fastqueue.js', promise: 'synced at every append' };
const COMMANDS = 'FastQueue, commands';

export async function stores(settings) {
  const { recordCount } = settings;
  const input = linesFile(settings.directory, {
    lineBytes: LINE_BYTES,
    totalBytes: recordCount * LINE_BYTES,
  });
  const few = linesFile(settings.directory, {
    lineBytes: LINE_BYTES,
    totalBytes: (recordCount * LINE_BYTES) / SERVER_SHARE,
  });
  const tables = [
    await wholeProcesses(settings, input),
    await runningProcesses(settings, few, [LIBRARY, ...EMBEDDED]),
    await besideServers(settings, few),
  ];
  rmSync(input.path);
  rmSync(few.path);
  return {
    tables,
    note: 'Lines of 100 bytes from a file, durable in batches of about 1 MiB.',
  };
}

/** Who does the same job: a file of lines in, durable; every payload out as a line, through a pipe to `cat`. */
async function wholeProcesses({ directory, rounds, bin }, input) {
  const place = `${directory}/store`;
  const times = { produce: {}, consume: {} };
  const jobs = [
    {
      name: COMMANDS,
      produce: `'${process.execPath}' '${bin}' produce t ${input.path} -d ${place} --ack none`,
      consume: `'${process.execPath}' '${bin}' consume t -d ${place} | cat`,
    },
    ...EMBEDDED.map(({ name, script }) => ({
      name,
      produce: `'${process.execPath}' '${pathOf(script)}' produce ${input.path} ${place}`,
      consume: `'${process.execPath}' '${pathOf(script)}' consume - ${place} | cat`,
    })),
  ];
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    for (const { name, produce, consume } of jobs) {
      anew(place);
      (times.produce[name] ??= []).push(seconds(produce));
      (times.consume[name] ??= []).push(seconds(consume));
    }
  }
  rmSync(place, { recursive: true });
  const promises = { [COMMANDS]: 'synced before the acknowledgement' };
  for (const { name, promise } of EMBEDDED) promises[name] = promise;
  return {
    caption:
      `**Whole processes**, start-up included, doing the same: ${millions(input.count)} lines of a file into an empty store; ` +
      'then every payload as a line through a pipe to `cat`.',
    rows: rowsOf(times, { own: COMMANDS, promises, count: input.count, isBarred: true }),
  };
}

/** Inside a process that runs: payloads through each one's library, and every payload looked at. */
async function runningProcesses({ directory, rounds }, input, contenders) {
  const times = { produce: {}, consume: {} };
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    for (const store of contenders) note(times, store.name, measure(store, input.path, directory));
  }
  return {
    caption: `**In a running process**, through each library: ${millions(input.count)} payloads appended a batch at a time; then every one looked at.`,
    rows: rowsOf(times, {
      own: LIBRARY.name,
      promises: Object.fromEntries(contenders.map(({ name, promise }) => [name, promise])),
      count: input.count,
    }),
  };
}

/** Servers are running when their clock starts; FastQueue's commands are started. */
async function besideServers({ directory, rounds, bin }, input) {
  const place = `${directory}/store`;
  const there = SERVERS.filter(({ needs }) => isThere(needs));
  const times = { produce: {}, consume: {} };
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    anew(place);
    const produce = seconds(`'${process.execPath}' '${bin}' produce t ${input.path} -d ${place} --ack none`);
    note(times, COMMANDS, {
      produce,
      consume: seconds(`'${process.execPath}' '${bin}' consume t -d ${place} | cat`),
    });
    for (const store of there) note(times, store.name, measure(store, input.path, directory));
  }
  rmSync(place, { recursive: true });
  const promises = { [COMMANDS]: 'synced before the acknowledgement' };
  for (const { name, promise } of SERVERS) promises[name] = promise;
  const rows = rowsOf(times, { own: COMMANDS, promises, count: input.count });
  for (const { name, needs } of SERVERS) {
    if (!there.some((each) => each.name === name))
      rows.push({ store: name, promise: `not measured: there is no ${needs} here` });
  }
  return {
    caption:
      `**Servers**, ${millions(input.count)} records. They and their clients are running when the clock starts, commands are pipelined, and of what ` +
      "Redis sends back only line ends are counted; FastQueue's two commands are timed whole, start-up and pipe included.",
    rows,
  };
}

/** Ratios are medians over the rounds; the bar is the best of the others. */
function rowsOf(times, { own, promises, count, isBarred = false }) {
  const rate = (what, name) => fixed(count / median(times[what][name]) / 1e6);
  const ratio = (what, name) => speedRatio(times[what], own, name);
  const others = Object.keys(times.produce).filter((name) => name !== own);
  const rows = [own, ...others].map((name) => ({
    store: name,
    promise: promises[name],
    'produce, M records/s': rate('produce', name),
    'FastQueue is faster by': name === own ? '' : fixed(ratio('produce', name), 1),
    'consume, M records/s': rate('consume', name),
    'and by': name === own ? '' : fixed(ratio('consume', name), 1),
  }));
  if (isBarred) {
    const least = (what) => Math.min(...others.map((name) => ratio(what, name)));
    const result = (what) =>
      `${fixed(least(what), 1)}, wanted ${TIMES_BEST}: ${verdict(least(what) >= TIMES_BEST)}`;
    rows.push({
      store: 'beside the best of them',
      promise: '',
      'produce, M records/s': '',
      'FastQueue is faster by': result('produce'),
      'consume, M records/s': '',
      'and by': result('consume'),
    });
  }
  return rows;
}

function note(times, name, { produce, consume }) {
  (times.produce[name] ??= []).push(produce);
  (times.consume[name] ??= []).push(consume);
}

function measure({ script, settings = [] }, input, directory) {
  const place = `${directory}/store`;
  anew(place);
  const output = execFileSync(process.execPath, [pathOf(script), 'timed', input, place, ...settings], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  return JSON.parse(output);
}

function anew(place) {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
}

const pathOf = (script) => fileURLToPath(new URL(`../stores/${script}`, import.meta.url));

const isThere = (command) => spawnSync('/bin/sh', ['-c', `command -v ${command}`]).status === 0;

const millions = (count) => `${count / 1e6} million`;
