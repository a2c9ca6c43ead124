/**
 * Bundles the command line into dist/bin/, so that a command starts in the time that Node needs to start. The library
 * (dist/index.js) is what the compiler made of it.
 *
 * - fastqueue.cjs: all commands. CommonJS, because it starts sooner and loads the parts that a command does not use not
 *   at all; of oclif only the parser and what it needs.
 * - help.cjs: what prints help and the version, with every page in it. Instead of all of oclif and all commands.
 * - *-worker.js: whatever src/engine runs on another thread, beside the bundle that names it.
 *
 * Native modules are loaded from node_modules when they are first used.
 */
import { readdirSync } from 'node:fs';
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
  external: ['fs-native-extensions', 'mmap-io', 'typescript'],
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
  plugins: [withoutUnreached],
});

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

const workers = readdirSync(`${root}/src/engine`).filter((name) => name.endsWith('-worker.ts'));
await build({
  ...COMMON,
  entryPoints: workers.map((name) => `src/engine/${name}`),
  outdir: 'dist/bin',
  format: 'esm',
});
