/** better-sqlite3: WAL, synchronous=FULL, one transaction for each MiB of lines. Arguments: common.js. */
import Database from 'better-sqlite3';
import { batchesOf, directory, input, perform } from './common.js';

const database = new Database(`${directory}/queue.db`);
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec('CREATE TABLE IF NOT EXISTS queue (offset INTEGER PRIMARY KEY, payload BLOB NOT NULL)');
const insert = database.prepare('INSERT INTO queue (payload) VALUES (?)');
const insertAll = database.transaction((lines) => {
  for (const line of lines) insert.run(line);
});
await perform({
  produce: () => {
    for (const lines of batchesOf(input)) insertAll(lines);
  },
  consume: (visit) => {
    const rows = database.prepare('SELECT payload FROM queue ORDER BY offset').pluck().iterate();
    for (const payload of rows) visit(payload);
  },
});
database.close();
