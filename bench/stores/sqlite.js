/** better-sqlite3: WAL, synchronous=FULL, one transaction for each MiB of lines. node sqlite.js INPUT DIRECTORY */
import Database from 'better-sqlite3';
import { batchesOf, report } from './common.js';

const [input, directory] = process.argv.slice(2);
const database = new Database(`${directory}/queue.db`);
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec('CREATE TABLE queue (offset INTEGER PRIMARY KEY, payload BLOB NOT NULL)');
const insert = database.prepare('INSERT INTO queue (payload) VALUES (?)');
const insertAll = database.transaction((lines) => {
  for (const line of lines) insert.run(line);
});
await report({
  produce: () => {
    for (const lines of batchesOf(input)) insertAll(lines);
  },
  consume: () => {
    let bytes = 0;
    for (const payload of database.prepare('SELECT payload FROM queue ORDER BY offset').pluck().iterate()) {
      bytes += payload.length;
    }
    return bytes;
  },
});
