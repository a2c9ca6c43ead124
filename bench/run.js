/**
 * `npm run bench`: every promise of speed beside what it was measured at, in one run, into docs/bench.md and its plots.
 * What it measures with: --input-mb 1000 --rounds 5 --largest-mb 10000 --records 5000000; --only SECTION measures one part
 * and leaves the others as they are; FASTQUEUE_BENCH=quick takes small sizes and prints the results only.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { markdownTable, updateSection } from './lib/report.js';
import { againstSize } from './sections/against-size.js';
import { compact } from './sections/compact.js';
import { commandLimits, recordSizes } from './sections/limits.js';
import { latency } from './sections/latency.js';
import { serve } from './sections/serve.js';
import { startUp } from './sections/start-up.js';
import { stores } from './sections/stores.js';

const DOCS = new URL('../docs/', import.meta.url);
const isQuick = process.env.FASTQUEUE_BENCH === 'quick';

const { values } = parseArgs({
  options: {
    'input-mb': { type: 'string', default: isQuick ? '200' : '1000' },
    rounds: { type: 'string', default: isQuick ? '2' : '5' },
    'largest-mb': { type: 'string', default: isQuick ? '100' : '10000' },
    records: { type: 'string', default: isQuick ? '500000' : '5000000' },
    only: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const directory = mkdtempSync(join(values.directory, 'fastqueue-bench-'));
const settings = {
  directory,
  rounds: Number(values.rounds),
  inputBytes: Number(values['input-mb']) * 1e6,
  largestBytes: Number(values['largest-mb']) * 1e6,
  recordCount: Number(values.records),
  bin: fileURLToPath(new URL('../bin/run.js', import.meta.url)),
};

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

/** Runs one section and returns it as text; its plots are written where results are. */
async function measure({ run }) {
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

try {
  for (const [name, section] of Object.entries(SECTIONS)) {
    if (values.only !== undefined && values.only !== name) continue;
    const { title } = section;
    const startedAt = Date.now();
    console.error(`… ${title}`);
    const part = await measure(section);
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
