// Imports go one way: each layer may import only what stands below it (docs/ARCHITECTURE.md).
const LAYERS = [
  { name: 'commands', path: '^src/commands/' },
  { name: 'cli', path: '^src/cli/(?!views/)' },
  { name: 'views', path: '^src/cli/views/' },
  { name: 'server', path: '^src/server/' },
  { name: 'library', path: '^src/index\\.ts$' },
  { name: 'door', path: '^src/engine/index\\.ts$' },
  { name: 'maintenance', path: '^src/engine/(compaction|inspection|recovery|verification)/' },
  { name: 'engine', path: '^src/engine/(?!index\\.ts$|errors\\.ts$|limits\\.ts$)[^/]+\\.ts$' },
  { name: 'io', path: '^src/engine/io/' },
  { name: 'kernel', path: '^src/engine/kernel/' },
  { name: 'format', path: '^src/engine/format/' },
  { name: 'ground', path: '^src/engine/(errors|limits)\\.ts$' },
];

const upward = LAYERS.flatMap((layer, depth) =>
  LAYERS.slice(0, depth).map((above) => ({
    name: `${layer.name}-may-not-import-${above.name}`,
    severity: 'error',
    from: { path: layer.path },
    to: { path: above.path },
  })),
);

module.exports = {
  forbidden: [
    ...upward,
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'one-door-to-the-engine',
      comment:
        'Commands, views, the server and the library import src/engine/index.ts and nothing behind it.',
      severity: 'error',
      from: { path: '^src/(commands|cli|server|index\\.ts)' },
      to: { path: '^src/engine/', pathNot: '^src/engine/index\\.ts$' },
    },
    {
      name: 'only-io-touches-the-disk',
      severity: 'error',
      from: { path: '^src/engine/', pathNot: '^src/engine/io/' },
      to: { path: '^(node:)?(fs|fs/promises)$|node_modules/(mmap-io|fs-native-extensions)' },
    },
    {
      name: 'only-views-dress-text',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/views/' },
      to: { path: 'node_modules/(chalk|cli-table3|ora)' },
    },
    {
      name: 'the-engine-knows-no-command-line',
      severity: 'error',
      from: { path: '^src/engine/' },
      to: { path: 'node_modules/@oclif|^(node:)?http$' },
    },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, path: '^src/' }, to: {} },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
};
