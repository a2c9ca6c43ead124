/** The same lines into what people would pick instead, and out again: durable in batches of about 1 MiB each. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { linesFile } from '../lib/input.js';
import { median, seconds } from '../lib/measure.js';
import { fixed } from '../lib/report.js';

const RECORDS = 1_000_000;

const STORES = [
  { name: 'better-sqlite3, WAL, FULL', script: 'sqlite.js', promise: 'synced at every commit' },
  { name: 'lmdb', script: 'lmdb.js', promise: 'synced at every commit' },
  { name: 'classic-level, sync', script: 'level.js', promise: 'synced at every batch' },
  {
    name: 'Redis Streams, always',
    script: 'redis.js',
    args: ['always'],
    needs: 'redis-server',
    promise: 'synced before the reply',
  },
  {
    name: 'Redis Streams, everysec',
    script: 'redis.js',
    args: ['everysec'],
    needs: 'redis-server',
    promise: 'up to a second lost',
  },
  {
    name: 'NATS JetStream, file',
    script: 'nats.js',
    needs: 'nats-server',
    promise: 'acknowledged before it is synced',
  },
];

export async function stores({ directory, rounds, bin }) {
  const input = linesFile(directory, { lineBytes: 100, totalBytes: RECORDS * 100 });
  const contenders = STORES.filter(({ needs }) => needs === undefined || isThere(needs));
  const times = new Map([['FastQueue', []], ...contenders.map(({ name }) => [name, []])]);
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    times.get('FastQueue').push(measureFastQueue(input.path, { directory, bin }));
    for (const store of contenders) times.get(store.name).push(measureStore(store, input.path, directory));
  }
  const rate = (name, what) => RECORDS / median(times.get(name).map((each) => each[what])) / 1e6;
  const rows = [...times.keys()].map((name) => ({
    store: name,
    promise: STORES.find((store) => store.name === name)?.promise ?? 'synced before the acknowledgement',
    'produce, M records/s': fixed(rate(name, 'produce')),
    'FastQueue is faster by':
      name === 'FastQueue' ? '' : fixed(rate('FastQueue', 'produce') / rate(name, 'produce'), 1),
    'consume, M records/s': fixed(rate(name, 'consume')),
    'and by': name === 'FastQueue' ? '' : fixed(rate('FastQueue', 'consume') / rate(name, 'consume'), 1),
  }));
  for (const { name, needs } of STORES) {
    if (!times.has(name)) rows.push({ store: name, promise: `not measured: there is no ${needs} here` });
  }
  return {
    rows,
    note:
      'A million lines of 100 bytes. FastQueue is the two commands with their start-up, the records going through a ' +
      'pipe; the others are timed inside a running process, and consuming there means looking at every payload.',
  };
}

function measureFastQueue(input, { directory, bin }) {
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const node = `'${process.execPath}' '${bin}'`;
  const produce = seconds(`${node} produce t ${input} -d ${data} --ack none`);
  return { produce, consume: seconds(`${node} consume t -d ${data} | cat`) };
}

function measureStore({ script, args = [] }, input, directory) {
  const place = `${directory}/store`;
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  const path = fileURLToPath(new URL(`../stores/${script}`, import.meta.url));
  const output = execFileSync(process.execPath, [path, input, place, ...args], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  rmSync(place, { recursive: true, force: true });
  return JSON.parse(output);
}

const isThere = (command) => spawnSync('/bin/sh', ['-c', `command -v ${command}`]).status === 0;
