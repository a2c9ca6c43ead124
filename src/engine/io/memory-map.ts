/**
 * Read-only shared mappings, from the optional package mmap-io. Where it did not compile, does not load or was switched
 * off, callers read with `pread` instead.
 */
import { createRequire } from 'node:module';

interface MapLibrary {
  map(size: number, protection: number, flags: number, fd: number): Buffer;
  readonly PROT_READ: number;
  readonly MAP_SHARED: number;
}

let loaded: { library: MapLibrary | undefined } | undefined;

/** The first `byteCount` bytes of the file, or undefined where there is no map to be had. */
export function mapFile(fd: number, byteCount: number): Buffer | undefined {
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
