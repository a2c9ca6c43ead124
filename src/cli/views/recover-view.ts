/**
 * What recover found and did, or would do, as text for a person and as JSON.
 */
import { dirname } from 'node:path';
import {
  commandLine,
  dataDirectorySuffix,
  formatSize,
  mapped,
  type CommandPlace,
  type LostOffsets,
  type RecoverReport,
  type RecoveryRun,
  type UndoReport,
} from '../../engine/index.ts';
import { alignColumns, wrapWords } from './columns.ts';

const DEEP = ' '.repeat(6);

/**
 * Found, repaired, lost, where the bytes are, how to undo: one block a topic, in lines.
 *
 * @param options.flags what the command that repairs is given beside the topic
 */
export function* recoverLines(
  report: RecoverReport,
  options: { place: CommandPlace; flags: string; columns: number | undefined },
): Generator<string, void, undefined> {
  const { place, flags, columns } = options;
  const { topic, repairs, lost, runs, dryRun, out } = report;
  const copied = out === undefined ? '' : `; copied to ${out}`;
  if (repairs.length === 0) {
    yield `${topic}: sound, nothing to recover${copied}`;
    return;
  }
  const verb = dryRun ? 'would be repaired' : 'repaired';
  yield `${topic}: ${counted(repairs.length, 'place')} ${verb}${copied}`;
  for (const repair of repairs) {
    const where =
      repair.position === undefined
        ? repair.path
        : `${repair.path}, bytes ${repair.position} to before ${repair.position + (repair.bytes ?? 0)}`;
    yield* wrapWords(`${repair.code}: ${where}`, { indent: '  ', hanging: DEEP, columns });
    yield* wrapWords(`${repair.repair}${lostPhrase(repair.lost)}`, { indent: DEEP, columns });
  }
  const lostText =
    lost.length === 0 ? 'nothing' : `${counted(countOf(lost), 'record')}, ${offsetsText(lost)}`;
  yield* wrapWords(`lost: ${lostText}`, { indent: '  ', hanging: DEEP, columns });
  const repaired = out === undefined ? place : { commandSuffix: dataDirectorySuffix(dirname(out)) };
  for (const { run, path } of runs) {
    yield* wrapWords(`kept in: ${path}`, { indent: '  ', hanging: DEEP, columns });
    yield `  to undo: ${commandLine(repaired, `recover ${topic} --undo ${run}`)}`;
  }
  if (dryRun) yield `  nothing was changed; to repair: ${commandLine(place, `recover ${topic}${flags}`)}`;
}

/** The same as an object; field names are stable. */
export function recoverAsJson(report: RecoverReport): object {
  return {
    type: 'report',
    topic: report.topic,
    dryRun: report.dryRun,
    repairs: mapped(report.repairs, (repair) => ({
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
export function runsText(runs: readonly RecoveryRun[], columns: number | undefined): string {
  const heading = ['RUN', 'TOPIC', 'STATE', 'BYTES', 'LOST'];
  const rows = runs.map((run) => [
    run.run,
    run.topic,
    run.state,
    formatSize(run.bytes),
    rangesText(lostIn(run)) || '-',
  ]);
  const lines = alignColumns([heading, ...rows], { right: [3] }).split('\n');
  return lines.flatMap((line) => wrapWords(line, { indent: '', hanging: DEEP, columns })).join('\n');
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

/** `offset 1041`, `offsets 1041..1043, 1050`. */
export function offsetsText(ranges: Iterable<LostOffsets>): string {
  return `${countOf(ranges) === 1 ? 'offset' : 'offsets'} ${rangesText(ranges)}`;
}

/** `1041..1043, 1050`. */
function rangesText(ranges: Iterable<LostOffsets>): string {
  return Array.from(ranges, ({ from, to }) => (to - from === 1 ? String(from) : `${from}..${to - 1}`)).join(
    ', ',
  );
}

function lostIn(run: RecoveryRun): readonly LostOffsets[] {
  return run.manifest !== undefined && 'lost' in run.manifest ? run.manifest.lost : [];
}

function lostPhrase(lost: readonly LostOffsets[]): string {
  return lost.length === 0 ? '' : ` (lost: ${rangesText(lost)})`;
}

/** Offsets of all of them. */
export function countOf(ranges: Iterable<LostOffsets>): number {
  let count = 0;
  for (const { from, to } of ranges) count += to - from;
  return count;
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
