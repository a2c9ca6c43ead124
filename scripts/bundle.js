/**
 * Bundles the command line into dist/bin/, so that a command starts in the time that Node needs to start. The library
 * (dist/index.js) is what the compiler made of it.
 *
 * - fastqueue.cjs: all commands. CommonJS, because it starts sooner and loads the parts that a command does not use not
 *   at all; of oclif only the parser and what it needs.
 * - *-worker.js: whatever src/engine runs on another thread, beside the bundle that names it.
 *
 * Native modules and prom-client are loaded from node_modules when they are first used.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
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
  external: ['fs-native-extensions', 'mmap-io', 'prom-client', '@oclif/core/run', 'typescript'],
};

/** Parts of oclif that no running command reaches: main.ts runs commands and reports errors itself. */
const UNREACHED = [
  { path: /oclif\/core\/lib\/config\/index\.js$/, contents: 'exports.Config = undefined;' },
  { path: /oclif\/core\/lib\/help\/index\.js$/, contents: 'exports.Help = undefined;' },
  { path: /oclif\/core\/lib\/errors\/handle\.js$/, contents: 'exports.handle = undefined;' },
  { path: /oclif\/core\/lib\/ux\/index\.js$/, contents: 'exports.ux = {};' },
  { path: /node_modules\/ejs\//, contents: '' },
  {
    path: /node_modules\/debug\//,
    contents: 'module.exports = () => Object.assign(() => {}, { enabled: false });',
  },
];

const withoutUnreached = {
  name: 'without-unreached',
  setup({ onLoad }) {
    for (const { path, contents } of UNREACHED) onLoad({ filter: path }, () => ({ contents, loader: 'js' }));
  },
};

await build({
  ...COMMON,
  entryPoints: { fastqueue: 'src/commands/run.ts' },
  outdir: 'dist/bin',
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  define: { 'import.meta.url': 'bundleUrl' },
  banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [withoutUnreached],
});

const workers = readdirSync(`${root}/src/engine`).filter((name) => name.endsWith('-worker.ts'));
await build({
  ...COMMON,
  entryPoints: workers.map((name) => `src/engine/${name}`),
  outdir: 'dist/bin',
  format: 'esm',
});
