/**
 * Read-only shared mappings, from the optional package mmap-io. Where it did not compile, does not load or was switched
 * off, callers read with `pread` instead.
 */
import { fstatSync } from 'node:fs';
import { createRequire } from 'node:module';

interface MapLibrary {
  map(size: number, protection: number, flags: number, fd: number): Buffer;
  readonly PROT_READ: number;
  readonly MAP_SHARED: number;
}

let loaded: { library: MapLibrary | undefined } | undefined;

/**
 * Maps that are kept. Each counts as memory while it is there, and keeps the blocks of a file that was removed; two are
 * the segment that a reader is in and the next.
 */
const MAX_KEPT = 2;

/**
 * The latest maps of a process, for the next who asks: one made anew for each question counts as so much garbage, and
 * makes the collector run each time. A file is known by its inode, which no other can have while the map is there.
 */
export class MemoryMaps {
  /** By device and inode, latest use last. */
  readonly #kept = new Map<string, Buffer>();

  /** The first `byteCount` bytes of the file, or undefined where there is no map to be had. */
  of(fd: number, byteCount: number): Buffer | undefined {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    const key = `${dev}:${ino}`;
    const kept = this.#kept.get(key);
    const map = kept?.length === byteCount ? kept : mapFile(fd, byteCount);
    this.#kept.delete(key);
    if (map === undefined) return undefined;
    this.#kept.set(key, map);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    return map;
  }
}

function mapFile(fd: number, byteCount: number): Buffer | undefined {
  if (byteCount === 0) return undefined;
  loaded ??= { library: load() };
  const { library } = loaded;
  if (library === undefined) return undefined;
  try {
    return library.map(byteCount, library.PROT_READ, library.MAP_SHARED, fd);
  } catch {
    // A file system that cannot map: `pread` reads the same bytes.
    return undefined;
  }
}

function load(): MapLibrary | undefined {
  if (process.env['FASTQUEUE_NO_MMAP'] === '1') return undefined;
  try {
    const module = createRequire(import.meta.url)('mmap-io') as MapLibrary & { default?: MapLibrary };
    return module.default ?? module;
  } catch {
    return undefined;
  }
}
