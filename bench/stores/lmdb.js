/** lmdb: a synced transaction for each MiB of lines, keys in order. node lmdb.js INPUT DIRECTORY */
import { open } from 'lmdb';
import { batchesOf, report } from './common.js';

const [input, directory] = process.argv.slice(2);
const database = open({
  path: `${directory}/queue.lmdb`,
  encoding: 'binary',
  keyEncoding: 'uint32',
  mapSize: 4 * 2 ** 30,
});
await report({
  produce: () => {
    let offset = 0;
    for (const lines of batchesOf(input)) {
      database.transactionSync(() => {
        for (const line of lines) database.putSync(offset++, line, { append: true });
      });
    }
  },
  consume: () => {
    let bytes = 0;
    for (const { value } of database.getRange()) bytes += value.length;
    return bytes;
  },
});
await database.close();
