/**
 * `fastqueue serve` under the load of autocannon, in turn with a bare node:http server that discards the same bodies; a
 * large request against `produce`; and a large topic read back as NDJSON.
 */
import autocannon from 'autocannon';
import { readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { fileURLToPath } from 'node:url';
import { linesFile } from '../lib/input.js';
import { median, seconds } from '../lib/measure.js';
import { fixed, verdict } from '../lib/report.js';
import { fetchWhole, startServer } from '../lib/servers.js';

const BARE = fileURLToPath(new URL('../lib/bare-server.js', import.meta.url));
const RECORD = Buffer.alloc(100, 'x');
const CONNECTIONS = [1, 8, 64];
const SECONDS_PER_RUN = 3;
const LINES_PER_REQUEST = 100_000;
const PAGE = '/topics/big/messages?limit=10000&max_bytes=32MiB';

/** Every column, in its order. */
const EMPTY_ROW = {
  what: '',
  measured: '',
  'p50 ms': '',
  'p99 ms': '',
  'records per sync': '',
  ratio: '',
  bar: '',
};

export async function serve({ directory, rounds, inputBytes, bin }) {
  const data = `${directory}/data`;
  rmSync(data, { recursive: true, force: true });
  const rows = [];
  const bare = await startServer([BARE]);
  const server = await startServer([bin, 'serve', '--port', '0', '-d', data]);
  try {
    for (const connections of CONNECTIONS)
      rows.push(...(await posting({ bare, server, connections, rounds })));
    rows.push(await oneLargeRequest({ server, directory, bin, rounds, inputBytes }));
  } finally {
    await bare.stop();
    await server.stop();
  }
  rows.push(...(await readingBack({ data, directory, bin, rounds, inputBytes })));
  rmSync(data, { recursive: true, force: true });
  return {
    rows: rows.map((row) => ({ ...EMPTY_ROW, ...row })),
    note:
      `POSTs of 100 bytes, each answered once it is synced, for ${SECONDS_PER_RUN} s at a time. The bare server reads and discards ` +
      'the same bodies and answers 201 with nothing. Load generator and server share the processors.',
  };
}

async function posting({ bare, server, connections, rounds }) {
  const rates = { bare: [], server: [] };
  const times = { bare: [], server: [] };
  const contenders = { bare: bare.url, server: server.url };
  for (const url of Object.values(contenders)) await load(url, { connections, duration: 1 });
  const before = await batchCounts(server);
  for (let round = 0; round < rounds; round++) {
    for (const [name, url] of Object.entries(contenders)) {
      const { rate, milliseconds } = await load(url, { connections, duration: SECONDS_PER_RUN });
      rates[name].push(rate);
      times[name].push(milliseconds);
    }
  }
  const after = await batchCounts(server);
  const ratio = median(rates.server.map((rate, round) => rate / rates.bare[round]));
  const perSync = (after.records - before.records) / (after.batches - before.batches);
  const row = (what, name) => ({
    what,
    measured: `${fixed(median(rates[name]), 0)} requests/s`,
    'p50 ms': fixed(median(times[name].map((each) => percentile(each, 0.5))), 2),
    'p99 ms': fixed(median(times[name].map((each) => percentile(each, 0.99))), 2),
  });
  return [
    row(`bare node:http, ${connections} connections`, 'bare'),
    {
      ...row(`serve, ${connections} connections`, 'server'),
      'records per sync': fixed(perSync, 1),
      ratio: fixed(ratio),
      bar: connections === 64 ? `≥ 0.8: ${verdict(ratio >= 0.8)}` : '',
    },
  ];
}

/** Requests per second and the milliseconds of each. @throws Error where one was answered with anything but 201 */
async function load(url, { connections, duration }) {
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
  const ratios = [];
  const rates = { produce: [], request: [] };
  for (let round = 0; round < rounds; round++) {
    rmSync(other, { recursive: true, force: true });
    const produced = seconds(`'${process.execPath}' '${bin}' produce t ${input.path} -d ${other} --ack none`);
    rates.produce.push(input.count / produced);
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
    rates.request.push(LINES_PER_REQUEST / median(requests));
    ratios.push(rates.request.at(-1) / rates.produce.at(-1));
  }
  rmSync(other, { recursive: true, force: true });
  const millions = (values) => `${fixed(median(values) / 1e6)} M records/s`;
  return {
    what: `one NDJSON request of ${LINES_PER_REQUEST} records; produce: ${millions(rates.produce)}`,
    measured: millions(rates.request),
    ratio: fixed(median(ratios)),
    bar: `≥ 0.5: ${verdict(median(ratios) >= 0.5)}`,
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
    for (let round = 0; round < Math.min(rounds, 3); round++) {
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
    const peak = server.peakMegabytes();
    return [
      {
        what: `NDJSON of a topic of ${inputBytes / 1e6} MB, 10,000 records a request`,
        measured: `${fixed(median(rates), 0)} MB/s`,
        bar: `≥ 100 MB/s: ${verdict(median(rates) >= 100)}`,
      },
      {
        what: 'memory of serve after that, at its peak',
        measured: `${fixed(peak, 0)} MB`,
        bar: `≤ 160 MB: ${verdict(peak <= 160)}`,
      },
    ];
  } finally {
    agent.destroy();
    await server.stop();
  }
}
