/** A file system seen otherwise than it is, for who only reads. */
import type { FileSystem } from '../io/file-system.ts';

/** `fileSystem` with some of what it answers answered otherwise. */
export function readOnlyView(
  fileSystem: FileSystem,
  seen: Partial<Pick<FileSystem, 'status' | 'list'>> & {
    open: (path: string) => ReturnType<FileSystem['open']>;
  },
): FileSystem {
  return {
    appendRefusal: fileSystem.appendRefusal,
    locksAvailable: fileSystem.locksAvailable,
    status: (path) => fileSystem.status(path),
    list: (path) => fileSystem.list(path),
    freeBytes: (path) => fileSystem.freeBytes(path),
    isWritable: () => false,
    watch: () => undefined,
    makeDirectory: refuse,
    rename: refuse,
    unlink: refuse,
    removeDirectory: refuse,
    syncDirectory: refuse,
    ...seen,
  };
}

function refuse(): never {
  throw new TypeError('a topic that is seen otherwise than it is is only read');
}
