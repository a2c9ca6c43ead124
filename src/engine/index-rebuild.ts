/** An index made anew by rename, under the lock and with the generation raised by the caller. */
import { EntryWriter } from './entry-writer.ts';
import { temporaryFileName } from './format/file-names.ts';
import { scanFrames } from './frame-scanner.ts';
import type { FileHandle } from './io/file-system.ts';
import { isIndexFree } from './offset-index.ts';
import { indexPath, storePath, type TopicContext } from './topic-directory.ts';

/** Makes the index of a segment anew from its good frames. Durable when it resolves. */
export async function rebuildIndex(
  context: TopicContext,
  segment: { baseOffset: number; intervalBytes: number },
): Promise<void> {
  const { fileSystem, directory } = context;
  const path = indexPath(context, segment.baseOffset);
  if (!isIndexFree(context, segment.baseOffset)) return;
  const temporaryPath = temporaryFileName(path, 'recover');
  fileSystem.unlink(temporaryPath);
  const store = fileSystem.open(storePath(context, segment.baseOffset), 'read');
  try {
    const target = fileSystem.open(temporaryPath, 'create-new');
    try {
      writeEntries(context, { ...segment, store, target });
      await target.sync();
      fileSystem.rename(temporaryPath, path);
    } catch (error) {
      fileSystem.unlink(temporaryPath);
      throw error;
    } finally {
      target.close();
    }
  } finally {
    store.close();
  }
  await fileSystem.syncDirectory(directory);
}

/** Of the frames from the first to the first that is not good, or to the end. */
function writeEntries(
  context: TopicContext,
  request: { baseOffset: number; intervalBytes: number; store: FileHandle; target: FileHandle },
): void {
  const { baseOffset, intervalBytes, store, target } = request;
  const entries = new EntryWriter(context, { file: target, intervalBytes });
  scanFrames({
    file: store,
    kernel: context.kernel,
    position: 0,
    offset: baseOffset,
    endPosition: store.status().sizeBytes,
    minTimestamp: -Infinity,
    onRecords: (frames, place) => {
      entries.records(frames, place);
    },
    onSpecial: ({ header, offsetCount }, place) => {
      entries.special({ ...place, lengthField: header.lengthField, offsetCount });
    },
  });
  entries.end();
}
