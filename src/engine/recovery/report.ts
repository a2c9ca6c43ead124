/**
 * What a recovery found and what becomes of it, place by place, in words. Pure.
 */
import { type LostOffsets, type RecoveryPlan, type RegionRepair } from './plan.ts';
import type { RegionPart } from './regions.ts';
import { isRecoverManifest, type RecoveryRun, type RenamedStore } from './runs.ts';
import type { UntoldRun } from './interrupted-runs.ts';
import { joined, mapped, some, type Sequence } from '../sequence.ts';
import { storeFileName } from '../format/file-names.ts';
import { indexPath, markPath, storePath, type TopicContext } from '../topic-directory.ts';

/** One thing that was found, and what became of it (or, in a dry run, would). */
export interface RepairReport {
  readonly code: string;
  /** The file concerned. */
  readonly path: string;
  readonly position: number | undefined;
  readonly bytes: number | undefined;
  /** What is done about it, as a phrase: `becomes a gap of 1 offset`. */
  readonly repair: string;
  readonly lost: readonly LostOffsets[];
}

/** Every repair of a plan, in words. */
export function describePlan(context: TopicContext, plan: RecoveryPlan): Sequence<RepairReport> {
  const regions = mapped(plan.regions, (region): RepairReport => {
    const bytes = region.endPosition - region.position;
    return {
      code: region.code,
      path: storePath(context, region.baseOffset),
      position: region.position,
      bytes,
      repair: phraseOf(region),
      lost: region.layout.lost,
    };
  });
  const segments = plan.missingSegments.map(({ baseOffset, nextOffset }): RepairReport => ({
    code: 'missing_segment',
    path: storePath(context, baseOffset),
    position: undefined,
    bytes: undefined,
    repair: 'becomes a segment of one gap',
    lost: baseOffset < nextOffset ? [{ from: baseOffset, to: nextOffset }] : [],
  }));
  const indexes = plan.indexes.map((baseOffset): RepairReport => ({
    code: 'index_unsound',
    path: indexPath(context, baseOffset),
    position: undefined,
    bytes: undefined,
    repair: 'made anew from the store; no record was affected',
    lost: [],
  }));
  const settings: RepairReport[] = plan.isSettingsUnsound
    ? [
        {
          code: 'topic_settings',
          path: `${context.directory}/topic.json`,
          position: undefined,
          bytes: undefined,
          repair: 'written anew, with the settings that a new topic would get',
          lost: [],
        },
      ]
    : [];
  const endPosition = plan.activeEndPosition ?? restoredEnd(plan);
  const mark = endPosition === undefined ? [] : [movedMark(context, endPosition)];
  return joined([regions, [...segments, ...indexes, ...settings, ...mark]]);
}

/** Where the mark alone is wrong: the byte that it is to name. Undefined where it is right, or frames were moved. */
export function restoredEnd({ pastMark, regions, end }: RecoveryPlan): number | undefined {
  if (pastMark?.isMoved !== true) return undefined;
  return some(regions, ({ baseOffset }) => baseOffset === pastMark.baseOffset) ? undefined : end?.position;
}

function phraseOf(region: RegionRepair): string {
  if (region.flip !== undefined) return `one bit of byte ${region.flip.position} is flipped back`;
  const lostCount = region.layout.lost.reduce((sum, { from, to }) => sum + to - from, 0);
  const frames = region.layout.parts.filter((part) => part.type === 'frame');
  const taken = frames.filter(({ source }) => source !== undefined);
  const movedCount = frames.length - taken.length;
  const parts = [
    ...(taken.length > 0 ? [`${counted(taken.length, 'frame')} put back from ${placeOf(taken)}`] : []),
    ...(movedCount > 0 ? [`${counted(movedCount, 'frame')} put back in order`] : []),
    ...(lostCount > 0 ? [`becomes a gap of ${counted(lostCount, 'offset')}`] : []),
  ];
  if (parts.length === 0) parts.push(region.layout.byteCount === 0 ? 'taken out' : 'becomes padding');
  const how = {
    'in-place': '',
    extended: ', the store grows',
    rewritten: ', the segment is written again beside itself',
  } as const;
  return parts.join(', ') + how[region.method];
}

/** Where frames stood that are put back into another region. */
function placeOf(taken: readonly Extract<RegionPart, { type: 'frame' }>[]): string {
  const [first] = taken;
  if (taken.length !== 1 || first?.source === undefined) return 'elsewhere';
  return `byte ${first.source.position + first.from} of ${storeFileName(first.source.baseOffset)}`;
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** A run that was killed, or whose undo was, while it exchanged frames or renamed stores. */
export function takenBackRepair({ path, manifest }: RecoveryRun): RepairReport {
  const isRenaming = isRecoverManifest(manifest) && manifest.renamed.length > 0;
  return {
    code: 'misplaced_frames',
    path,
    position: undefined,
    bytes: undefined,
    repair: isRenaming
      ? 'this recovery was interrupted, or its undo was: stores get the names of their segments'
      : 'this recovery was interrupted, or its undo was: what it had replaced is written back, and repaired anew',
    lost: [],
  };
}

/** A run that was killed when it had changed the log, and could not tell of it. */
export const untoldRepair = ({ run, lost }: UntoldRun): RepairReport => ({
  code: 'recovery_interrupted',
  path: run.path,
  position: undefined,
  bytes: undefined,
  repair: 'this recovery was interrupted: what it had repaired stays as it left it',
  lost,
});

/** A store that gets another name. */
export function renameRepair(context: TopicContext, { from, to }: RenamedStore): RepairReport {
  return {
    code: 'misplaced_frames',
    path: storePath(context, from),
    position: undefined,
    bytes: undefined,
    repair: `holds the offsets from ${to} on and gets the name of that segment`,
    lost: [],
  };
}

/** An end of a store that is cut: what a dead writer left unfinished, or what a failed sync was to make durable. */
export function cutRepair({ path, position, byteCount }: CutEnd): RepairReport {
  const repair = cutPhrase({ position, byteCount });
  return { code: 'torn_tail', path, position, bytes: byteCount, repair, lost: [] };
}

interface CutEnd {
  readonly path: string;
  readonly position: number;
  readonly byteCount: number;
}

/** What becomes of such an end. */
export function cutPhrase({ position, byteCount }: Omit<CutEnd, 'path'>): string {
  return `cut: the store ends at byte ${position} of ${position + byteCount}`;
}

function movedMark(context: TopicContext, position: number): RepairReport {
  return {
    code: 'mark_unsound',
    path: markPath(context),
    position: undefined,
    bytes: undefined,
    repair: `names byte ${position}, where the active store ends, again; no offset is missing`,
    lost: [],
  };
}

/** A mark that is made anew. */
export function markRepair(context: TopicContext): RepairReport {
  return {
    code: 'mark_unsound',
    path: markPath(context),
    position: undefined,
    bytes: undefined,
    repair: 'made anew from the stores; acknowledged records missing behind their end cannot be known',
    lost: [],
  };
}
