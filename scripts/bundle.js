/**
 * Bundles the command line into dist/bin/, so that a command starts in the time that Node needs to start. The library
 * (dist/index.js) is what the compiler made of it.
 *
 * - fastqueue.cjs: all commands. CommonJS, because it starts sooner and loads the parts that a command does not use not
 *   at all; of oclif only the parser and what it needs.
 * - help.cjs: what prints help and the version, with every page in it. Instead of all of oclif and all commands.
 * - *-worker.js: whatever src/engine/recovery runs on another thread, beside the bundle that names it.
 *
 * Native modules are loaded from node_modules when they are first used.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Config } from '@oclif/core/config';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

const COMMON = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
  external: ['fs-native-extensions', 'mmap-io', 'prom-client', 'typescript'],
};

/** Parts of oclif that no running command reaches: main.ts runs commands and reports errors itself. */
const UNREACHED = [
  { path: /oclif\/core\/lib\/config\/index\.js$/, contents: 'exports.Config = undefined;' },
  { path: /oclif\/core\/lib\/help\/index\.js$/, contents: 'exports.Help = undefined;', needsHelp: false },
  { path: /oclif\/core\/lib\/errors\/handle\.js$/, contents: 'exports.handle = undefined;' },
  { path: /oclif\/core\/lib\/ux\/index\.js$/, contents: 'exports.ux = {};', needsHelp: false },
  { path: /node_modules\/ejs\//, contents: '', needsHelp: false },
  {
    path: /node_modules\/debug\//,
    contents: 'module.exports = () => Object.assign(() => {}, { enabled: false });',
  },
];

/** Functions of Node's that most commands do not call: their modules are loaded by the first call. */
const LOADED_WHEN_CALLED = {
  crypto: ['createHash', 'randomUUID', 'timingSafeEqual'],
  'fs/promises': ['readFile', 'stat'],
  readline: ['createInterface'],
  zlib: ['crc32'],
};

const loadedWhenCalled = {
  name: 'loaded-when-called',
  setup({ onLoad, onResolve }) {
    const filter = new RegExp(`^(node:)?(${Object.keys(LOADED_WHEN_CALLED).join('|')})$`);
    onResolve({ filter, namespace: 'file' }, ({ path }) => ({
      path: path.replace('node:', ''),
      namespace: 'when-called',
    }));
    onLoad({ filter: /.*/, namespace: 'when-called' }, ({ path }) => ({
      contents: LOADED_WHEN_CALLED[path]
        .map((name) => `export const ${name} = (...given) => require('node:${path}').${name}(...given);`)
        .join(''),
    }));
  },
};

const withoutUnreached = {
  name: 'without-unreached',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^@oclif\/core\/run$/ }, () => ({ path: './help.cjs', external: true }));
    for (const { path, contents } of UNREACHED) onLoad({ filter: path }, () => ({ contents, loader: 'js' }));
  },
};

/** The help class needs no configuration, since it is given one; nor spinners, nor a debugger's log. */
const withoutHelpOfPlugins = {
  name: 'without-configuration',
  setup({ onLoad }) {
    const unneeded = UNREACHED.filter(({ needsHelp }) => needsHelp !== false);
    for (const { path, contents } of unneeded) onLoad({ filter: path }, () => ({ contents, loader: 'js' }));
  },
};

await build({
  ...COMMON,
  entryPoints: { fastqueue: 'src/commands/run.ts' },
  outdir: 'dist/bin',
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  // `require` in its place: importing CommonJS looks through all of the file for its names first.
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': 'bundleUrl' },
  banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [withoutUnreached, loadedWhenCalled],
});

// All ASCII, as bin/run.js reads it: esbuild escapes what stands in texts, and nothing in regular expressions.
const bundlePath = `${root}/dist/bin/fastqueue.cjs`;
const escaped = readFileSync(bundlePath, 'utf8').replaceAll(
  /[\u0080-\uffff]/g,
  (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
);
writeFileSync(bundlePath, escaped);

const { pjson, version, commands, topics } = await Config.load(root);
await build({
  ...COMMON,
  entryPoints: { help: 'src/cli/help.ts' },
  outdir: 'dist/bin',
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  define: { HELP_PAGES: JSON.stringify({ pjson, version, commands, topics }) },
  plugins: [withoutHelpOfPlugins],
});

const workers = readdirSync(`${root}/src/engine/recovery`).filter((name) => name.endsWith('-worker.ts'));
await build({
  ...COMMON,
  entryPoints: workers.map((name) => `src/engine/recovery/${name}`),
  outdir: 'dist/bin',
  format: 'esm',
});
