/**
 * `npm run bench`: every promise of speed beside what it was measured at, in one run, into docs/bench.md and its plots.
 * `node bench/run.js --help` says what it can be told; that is read in lib/options.js.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readOptions, usage } from './lib/options.js';
import { markdownTable, updateSection } from './lib/report.js';
import { againstSize } from './sections/against-size.js';
import { compact } from './sections/compact.js';
import { latency } from './sections/latency.js';
import { limits } from './sections/limits.js';
import { serve } from './sections/serve.js';
import { sizes } from './sections/sizes.js';
import { startUp } from './sections/start-up.js';
import { stores } from './sections/stores.js';

const DOCS = new URL('../docs/', import.meta.url);
const WRONG_USAGE = 2;
const isQuick = process.env.FASTQUEUE_BENCH === 'quick';

/** In the order of the page. Each measures numbers, and makes its tables and its plot of nothing else. */
const SECTIONS = { limits, sizes, stores, latency, serve, 'start-up': startUp, compact, size: againstSize };

/** @returns undefined where only help was asked for, or the command line is wrong; it is said then */
function settingsFromCommandLine() {
  const sections = Object.keys(SECTIONS);
  try {
    const options = readOptions(process.argv.slice(2), { sections, isQuick });
    if (!options.help) return options;
    console.log(usage(sections));
  } catch (error) {
    console.error(`${error.message}. --help lists what there is.`);
    process.exitCode = WRONG_USAGE;
  }
  return undefined;
}

/** Runs one section and returns it as text; its plot is written where results are. */
async function partOf(name, settings) {
  const { measure, report } = SECTIONS[name];
  const load = loadavg()[0].toFixed(1);
  const results = await measure(settings);
  const { tables, note, plot } = report(results);
  const { rounds = settings.rounds } = results;
  const parts = [
    `${note} ${rounds} rounds over ${settings.inputBytes / 1e6} MB of input where it is not said otherwise; ${load} processes wanted the ${cpus().length} processors before it began.`,
  ];
  for (const { caption, rows } of tables) {
    if (caption !== undefined) parts.push(caption);
    parts.push(markdownTable(rows));
  }
  if (plot !== undefined) {
    const file = `bench-${name}.svg`;
    if (!isQuick) writeFileSync(new URL(file, DOCS), plot.svg);
    parts.push(`![${plot.title}](${file})`);
  }
  return parts.join('\n\n');
}

async function measureAll({ rounds, only, directory: parent, ...options }) {
  const directory = mkdtempSync(join(parent, 'fastqueue-bench-'));
  const settings = {
    directory,
    rounds,
    // For what has a bar and is soon done.
    barredRounds: 2 * rounds - 1,
    inputBytes: options['input-mb'] * 1e6,
    largestBytes: options['largest-mb'] * 1e6,
    recordCount: options.records,
    bin: fileURLToPath(new URL('../bin/run.js', import.meta.url)),
  };
  try {
    for (const [name, { title }] of Object.entries(SECTIONS)) {
      if (only !== undefined && only !== name) continue;
      const startedAt = Date.now();
      console.error(`… ${title}`);
      const part = await partOf(name, settings);
      console.log(`## ${title}\n\n${part}\n`);
      console.error(`  took ${Math.round((Date.now() - startedAt) / 1000)} s`);
      if (isQuick) continue;
      const titles = Object.values(SECTIONS).map((section) => section.title);
      updateSection(new URL('bench.md', DOCS), { titles, title, part });
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const options = settingsFromCommandLine();
if (options !== undefined) await measureAll(options);
