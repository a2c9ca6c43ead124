/** lmdb: a synced transaction for each MiB of lines, keys in order. Arguments: common.js. */
import { open } from 'lmdb';
import { batchesOf, directory, input, perform } from './common.js';

const database = open({
  path: `${directory}/queue.lmdb`,
  encoding: 'binary',
  keyEncoding: 'uint32',
  mapSize: 8 * 2 ** 30,
});
await perform({
  produce: () => {
    let offset = 0;
    for (const lines of batchesOf(input)) {
      database.transactionSync(() => {
        for (const line of lines) database.putSync(offset++, line, { append: true });
      });
    }
  },
  consume: (visit) => {
    for (const { value } of database.getRange()) visit(value);
  },
});
await database.close();
