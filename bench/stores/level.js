/** classic-level: a synced batch for each MiB of lines. Arguments: common.js. */
import { ClassicLevel } from 'classic-level';
import { batchesOf, directory, input, perform } from './common.js';

const database = new ClassicLevel(`${directory}/queue.level`, {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  compression: false,
});
await database.open();
await perform({
  produce: async () => {
    let offset = 0;
    for (const lines of batchesOf(input)) {
      const batch = database.batch();
      for (const line of lines) {
        const key = Buffer.allocUnsafe(4);
        key.writeUInt32BE(offset++);
        batch.put(key, line);
      }
      await batch.write({ sync: true });
    }
  },
  consume: async (visit) => {
    const iterator = database.values({ highWaterMarkBytes: 1 << 20 });
    for (
      let values = await iterator.nextv(10_000);
      values.length > 0;
      values = await iterator.nextv(10_000)
    ) {
      for (const value of values) visit(value);
    }
    await iterator.close();
  },
});
await database.close();
