/**
 * Keeps the compiled form of the bundled command line beside it, for the Node that runs this: the functions that everyday
 * commands use need not be parsed and compiled again at every start (bin/run.js). Node ≥ 22.8 does so by itself.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Script } from 'node:vm';

const root = fileURLToPath(new URL('..', import.meta.url));
const bundlePath = join(root, 'dist/bin/fastqueue.cjs');
const { platform, arch, versions } = process;
const keptPath = `${bundlePath}.${versions.v8}-${platform}-${arch}`;
rmSync(keptPath, { force: true });
if (nodeModule.enableCompileCache === undefined) writeFileSync(keptPath, await compile());

/** What is compiled after every command has run once. */
async function compile() {
  const script = new Script(nodeModule.Module.wrap(readFileSync(bundlePath, 'latin1')), {
    filename: bundlePath,
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, nodeModule.createRequire(bundlePath), module, bundlePath);
  const directory = mkdtempSync(join(tmpdir(), 'fastqueue-build-'));
  try {
    await runEverydayCommands(module.exports.run, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
  return script.createCachedData();
}

/** Commands end their process, and print: here they do neither. */
async function runEverydayCommands(run, directory) {
  const { exit } = process;
  const { write } = process.stdout;
  process.exit = () => undefined;
  process.stdout.write = (chunk, done) => {
    done?.();
    return true;
  };
  const input = join(directory, 'input');
  writeFileSync(input, 'one\ntwo\n');
  const start = pathToFileURL(join(root, 'bin/run.js')).href;
  const data = ['-d', join(directory, 'data'), '-q'];
  const commands = [
    ['produce', 't', input],
    ['consume', 't'],
    ['topics'],
    ['topics', 'show', 't'],
    ['verify', 't'],
    ['recover', 't', '--dry-run'],
  ];
  for (const command of commands) await run([...command, ...data], start);
  process.exit = exit;
  process.stdout.write = write;
  if (process.exitCode) throw new Error(`A command ended with ${process.exitCode}.`);
}
