/** Outputs that give what they get to the test. */
import type { Output } from '../../src/cli/output.ts';

/** One that has room for everything at any time. */
export const outputInto = (take: (chunk: Uint8Array | string) => void): Output => ({
  isClosed: false,
  isSynchronous: true,
  takeAtOnce: (bytes) => {
    take(bytes);
    return bytes.length;
  },
  write: (chunk) => {
    take(chunk);
    return Promise.resolve();
  },
});
