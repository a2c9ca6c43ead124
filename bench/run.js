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
import { commandLimits, recordSizes } from './sections/limits.js';
import { latency } from './sections/latency.js';
import { serve } from './sections/serve.js';
import { startUp } from './sections/start-up.js';
import { stores } from './sections/stores.js';

const DOCS = new URL('../docs/', import.meta.url);
const WRONG_USAGE = 2;
const isQuick = process.env.FASTQUEUE_BENCH === 'quick';

const SECTIONS = {
  limits: { title: 'Beside the limit', run: commandLimits },
  sizes: { title: 'Record and batch sizes', run: recordSizes },
  stores: { title: 'Beside other stores', run: stores },
  latency: { title: 'One record', run: latency },
  serve: { title: 'Over HTTP', run: serve },
  'start-up': { title: 'Start-up', run: startUp },
  compact: { title: 'Merging segments', run: compact },
  size: { title: 'Cost against the size of the log', run: againstSize },
};

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

/** Runs one section and returns it as text; its plots are written where results are. */
async function measure({ run }, settings) {
  const load = loadavg()[0].toFixed(1);
  const { rows, tables = [{ rows }], note, plots = [] } = await run(settings);
  const parts = [
    `${note} ${settings.rounds} rounds over ${settings.inputBytes / 1e6} MB of input where it is not said otherwise; ${load} processes wanted the ${cpus().length} processors before it began.`,
  ];
  for (const { caption, rows: tableRows } of tables) {
    if (caption !== undefined) parts.push(caption);
    parts.push(markdownTable(tableRows));
  }
  for (const { file, title, svg } of plots) {
    if (!isQuick) writeFileSync(new URL(file, DOCS), svg);
    parts.push(`![${title}](${file})`);
  }
  return parts.join('\n\n');
}

async function measureAll({ rounds, only, directory: parent, ...options }) {
  const directory = mkdtempSync(join(parent, 'fastqueue-bench-'));
  const settings = {
    directory,
    rounds,
    inputBytes: options['input-mb'] * 1e6,
    largestBytes: options['largest-mb'] * 1e6,
    recordCount: options.records,
    bin: fileURLToPath(new URL('../bin/run.js', import.meta.url)),
  };
  try {
    for (const [name, section] of Object.entries(SECTIONS)) {
      if (only !== undefined && only !== name) continue;
      const { title } = section;
      const startedAt = Date.now();
      console.error(`… ${title}`);
      const part = await measure(section, settings);
      console.log(`## ${title}\n\n${part}\n`);
      console.error(`  took ${Math.round((Date.now() - startedAt) / 1000)} s`);
      if (isQuick) continue;
      updateSection(new URL('bench.md', DOCS), {
        titles: Object.values(SECTIONS).map((each) => each.title),
        title,
        part,
      });
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const options = settingsFromCommandLine();
if (options !== undefined) await measureAll(options);
