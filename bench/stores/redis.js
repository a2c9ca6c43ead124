/**
 * Redis Streams over a Unix socket. Commands that store are pipelined a MiB at a time and their replies only counted: no
 * client is faster. Records come back through the fastest client there is for Node (pages of 1000 are its best), or, with
 * `counted`, as replies of which nobody looks at more than the line ends: what the server can send.
 * node redis.js timed|single INPUT DIRECTORY always|everysec [counted]
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, RESP_TYPES } from '@redis/client';
import { batchesOf, directory, input, perform, settings } from './common.js';

const [fsync, consumer] = settings;
const socketPath = `${directory}/redis.sock`;
const server = spawn(
  'redis-server',
  ['--port', '0', '--unixsocket', socketPath, '--dir', directory, '--save', '', '--appendonly', 'yes'].concat(
    ['--appendfsync', fsync],
  ),
  { stdio: 'ignore' },
);
while (!existsSync(socketPath)) await delay(20);
const socket = connect(socketPath);
const LINE_FEED = 0x0a;
const CRLF = Buffer.from('\r\n');
const CLIENT_PAGE = 1000;
const COUNTED_PAGE = 10_000;
let lineFeeds = 0;
let wanted = Infinity;
let arrived;
socket.on('data', (chunk) => {
  for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, at + 1)) lineFeeds += 1;
  if (lineFeeds >= wanted) arrived();
});

/** Sends commands and waits until the replies have had so many line ends. */
async function ask(bytes, lineFeedCount) {
  lineFeeds = 0;
  wanted = lineFeedCount;
  const reply = new Promise((resolve) => (arrived = resolve));
  socket.write(bytes);
  await reply;
}

let count = 0;

async function consumeByClient(visit) {
  const client = await createClient({
    socket: { path: socketPath },
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  }).connect();
  for (let from = 1; from <= count; from += CLIENT_PAGE) {
    for (const { message } of await client.xRange('q', `0-${from}`, '+', { COUNT: CLIENT_PAGE }))
      visit(message.p);
  }
  client.destroy();
}

async function consumeCounted(visit) {
  for (let from = 1; from <= count; from += COUNTED_PAGE) {
    const size = Math.min(COUNTED_PAGE, count - from + 1);
    // An entry is eight lines: its array, its id, its fields, the field's name and the payload, lengths included.
    await ask(`XRANGE q 0-${from} + COUNT ${size}\r\n`, 8 * size + 1);
    visit(CRLF);
  }
}

await perform({
  produce: async () => {
    for (const lines of batchesOf(input)) {
      const pieces = [];
      for (const line of lines) {
        const id = `0-${++count}`;
        pieces.push(
          Buffer.from(
            `*5\r\n$4\r\nXADD\r\n$1\r\nq\r\n$${id.length}\r\n${id}\r\n$1\r\np\r\n$${line.length}\r\n`,
          ),
          line,
          CRLF,
        );
      }
      // Each reply is the id: a length and a text, a line each.
      await ask(Buffer.concat(pieces), 2 * lines.length);
    }
  },
  consume: consumer === 'counted' ? consumeCounted : consumeByClient,
}).finally(() => {
  socket.destroy();
  server.kill();
});
