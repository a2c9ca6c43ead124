/** Results as text: tables, the machine in figures, and a plot. */
import { cpus, release, totalmem } from 'node:os';

export function markdownTable(rows) {
  const heads = Object.keys(rows[0]);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line(heads),
    line(heads.map(() => '---')),
    ...rows.map((row) => line(heads.map((head) => row[head] ?? ''))),
  ].join('\n');
}

/** The machine by its figures. */
export function machine() {
  const processors = cpus();
  return (
    `${processors.length} processors, ${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory, ` +
    `Linux ${release().split('-')[0]}, Node ${process.versions.node}.`
  );
}

export const fixed = (value, digits = 2) => value.toFixed(digits);

/** `x.xx (limit met)`. */
export const verdict = (isMet) => (isMet ? 'met' : '**not met**');
