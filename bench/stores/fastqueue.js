/** FastQueue's library: a synced batch for each MiB of lines. Arguments: common.js. */
import { openDataDirectory } from '../../dist/index.js';
import { batchesOf, directory, input, perform } from './common.js';

const topic = await openDataDirectory(directory).openTopic('t', { mode: 'append', create: {} });
await perform({
  produce: async () => {
    for (const lines of batchesOf(input)) await topic.append(lines);
  },
  consume: async (visit) => {
    for await (const entries of topic.batches()) {
      for (const { payload } of entries) visit(payload);
    }
  },
});
await topic.close();
