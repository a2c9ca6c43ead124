/**
 * Open-file-description locks, from fs-native-extensions: freed by the kernel when a process dies, and separate for
 * separate opens. Node has none of its own. Loaded once, when first asked for; where it does not load, appending is refused.
 */
import { createRequire } from 'node:module';

interface LockLibrary {
  tryLock(fd: number, offset: number, length: number, options: { shared: boolean }): boolean;
  waitForLock(fd: number): Promise<void>;
  unlock(fd: number): void;
}

let loaded: { library: LockLibrary | undefined } | undefined;

/** Undefined where the library does not load on this platform. */
export function lockLibrary(): LockLibrary | undefined {
  loaded ??= { library: load() };
  return loaded.library;
}

function load(): LockLibrary | undefined {
  // For tests and for asking "what if": behaves as on a platform without prebuilt locks.
  if (process.env['FASTQUEUE_NO_LOCKS'] === '1') return undefined;
  try {
    return createRequire(import.meta.url)('fs-native-extensions') as LockLibrary;
  } catch {
    return undefined;
  }
}
