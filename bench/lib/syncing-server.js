/**
 * What storing adds to a bare server at the least: bodies of half of those who are there are written by one call and
 * synced, and each is answered 201 with nothing. No offsets, no checksums, no lock, no second process.
 */
import { fdatasync, openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';

const file = openSync(process.argv[2], 'w');
let position = 0;
let pending = [];
let callerCount = 1;
let isSyncing = false;

function storeWhenDue() {
  if (isSyncing || pending.length === 0 || pending.length < callerCount >> 1) return;
  isSyncing = true;
  const group = pending;
  pending = [];
  const bytes = Buffer.concat(group.flatMap(({ chunks }) => chunks));
  writeSync(file, bytes, 0, bytes.length, position);
  position += bytes.length;
  fdatasync(file, (error) => {
    if (error !== null) throw error;
    isSyncing = false;
    callerCount = group.length + pending.length;
    for (const { response } of group) {
      response.statusCode = 201;
      response.end();
    }
    storeWhenDue();
  });
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    pending.push({ response, chunks });
    storeWhenDue();
  });
});
server.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
