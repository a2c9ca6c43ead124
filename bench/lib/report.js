/** Results as text: tables, and the machine in figures, on a page of sections. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

export function markdownTable(rows) {
  const heads = Object.keys(rows[0]);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line(heads),
    line(heads.map(() => '---')),
    ...rows.map((row) => line(heads.map((head) => (row[head] ?? '').replaceAll('|', '\\|')))),
  ].join('\n');
}

/** The machine by its figures. */
function machine() {
  const processors = cpus();
  return (
    `${processors.length} processors, ${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory, ` +
    `Linux ${release().split('-')[0]}, Node ${process.versions.node}.`
  );
}

/** Writes one section of the page of results, and leaves the others as they are. */
export function updateSection(page, { titles, title, part }) {
  const sections = new Map([...readSections(page), [title, part]]);
  const head =
    '# Measurements\n\nMade by `npm run bench`. Within a section the contenders took turns, who was first in one round was last ' +
    `in the next, and ratios are medians over the rounds; figures of different sections do not compare. ${machine()}\n`;
  const parts = titles
    .filter((each) => sections.has(each))
    .map((each) => `## ${each}\n\n${sections.get(each).trim()}\n`);
  writeFileSync(page, [head, ...parts].join('\n'));
}

function readSections(page) {
  if (!existsSync(page)) return [];
  const [, ...sections] = readFileSync(page, 'utf8').split(/^## /m);
  return sections.map((section) => {
    const end = section.indexOf('\n');
    return [section.slice(0, end), section.slice(end + 1)];
  });
}

export const fixed = (value, digits = 2) => value.toFixed(digits);

export const metOrNot = (isMet) => (isMet ? 'met' : 'not met');

/** The same for a table, where what is not met stands out. */
export const verdict = (isMet) => (isMet ? metOrNot(isMet) : `**${metOrNot(isMet)}**`);
