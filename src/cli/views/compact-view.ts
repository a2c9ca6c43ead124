/**
 * What retention and compact did, or would do, as text and as JSON.
 */
import {
  commandLine,
  formatSize,
  type CommandPlace,
  type CompactReport,
  type RetentionReport,
} from '../../engine/index.ts';
import { wrapWords } from './columns.ts';

/** One line: what retention deleted. */
export function retentionSentence(topic: string, report: RetentionReport): string {
  return `retention deleted ${droppedPhrase(report)} of ${topic}; it begins at offset ${report.startOffset.after} now`;
}

function droppedPhrase({ segments, bytes, startOffset }: RetentionReport): string {
  const { before, after } = startOffset;
  return `${counted(segments, 'segment')} (${formatSize(bytes)}, offsets ${before}..${after - 1})`;
}

/** Deletions of topics that had been interrupted. */
export function deletionsText({ count }: { count: number }, { dryRun }: { dryRun: boolean }): string {
  const what = `${counted(count, 'interrupted deletion')} of ${count === 1 ? 'a topic' : 'topics'}`;
  return dryRun ? `${what} would be finished` : `${what} finished`;
}

/**
 * Found, dropped, merged, freed: one block a topic.
 *
 * @param options.flags what the command that does it is given beside the topic
 */
export function compactText(
  report: CompactReport,
  options: { place: CommandPlace; flags: string; columns: number | undefined },
): string {
  const { place, flags, columns } = options;
  const fitting = (sentence: string): string[] =>
    wrapWords(sentence, { indent: '  ', hanging: '      ', columns });
  const { topic, dryRun, freedBytes, segments } = report;
  const done = report.isSettingsSound ? doneLines(report) : [];
  const lines = done.flatMap(fitting);
  if (!report.isSettingsSound)
    lines.push(...fitting(NO_SETTINGS), `      next: ${commandLine(place, `recover ${topic}`)}`);
  for (const { path, position, offset } of report.damaged) {
    lines.push(
      ...fitting(`damaged, left as it is: ${path}, byte ${position} (offset ${offset})`),
      `      next: ${commandLine(place, `verify ${topic}`)}`,
    );
  }
  for (const { baseOffset, neededBytes, freeBytes } of report.noRoom) {
    lines.push(
      ...fitting(
        `no room to rewrite the segment at offset ${baseOffset}: it needs ${formatSize(neededBytes)} beside the log, and ${formatSize(freeBytes)} are free`,
      ),
    );
  }
  const verb = dryRun ? 'would be freed' : 'freed';
  const total = `${topic}: ${formatSize(freedBytes)} ${verb}, ${counted(segments, 'segment')}`;
  if (lines.length === 0) return `${total}; nothing to do`;
  if (dryRun && done.length > 0)
    lines.push(`  nothing was changed; to do it: ${commandLine(place, `compact ${topic}${flags}`)}`);
  return [...wrapWords(total, { indent: '', hanging: '      ', columns }), ...lines].join('\n');
}

const NO_SETTINGS = 'topic.json is missing or damaged, so nothing is dropped, removed or rewritten';

function doneLines(report: CompactReport): string[] {
  const { dryRun, dropped, leftovers, rewrites, reindexed } = report;
  const lines: string[] = [];
  if (dropped.segments > 0) lines.push(`${dryRun ? 'would drop' : 'dropped'} ${droppedPhrase(dropped)}`);
  if (leftovers.length > 0) {
    const bytes = leftovers.reduce((sum, leftover) => sum + leftover.bytes, 0);
    lines.push(
      `${dryRun ? 'would remove' : 'removed'} ${counted(leftovers.length, 'leftover')} (${formatSize(bytes)})`,
    );
  }
  for (const { baseOffset, endOffset, segments, bytesBefore, bytesAfter } of rewrites) {
    const what =
      segments === 1
        ? `${dryRun ? 'would drop' : 'dropped'} filler from a segment`
        : `${dryRun ? 'would merge' : 'merged'} ${segments} segments`;
    lines.push(
      `${what}: offsets ${baseOffset}..${endOffset - 1}, ${formatSize(bytesBefore)} to ${formatSize(bytesAfter)}`,
    );
  }
  if (reindexed.length > 0)
    lines.push(
      `${dryRun ? 'would rebuild' : 'rebuilt'} ${reindexed.length === 1 ? 'the index of 1 segment' : `the indexes of ${reindexed.length} segments`}`,
    );
  return lines;
}

/** The same as an object; field names are stable. */
export function compactAsJson(report: CompactReport): object {
  return { type: 'report', ...report };
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
