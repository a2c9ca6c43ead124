/**
 * What a command loads before it works, counted and not timed: one bundle in its compiled form, no module of Node's or of
 * a package's that it does not use.
 */
import { expect } from 'chai';
import { cpSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { execFileSync } from 'node:child_process';
import { Sandbox } from './fastqueue.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { arch, platform, versions } = process;
const BUNDLE = 'dist/bin/fastqueue.cjs';
const KEPT = `${BUNDLE}.${versions.v8}-${platform}-${arch}`;
/** Where Node does not keep what it has compiled, the build does. */
const nodeKeeps = 'enableCompileCache' in nodeModule;

/** Leaves behind what was loaded: Node's own modules and files. */
const HOOK = `
  const { writeFileSync } = require('node:fs');
  process.on('exit', () => {
    const files = Object.keys(require.cache).filter((path) => path !== __filename);
    writeFileSync(process.env.LOADED_FILE, JSON.stringify({ builtins: process.moduleLoadList, files }));
  });`;

describe('starting a command', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  function run(root: string, args: string[], environment: Record<string, string> = {}): string {
    return execFileSync(process.execPath, [join(root, 'bin/run.js'), ...args], {
      encoding: 'utf8',
      input: 'one\n',
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, FASTQUEUE_DATA_DIR: sandbox.dataDirectory, ...environment },
    });
  }

  /** What `args` loaded: short names of Node's modules, and files. */
  function loadedBy(...args: string[]): { builtins: string[]; files: string[] } {
    const hook = join(sandbox.directory, 'hook.cjs');
    const loaded = join(sandbox.directory, 'loaded');
    writeFileSync(hook, HOOK);
    run(ROOT, args, { NODE_OPTIONS: `--require=${hook}`, LOADED_FILE: loaded });
    const found = JSON.parse(readFileSync(loaded, 'utf8')) as { builtins: string[]; files: string[] };
    return { ...found, builtins: found.builtins.map((name) => name.replace('NativeModule ', '')) };
  }

  it('loads no module of Node that the command does not use', () => {
    run(ROOT, ['produce', 't']);
    for (const args of [['topics'], ['consume', 't'], ['produce', 't'], ['verify', 't']]) {
      const { builtins } = loadedBy(...args);
      expect(builtins, args.join(' ')).not.to.include.members(['crypto']);
      expect(builtins, args.join(' ')).not.to.include.members(['zlib']);
      expect(builtins, args.join(' ')).not.to.include.members(['readline']);
    }
  });

  it('loads the lock library alone beside its bundle, and that only where there is a lock to take', () => {
    run(ROOT, ['produce', 't']);
    expect(loadedBy('topics').files.filter((path) => path.includes('node_modules'))).to.deep.equal([]);
    const { files } = loadedBy('produce', 't');
    expect(files.filter((path) => path.endsWith('fs-native-extensions.node'))).to.have.length(1);
    expect(files.length, files.join('\n')).to.be.below(8);
  });

  it('finds the compiled form of the bundle, and Node takes it', () => {
    const kept = nodeKeeps ? undefined : readFileSync(join(ROOT, KEPT));
    const source = nodeModule.Module.wrap(readFileSync(join(ROOT, BUNDLE), 'latin1'));
    const script = new Script(source, { filename: join(ROOT, BUNDLE), cachedData: kept });
    expect(script.cachedDataRejected).to.equal(nodeKeeps ? undefined : false);
  });

  it('goes without the compiled form where it is missing, cut off or garbage', () => {
    const root = join(sandbox.directory, 'package');
    for (const part of ['bin', 'dist/bin', 'package.json'])
      cpSync(join(ROOT, part), join(root, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    const kept = join(root, KEPT);
    const spoilers = [
      () => {
        writeFileSync(kept, Buffer.alloc(100_000, 0xa5));
      },
      () => {
        truncateSync(kept, 1000);
      },
      () => {
        truncateSync(kept, 0);
      },
    ];
    for (const [number, spoil] of spoilers.entries()) {
      spoil();
      expect(run(root, ['produce', 't', '--ack', 'offset'])).to.equal(`${number}..${number}\n`);
    }
  });
});
