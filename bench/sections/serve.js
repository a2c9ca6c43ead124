/**
 * `fastqueue serve` under the load of autocannon, in turn with a bare node:http server that discards the same bodies
 * and one that writes and syncs them and does nothing else; a large request against `produce`; and a large topic read
 * back as NDJSON.
 */
import { readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { fileURLToPath } from 'node:url';
import { linesFile } from '../lib/input.js';
import { inTurn, median, orderOfRound, seconds, speedRatio, warmMemory } from '../lib/measure.js';
import { barPlot } from '../lib/plot.js';
import { fixed, metOrNot, verdict } from '../lib/report.js';
import { fetchWhole, startServer } from '../lib/servers.js';

const BARE = fileURLToPath(new URL('../lib/bare-server.js', import.meta.url));
const SYNCING = fileURLToPath(new URL('../lib/syncing-server.js', import.meta.url));
const RECORD = Buffer.alloc(100, 'x');
const CONNECTIONS = [1, 8, 64];
const SECONDS_PER_RUN = 3;
const LINES_PER_REQUEST = 100_000;
const PAGE = '/topics/big/messages?limit=10000&max_bytes=32MiB';

const MOST_READING_ROUNDS = 3;

/** At the most connections, of what the bare server does. */
const POSTING_RATIO = 0.8;
/** Of what `produce` stores. */
const LARGE_RATIO = 0.5;
const READING_MB_PER_SECOND = 100;
const MEMORY_LIMIT_MB = 160;

export const serve = { title: 'Over HTTP', measure, report };

async function measure({ directory, rounds, barredRounds, inputBytes, bin }) {
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const bare = await startServer([BARE]);
  const syncing = await startServer([SYNCING, `${directory}/synced`]);
  const server = await startServer([bin, 'serve', '--port', '0', '-d', data]);
  const posts = [];
  let large;
  try {
    for (const connections of CONNECTIONS)
      posts.push(await posting({ bare, syncing, server, connections, rounds }));
    large = await oneLargeRequest({ server, directory, bin, rounds: barredRounds, inputBytes });
  } finally {
    await bare.stop();
    await syncing.stop();
    await server.stop();
  }
  const reading = await readingBack({
    data,
    directory,
    bin,
    rounds: Math.min(rounds, MOST_READING_ROUNDS),
    inputBytes,
  });
  rmSync(data, { recursive: true, force: true });
  return { posts, large, reading };
}

async function posting({ bare, syncing, server, connections, rounds }) {
  const rates = { bare: [], syncing: [], server: [] };
  const times = { bare: [], syncing: [], server: [] };
  const contenders = { bare: bare.url, syncing: syncing.url, server: server.url };
  for (const url of Object.values(contenders)) await load(url, { connections, duration: 1 });
  const before = await batchCounts(server);
  for (let round = 0; round < rounds; round++) {
    for (const [name, url] of orderOfRound(Object.entries(contenders), round)) {
      const { rate, milliseconds } = await load(url, { connections, duration: SECONDS_PER_RUN });
      rates[name].push(rate);
      times[name].push(milliseconds);
    }
  }
  const after = await batchCounts(server);
  const figures = (name) => ({
    requestsPerSecond: median(rates[name]),
    p50Ms: median(times[name].map((each) => percentile(each, 0.5))),
    p99Ms: median(times[name].map((each) => percentile(each, 0.99))),
  });
  const ratioOf = (name, other) => median(rates[name].map((rate, round) => rate / rates[other][round]));
  return {
    connections,
    bare: figures('bare'),
    syncing: figures('syncing'),
    server: figures('server'),
    recordsPerSync: (after.records - before.records) / (after.batches - before.batches),
    ratio: ratioOf('server', 'bare'),
    syncingRatio: ratioOf('syncing', 'bare'),
    ratioToSyncing: ratioOf('server', 'syncing'),
  };
}

/** Requests per second and the milliseconds of each. @throws Error where one was answered with anything but 201 */
async function load(url, { connections, duration }) {
  const { default: autocannon } = await import('autocannon');
  const milliseconds = [];
  const running = autocannon({
    url: `${url}/topics/load/messages`,
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: RECORD,
    connections,
    duration,
  });
  running.on('response', (client, statusCode, byteCount, time) => milliseconds.push(time));
  const { non2xx, errors, duration: elapsed } = await running;
  if (non2xx > 0 || errors > 0) throw new Error(`${url}: ${non2xx} refused, ${errors} failed`);
  return { rate: milliseconds.length / elapsed, milliseconds };
}

const percentile = (values, share) =>
  Float64Array.from(values).sort()[Math.min(values.length - 1, Math.floor(values.length * share))];

/** Batches written and records in them so far. */
async function batchCounts(server) {
  const { text } = await fetchWhole(`${server.url}/metrics`);
  const sum = (name) =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
      (total, [, value]) => total + Number(value),
      0,
    );
  return { records: sum('fastqueue_batch_records_sum'), batches: sum('fastqueue_batch_records_count') };
}

async function oneLargeRequest({ server, directory, bin, rounds, inputBytes }) {
  const body = readFileSync(
    linesFile(directory, { lineBytes: 100, totalBytes: LINES_PER_REQUEST * 100 }).path,
  );
  const input = linesFile(directory, { lineBytes: 100, totalBytes: inputBytes });
  const other = `${directory}/other`;
  const anew = () => {
    rmSync(other, { recursive: true, force: true });
    warmMemory();
  };
  const post = async () => {
    const requests = [];
    for (let number = 0; number < 5; number++) {
      const start = process.hrtime.bigint();
      await fetchWhole(`${server.url}/topics/lines/messages`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body,
      });
      requests.push(Number(process.hrtime.bigint() - start) / 1e9);
    }
    return median(requests);
  };
  const produce = `'${process.execPath}' '${bin}' produce t ${input.path} -d ${other} --ack none`;
  const times = await inTurn(
    { produce: { prepare: anew, run: produce }, request: { prepare: anew, run: post } },
    rounds,
  );
  rmSync(other, { recursive: true, force: true });
  return {
    rounds,
    producePerSecond: input.count / median(times.produce),
    requestPerSecond: LINES_PER_REQUEST / median(times.request),
    ratio: (speedRatio(times, 'request', 'produce') * LINES_PER_REQUEST) / input.count,
  };
}

/** A topic of the size of the input, page after page, to a reader that only counts. */
async function readingBack({ data, directory, bin, rounds, inputBytes }) {
  const input = linesFile(directory, { lineBytes: 100, totalBytes: inputBytes });
  seconds(`'${process.execPath}' '${bin}' produce big ${input.path} -d ${data} --ack none`);
  const server = await startServer([bin, 'serve', '--port', '0', '-d', data]);
  const agent = new Agent({ keepAlive: true });
  const rates = [];
  try {
    for (let round = 0; round < rounds; round++) {
      let byteCount = 0;
      let path = PAGE;
      const start = process.hrtime.bigint();
      for (let last = -1, next = 0; next !== last;) {
        const { headers } = await fetchWhole(`${server.url}${path}`, {
          headers: { accept: 'application/x-ndjson' },
          agent,
          onChunk: (chunk) => {
            byteCount += chunk.length;
          },
        });
        [last, next] = [next, Number(headers['fastqueue-next-offset'])];
        path = /<([^>]+)>/.exec(headers.link)[1];
      }
      rates.push(byteCount / 1e6 / (Number(process.hrtime.bigint() - start) / 1e9));
    }
    return { rounds, byteCount: inputBytes, megabytesPerSecond: median(rates), peak: server.peakMegabytes() };
  } finally {
    agent.destroy();
    await server.stop();
  }
}

function report({ posts, large, reading }) {
  const title = 'Requests that store one record each';
  return {
    tables: [{ rows: [...posts.flatMap(postRows), largeRow(large), ...readingRows(reading)] }],
    plot: {
      title,
      svg: barPlot({
        title,
        series: ['bare node:http', 'that writes and syncs', 'serve'],
        panels: [
          { heading: 'Throughput', axis: 'requests/s', rows: posts.map(throughputRow) },
          {
            heading: 'Latency, the slowest of a hundred',
            axis: 'p99, milliseconds',
            rows: posts.map(latencyRow),
          },
        ],
      }),
    },
    note:
      `POSTs of 100 bytes, each answered once it is synced, for ${SECONDS_PER_RUN} s at a time. The bare server reads and discards ` +
      'the same bodies and answers 201 with nothing; the one that syncs writes the bodies of half of its callers by one call, ' +
      'syncs once and answers the same: what no server that stores can do without. Load generator and server share the processors. The large request had ' +
      `${large.rounds} rounds, reading back ${reading.rounds}.`,
  };
}

/** Every column, in its order. */
const EMPTY_ROW = {
  what: '',
  measured: '',
  'p50 ms': '',
  'p99 ms': '',
  'records per sync': '',
  ratio: '',
  'of syncing': '',
  bar: '',
};

const isBarred = ({ connections }) => connections === CONNECTIONS.at(-1);

function postRows(post) {
  const { connections, bare, syncing, server, recordsPerSync, ratio, syncingRatio, ratioToSyncing } = post;
  const row = (what, { requestsPerSecond, p50Ms, p99Ms }) => ({
    ...EMPTY_ROW,
    what: `${what}, ${connections} connections`,
    measured: `${fixed(requestsPerSecond, 0)} requests/s`,
    'p50 ms': fixed(p50Ms, 2),
    'p99 ms': fixed(p99Ms, 2),
  });
  return [
    row('bare node:http', bare),
    { ...row('node:http that writes and syncs', syncing), ratio: fixed(syncingRatio) },
    {
      ...row('serve', server),
      'records per sync': fixed(recordsPerSync, 1),
      ratio: fixed(ratio),
      'of syncing': fixed(ratioToSyncing),
      bar: isBarred(post) ? `≥ ${POSTING_RATIO}: ${verdict(ratio >= POSTING_RATIO)}` : '',
    },
  ];
}

function largeRow({ producePerSecond, requestPerSecond, ratio }) {
  const millions = (perSecond) => `${fixed(perSecond / 1e6)} M records/s`;
  return {
    ...EMPTY_ROW,
    what: `one NDJSON request of ${LINES_PER_REQUEST} records; produce: ${millions(producePerSecond)}`,
    measured: millions(requestPerSecond),
    ratio: fixed(ratio),
    bar: `≥ ${LARGE_RATIO}: ${verdict(ratio >= LARGE_RATIO)}`,
  };
}

function readingRows({ byteCount, megabytesPerSecond, peak }) {
  return [
    {
      ...EMPTY_ROW,
      what: `NDJSON of a topic of ${byteCount / 1e6} MB, 10,000 records a request`,
      measured: `${fixed(megabytesPerSecond, 0)} MB/s`,
      bar: `≥ ${READING_MB_PER_SECOND} MB/s: ${verdict(megabytesPerSecond >= READING_MB_PER_SECOND)}`,
    },
    {
      ...EMPTY_ROW,
      what: 'memory of serve after that, at its peak',
      measured: `${fixed(peak, 0)} MB`,
      bar: `≤ ${MEMORY_LIMIT_MB} MB: ${verdict(peak <= MEMORY_LIMIT_MB)}`,
    },
  ];
}

const nameOf = ({ connections }) => (connections === 1 ? '1 connection' : `${connections} connections`);

/** The mark stands at the rate that there would be if the ratio were the one that is wanted. */
function throughputRow(post) {
  const { bare, syncing, server, ratio } = post;
  const bar = ({ requestsPerSecond }) => ({
    value: requestsPerSecond,
    label: fixed(requestsPerSecond, 0),
  });
  const isMet = ratio >= POSTING_RATIO;
  const asked = {
    label: `${fixed(server.requestsPerSecond, 0)}; ${fixed(ratio)} of bare, ≥ ${POSTING_RATIO}: ${metOrNot(isMet)}`,
    wanted: (server.requestsPerSecond * POSTING_RATIO) / ratio,
    isMet,
  };
  return {
    name: nameOf(post),
    bars: [bar(bare), bar(syncing), { ...bar(server), ...(isBarred(post) && asked) }],
  };
}

function latencyRow(post) {
  const bar = ({ p99Ms }) => ({ value: p99Ms, label: fixed(p99Ms, 2) });
  return { name: nameOf(post), bars: [bar(post.bare), bar(post.syncing), bar(post.server)] };
}
