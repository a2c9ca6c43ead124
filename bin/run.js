#!/usr/bin/env node
/**
 * Starts the bundled command line with the compiled form of it that was kept: by Node itself from 22.8 on, by the build
 * (scripts/keep-compiled.js) for the Node that it ran on, where that is older. Without one it is compiled again.
 */
import { readFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

const bundlePath = fileURLToPath(new URL('../dist/bin/fastqueue.cjs', import.meta.url));
const require = nodeModule.createRequire(bundlePath);
const bundle = nodeModule.enableCompileCache === undefined ? loadKept() : loadKeptByNode();
await bundle.run(process.argv.slice(2), import.meta.url);

function loadKeptByNode() {
  nodeModule.enableCompileCache();
  return require(bundlePath);
}

function loadKept() {
  const cachedData = readKept();
  if (cachedData === undefined) return require(bundlePath);
  // What does not fit this Node is refused by it, and the source compiled. The bundle is all ASCII.
  const script = new Script(nodeModule.Module.wrap(readFileSync(bundlePath, 'latin1')), {
    filename: bundlePath,
    cachedData,
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, bundlePath);
  return module.exports;
}

function readKept() {
  const { platform, arch, versions } = process;
  try {
    return readFileSync(`${bundlePath}.${versions.v8}-${platform}-${arch}`);
  } catch {
    return undefined;
  }
}
