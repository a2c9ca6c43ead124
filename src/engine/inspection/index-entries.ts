/**
 * One index, entry by entry, against the store beside it if there is one. Reads only. Whatever is wrong with an index is
 * a note: it is a cache, and no record depends on it.
 */
import { readUInt64 } from '../format/big-endian.ts';
import { decodeIndexEntry, INDEX_ENTRY_BYTES } from '../format/index-entry.ts';
import { headerAt } from '../frame-header.ts';
import { isSound, readFrameAt } from '../frame-scanner.ts';
import type { InspectOptions } from './inspect.ts';
import type { FileHandle, FileSystem } from '../io/file-system.ts';
import { NodeFileSystem } from '../io/node-file-system.ts';

export interface InspectedEntry {
  readonly number: number;
  readonly offset: number;
  readonly position: number;
  readonly lengthField: number;
  /**
   * `sound`: its own checksum is right, and it names a frame of the store where there is one to ask. `zero`: all zeros, as
   * a power cut leaves them. `unsound`: its own checksum is wrong. `contradicts`: it names no frame of the store.
   */
  readonly state: 'sound' | 'zero' | 'unsound' | 'contradicts';
}

const BLOCK_ENTRIES = 4096;

/** Every entry in order, in blocks. */
export function* inspectIndex(
  path: string,
  options: InspectOptions,
): Generator<readonly InspectedEntry[], void, undefined> {
  const fileSystem = options.fileSystem ?? new NodeFileSystem({ map: false });
  const file = fileSystem.open(path, 'read');
  const store = openStoreBeside(fileSystem, path);
  try {
    const block = Buffer.alloc(BLOCK_ENTRIES * INDEX_ENTRY_BYTES);
    const storeBytes = store?.status().sizeBytes ?? 0;
    for (let number = 0; ;) {
      const count = Math.floor(file.read(block, number * INDEX_ENTRY_BYTES) / INDEX_ENTRY_BYTES);
      if (count === 0) return;
      const first = number;
      yield Array.from({ length: count }, (_, at) =>
        judgeEntry(block.subarray(at * INDEX_ENTRY_BYTES, (at + 1) * INDEX_ENTRY_BYTES), {
          number: first + at,
          store,
          storeBytes,
          checksum: options.checksum,
        }),
      );
      number += count;
    }
  } finally {
    store?.close();
    file.close();
  }
}

/** The store of the same name in the same directory. */
function openStoreBeside(fileSystem: FileSystem, indexPath: string): FileHandle | undefined {
  for (const suffix of ['.store', '.log']) {
    const path = indexPath.replace(/\.index$/, suffix);
    if (path !== indexPath && fileSystem.status(path) !== undefined) return fileSystem.open(path, 'read');
  }
  return undefined;
}

function judgeEntry(
  bytes: Buffer,
  facts: {
    number: number;
    store: FileHandle | undefined;
    storeBytes: number;
    checksum: InspectOptions['checksum'];
  },
): InspectedEntry {
  const entry = {
    number: facts.number,
    offset: readUInt64(bytes, 0),
    position: readUInt64(bytes, 8),
    lengthField: bytes.readUInt32BE(16),
  };
  if (bytes.every((byte) => byte === 0)) return { ...entry, state: 'zero' };
  const isCrc = facts.checksum === 'crc32';
  if (isCrc && decodeIndexEntry(bytes, 0) === undefined) return { ...entry, state: 'unsound' };
  if (facts.store === undefined) return { ...entry, state: 'sound' };
  const isThere = isCrc
    ? namesFrame(facts.store, facts.storeBytes, entry)
    : namesHeader(facts.store, facts.storeBytes, entry);
  return { ...entry, state: isThere ? 'sound' : 'contradicts' };
}

type EntryFields = Pick<InspectedEntry, 'offset' | 'position' | 'lengthField'>;

function namesFrame(store: FileHandle, endPosition: number, entry: EntryFields): boolean {
  if (entry.position >= endPosition) return false;
  const { position, offset, lengthField } = entry;
  return isSound(readFrameAt(store, { position, offset, lengthField, endPosition, minTimestamp: -Infinity }));
}

/** Without an offset in the checksum only the Length can be compared. */
function namesHeader(store: FileHandle, endPosition: number, entry: EntryFields): boolean {
  return headerAt(store, { position: entry.position, endPosition })?.lengthField === entry.lengthField;
}
