/**
 * The high-water mark that the stores themselves testify to, where a topic's own is missing or unsound. Reads only; who
 * writes it holds the lock.
 */
import { scanStore } from './damage-scan.ts';
import type { HighWatermark } from './format/high-watermark.ts';
import { listStoreBases, storePath, type TopicContext, storeBytes } from './topic-directory.ts';

/** A mark that says what the stores say, for a topic whose own is lost. Missing records behind the end cannot be known. */
export function markFromStores(context: TopicContext): HighWatermark {
  const bases = listStoreBases(context);
  const baseOffset =
    bases.findLast((base, number) => number === 0 || (storeBytes(context, base) ?? 0) > 0) ?? 0;
  const startOffset = bases.find((base) => (storeBytes(context, base) ?? 0) > 0) ?? baseOffset;
  const empty = { baseOffset, startOffset, generation: Date.now(), flags: 0 };
  if ((storeBytes(context, baseOffset) ?? 0) === 0)
    return {
      ...empty,
      startOffset: Math.min(startOffset, baseOffset),
      nextOffset: baseOffset,
      position: 0,
      timestamp: 0,
    };
  const store = context.fileSystem.open(storePath(context, baseOffset), 'read');
  try {
    const endPosition = store.status().sizeBytes;
    const from = { baseOffset, position: 0, offset: baseOffset, minTimestamp: -Infinity };
    const scan = scanStore(context, { store, ...from, endPosition, endOffset: undefined });
    return {
      ...empty,
      nextOffset: scan.nextOffset,
      position: scan.goodEndPosition,
      timestamp: scan.lastTimestamp ?? 0,
    };
  } finally {
    store.close();
  }
}
