/**
 * NATS JetStream, file storage, publishing without waiting for each acknowledgement, a MiB under way at a time.
 * node nats.js timed INPUT DIRECTORY
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, consumerOpts, createInbox } from 'nats';
import { batchesOf, directory, input, report } from './common.js';

const port = await freePort();
const server = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', directory], {
  stdio: 'ignore',
});
const connection = await connectWhenUp();
const manager = await connection.jetstreamManager();
await manager.streams.add({ name: 'q', subjects: ['q'], storage: 'file' });
const inbox = createInbox();
let acknowledged = 0;
let wanted = Infinity;
let arrived;
connection.subscribe(inbox, {
  callback: () => {
    acknowledged += 1;
    if (acknowledged >= wanted) arrived();
  },
});
let count = 0;
await report({
  produce: async () => {
    for (const lines of batchesOf(input)) {
      acknowledged = 0;
      wanted = lines.length;
      count += lines.length;
      const all = new Promise((resolve) => (arrived = resolve));
      for (const line of lines) connection.publish('q', line, { reply: inbox });
      await all;
    }
  },
  consume: async () => {
    let seen = 0;
    await new Promise((resolve) => {
      const options = consumerOpts().orderedConsumer();
      options.callback((error, message) => {
        if (message === null) return;
        if (++seen === count) resolve();
      });
      void connection.jetstream().subscribe('q', options);
    });
  },
});
server.kill();
process.exit();

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port: free } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return free;
}

async function connectWhenUp() {
  for (;;) {
    try {
      return await connect({ servers: `127.0.0.1:${port}` });
    } catch {
      await delay(50);
    }
  }
}
