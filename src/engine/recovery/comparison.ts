/**
 * Whether a place in a store still holds what a recovery run found there, what it left there, or something else. Reads
 * only, in chunks.
 *
 * A run that was killed, or an undo that was, may have left a mixture: every byte is that of before or that of after.
 * Both are known, so a mixture is still this run's and can go either way.
 */
import type { FileHandle } from '../io/file-system.ts';
import { READ_CHUNK_BYTES } from '../limits.ts';
import { openRunFile, type StoreChange } from './runs.ts';
import type { TopicContext } from '../topic-directory.ts';

/** What stands there. `mixed`: bytes of before and of after, and of nothing else. */
export type ChangeStanding = 'before' | 'left' | 'mixed' | 'other';

/**
 * Looks at the place of one change.
 *
 * @param isRewritten true where the segment stands as a run left it that wrote it again: then places are those of after
 */
export function standingOf(
  context: TopicContext,
  run: string,
  request: { change: StoreChange; store: FileHandle; isRewritten: boolean },
): ChangeStanding {
  const { change, store } = request;
  const before = openRunFile(context, run, change.copy);
  const content = change.content === undefined ? undefined : openRunFile(context, run, change.content);
  try {
    if (change.method === 'rewritten') return standingOfRewritten(change, { store, before, content });
    const position = request.isRewritten ? change.leftPosition : change.position;
    return compare(change, { store, before, content, position });
  } finally {
    before.close();
    content?.close();
  }
}

interface Sources {
  readonly store: FileHandle;
  readonly before: FileHandle;
  readonly content: FileHandle | undefined;
}

function standingOfRewritten(change: StoreChange, sources: Sources): ChangeStanding {
  const { store, before, content } = sources;
  const isLeft =
    store.status().sizeBytes === change.leftStoreBytes &&
    content !== undefined &&
    isSame(store, content, { position: change.leftPosition, byteCount: change.leftByteCount });
  if (isLeft) return 'left';
  return isSame(store, before, { position: change.position, byteCount: change.byteCount })
    ? 'before'
    : 'other';
}

function isSame(
  store: FileHandle,
  other: FileHandle,
  range: { position: number; byteCount: number },
): boolean {
  const chunkBytes = Math.min(READ_CHUNK_BYTES, range.byteCount);
  const [left, right] = [Buffer.alloc(chunkBytes), Buffer.alloc(chunkBytes)];
  for (let done = 0; done < range.byteCount; done += chunkBytes) {
    const byteCount = Math.min(chunkBytes, range.byteCount - done);
    if (store.read(left.subarray(0, byteCount), range.position + done) < byteCount) return false;
    if (other.read(right.subarray(0, byteCount), done) < byteCount) return false;
    if (!left.subarray(0, byteCount).equals(right.subarray(0, byteCount))) return false;
  }
  return true;
}

function compare(change: StoreChange, sources: Sources & { position: number }): ChangeStanding {
  const { store, position } = sources;
  const storeBytes = store.status().sizeBytes;
  const longest = Math.max(change.byteCount, change.leftByteCount);
  const hasGrown = change.leftByteCount > change.byteCount;
  // Where the store was to end with the region, it must end there still, or on the way there.
  if (hasGrown && storeBytes > position + longest) return 'other';
  if (storeBytes < position + change.byteCount) return 'other';
  let isBefore = !hasGrown || storeBytes === position + change.byteCount;
  let isLeft = storeBytes >= position + change.leftByteCount;
  const chunkBytes = Math.min(READ_CHUNK_BYTES, longest);
  const chunks = {
    now: Buffer.alloc(chunkBytes),
    old: Buffer.alloc(chunkBytes),
    left: Buffer.alloc(chunkBytes),
  };
  for (let done = 0; done < longest; done += chunkBytes) {
    const nowCount = store.read(
      chunks.now.subarray(0, Math.min(chunkBytes, longest - done)),
      position + done,
    );
    const oldCount = sources.before.read(chunks.old, done);
    const leftCount = readLeft(change, sources, { target: chunks.left, done, old: chunks.old, oldCount });
    for (let at = 0; at < nowCount; at++) {
      const now = chunks.now[at];
      const isOld = at < oldCount ? now === chunks.old[at] : now === 0;
      const isNew = at < leftCount && now === chunks.left[at];
      if (!isOld && !isNew) return 'other';
      if (!isOld || at >= oldCount) isBefore = false;
      if (!isNew) isLeft = false;
    }
  }
  if (isLeft) return 'left';
  return isBefore ? 'before' : 'mixed';
}

/** What the run wrote: a file of its own, or patches over what was there. */
function readLeft(
  change: StoreChange,
  sources: Sources,
  chunk: { target: Buffer; done: number; old: Buffer; oldCount: number },
): number {
  const { target, done } = chunk;
  if (sources.content !== undefined) return sources.content.read(target, done);
  chunk.old.copy(target, 0, 0, chunk.oldCount);
  const byteCount = Math.min(target.length, change.leftByteCount - done);
  for (const patch of change.patches ?? []) {
    const bytes = Buffer.from(patch.hex, 'hex');
    const start = patch.position - change.position - done;
    for (let at = Math.max(0, -start); at < bytes.length && start + at < target.length; at++)
      target[start + at] = bytes[at] as number;
  }
  return byteCount;
}
