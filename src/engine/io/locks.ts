/**
 * Open-file-description locks, from fs-native-extensions: freed by the kernel when a process dies, and separate for
 * separate opens. Node has none of its own. Loaded once, when first asked for; where it does not load, appending is refused.
 */
import { createRequire, Module } from 'node:module';

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
  const loadModule = createRequire(import.meta.url);
  try {
    provideBinary(loadModule);
    return loadModule('fs-native-extensions') as LockLibrary;
  } catch {
    return undefined;
  }
}

/**
 * Finding its own binary takes the library longer than most commands take: it asks for every name that one may have.
 * Where the usual one stands it is given that; elsewhere it goes on to look for itself.
 */
function provideBinary(loadModule: NodeJS.Require): void {
  const host = `${process.platform}-${process.arch}`;
  try {
    const binding = new Module(loadModule.resolve('fs-native-extensions/binding.js'));
    binding.exports = loadModule(
      `fs-native-extensions/prebuilds/${host}/fs-native-extensions.node`,
    ) as object;
    binding.loaded = true;
    loadModule.cache[binding.id] = binding;
  } catch {
    // No binary of that name: whether there is another, the library knows.
  }
}
