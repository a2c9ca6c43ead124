/**
 * `npm run bench`: every promise of speed beside what it was measured at, in one run, into docs/bench.md and
 * docs/bench-size.svg. Sizes and rounds: --input-mb 1000 --rounds 5 --largest-mb 10240; --only SECTION measures one part
 * and leaves the others as they are.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { markdownTable, updateSection } from './lib/report.js';
import { againstSize, sizePlot } from './sections/against-size.js';
import { commandLimits, recordSizes } from './sections/limits.js';
import { latency } from './sections/latency.js';
import { startUp } from './sections/start-up.js';
import { stores } from './sections/stores.js';

const DOCS = new URL('../docs/', import.meta.url);
const here = fileURLToPath(new URL('.', import.meta.url));
if (!existsSync(`${here}node_modules`)) execFileSync('npm', ['ci'], { cwd: here, stdio: 'inherit' });

const { values } = parseArgs({
  options: {
    'input-mb': { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '5' },
    'largest-mb': { type: 'string', default: '10240' },
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
  bin: fileURLToPath(new URL('../bin/run.js', import.meta.url)),
};

const SECTIONS = {
  limits: { title: 'Beside the limit', run: commandLimits },
  sizes: { title: 'Record and batch sizes', run: recordSizes },
  stores: { title: 'Beside other stores', run: stores },
  latency: { title: 'One record', run: latency },
  'start-up': { title: 'Start-up', run: startUp },
  size: { title: 'Cost against the size of the log', run: againstSize },
};

try {
  for (const [name, { title, run }] of Object.entries(SECTIONS)) {
    if (values.only !== undefined && values.only !== name) continue;
    console.error(`… ${title}`);
    const load = loadavg()[0].toFixed(1);
    const { rows, note, points } = await run(settings);
    const circumstances =
      `${settings.inputBytes / 1e6} MB of input, ${settings.rounds} rounds, ` +
      `${load} processes wanted the ${cpus().length} processors before it began.`;
    const plot =
      points === undefined ? '' : '\n![Milliseconds against the size of the log](bench-size.svg)\n';
    const part = `${note} ${circumstances}\n\n${markdownTable(rows)}\n${plot}`;
    if (points !== undefined) writeFileSync(new URL('bench-size.svg', DOCS), sizePlot(points));
    updateSection(new URL('bench.md', DOCS), {
      titles: Object.values(SECTIONS).map((each) => each.title),
      title,
      part,
    });
    console.log(`## ${title}\n\n${part}`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
