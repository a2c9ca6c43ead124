/**
 * What recover found and did, or would do, as text for a person and as JSON.
 */
import { dirname } from 'node:path';
import {
  commandLine,
  dataDirectorySuffix,
  formatSize,
  type CommandPlace,
  type LostOffsets,
  type RecoverReport,
  type RecoveryRun,
  type UndoReport,
} from '../../engine/index.ts';
import { alignColumns } from './columns.ts';

/**
 * Found, repaired, lost, where the bytes are, how to undo: one block a topic.
 *
 * @param flags what the command that repairs is given beside the topic
 */
export function recoverText(report: RecoverReport, place: CommandPlace, flags: string): string {
  const { topic, repairs, lost, runs, dryRun, out } = report;
  const copied = out === undefined ? '' : `; copied to ${out}`;
  if (repairs.length === 0) return `${topic}: sound, nothing to recover${copied}`;
  const verb = dryRun ? 'would be repaired' : 'repaired';
  const lines = [`${topic}: ${counted(repairs.length, 'place')} ${verb}${copied}`];
  for (const repair of repairs) {
    const where =
      repair.position === undefined
        ? repair.path
        : `${repair.path}, bytes ${repair.position} to before ${repair.position + (repair.bytes ?? 0)}`;
    lines.push(`  ${repair.code}: ${where}`, `      ${repair.repair}${lostPhrase(repair.lost)}`);
  }
  lines.push(
    lost.length === 0
      ? '  lost: nothing'
      : `  lost: ${counted(countOf(lost), 'record')}, offsets ${rangesText(lost)}`,
  );
  const repaired = out === undefined ? place : { commandSuffix: dataDirectorySuffix(dirname(out)) };
  for (const { run, path } of runs) {
    lines.push(`  kept in: ${path}`, `  to undo: ${commandLine(repaired, `recover ${topic} --undo ${run}`)}`);
  }
  if (dryRun)
    lines.push(`  nothing was changed; to repair: ${commandLine(place, `recover ${topic}${flags}`)}`);
  return lines.join('\n');
}

/** The same as an object; field names are stable. */
export function recoverAsJson(report: RecoverReport): object {
  return {
    type: 'report',
    topic: report.topic,
    dryRun: report.dryRun,
    repairs: report.repairs.map((repair) => ({
      ...repair,
      position: repair.position ?? null,
      bytes: repair.bytes ?? null,
    })),
    lost: report.lost,
    lostCount: countOf(report.lost),
    runs: report.runs,
    out: report.out ?? null,
  };
}

/** One line a run, with a heading; nothing where there is none. */
export function runsText(runs: readonly RecoveryRun[]): string {
  const heading = ['RUN', 'TOPIC', 'STATE', 'BYTES', 'LOST'];
  const rows = runs.map((run) => [
    run.run,
    run.topic,
    run.state,
    formatSize(run.bytes),
    rangesText(lostIn(run)) || '-',
  ]);
  return alignColumns([heading, ...rows], { right: [3] });
}

/** One run as an object; field names are stable. */
export function runAsJson(run: RecoveryRun): object {
  return {
    type: 'run',
    run: run.run,
    topic: run.topic,
    state: run.state,
    reason: run.manifest?.reason ?? null,
    time: run.manifest?.time ?? null,
    path: run.path,
    bytes: run.bytes,
    lost: lostIn(run),
  };
}

/** What an undo gave back. */
export function undoText({ topic, run, restored, wasUndone, bytes }: UndoReport): string {
  if (wasUndone) return `${topic}: the run ${run} had been undone already; nothing was changed`;
  return restored === 0
    ? `${topic}: the run ${run} was undone: it had replaced nothing in a store; a high-water mark that it made anew stays`
    : `${topic}: the run ${run} was undone: ${counted(restored, 'place')}, ${formatSize(bytes)} written back`;
}

/** `1041..1043, 1050`. */
export function rangesText(ranges: readonly LostOffsets[]): string {
  return ranges.map(({ from, to }) => (to - from === 1 ? String(from) : `${from}..${to - 1}`)).join(', ');
}

function lostIn(run: RecoveryRun): readonly LostOffsets[] {
  return run.manifest !== undefined && 'lost' in run.manifest ? run.manifest.lost : [];
}

function lostPhrase(lost: readonly LostOffsets[]): string {
  return lost.length === 0 ? '' : ` (lost: ${rangesText(lost)})`;
}

const countOf = (ranges: readonly LostOffsets[]): number =>
  ranges.reduce((sum, { from, to }) => sum + to - from, 0);

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
