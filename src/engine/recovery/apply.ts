/**
 * Carries a plan out, under the lock: look whether all is still what the plan saw; quarantine, synced; the generation
 * raised in the mark, synced; then the stores, synced; then indexes; then the mark.
 *
 * Killed anywhere, it leaves a log whose damage is still damage, whose good frames are untouched, and in quarantine every
 * byte that it was about to replace.
 */
import { encodeFrame, FRAME_HEADER_BYTES, FRAME_KIND, GAP_REASON } from '../format/frame.ts';
import { encodeLeb128 } from '../format/leb128.ts';
import { storeFileName } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import { commandLine } from '../command-line.ts';
import { FastQueueError } from '../errors.ts';
import { payloadChecksum } from '../frame-scanner.ts';
import type { FileHandle } from '../io/file-system.ts';
import { markUnsound, peekMark, writeMark } from '../mark-file.ts';
import { QuarantineRun } from '../quarantine.ts';
import { copyBytes, writeWhole } from '../io/write-whole.ts';
import { isPatchable, patchesOf, writeContent } from './content.ts';
import { mendIndex } from './index-repair.ts';
import type { RegionPlace } from './damaged-region.ts';
import type { MissingSegment, RecoveryPlan, RegionRepair } from './plan.ts';
import {
  markApplied,
  openRunFile,
  type CreatedStore,
  type RecoverManifest,
  type StoreChange,
} from './runs.ts';
import { placeStore, replaceStores, rollActive, type Splice } from './segments.ts';
import { storeBytes, storePath, type TopicContext } from '../topic-directory.ts';
import type { LockHold } from '../topic-lock.ts';

/**
 * Applies the part of a plan that changes stores.
 *
 * @returns the manifest of the run that kept what was replaced
 * @throws FastQueueError `condition_failed` when the log is no longer what the plan saw: nothing was changed then;
 *   disk errors as themselves
 */
export async function applyPlan(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  plan: RecoveryPlan,
): Promise<RecoverManifest> {
  const mark = peekMark(hold.markFile);
  if (mark === undefined) throw markUnsound(context);
  if (mark.generation !== plan.generation)
    throw noLongerFits(context, plan, 'the topic was changed meanwhile');
  if (mark.startOffset !== plan.startOffset)
    throw noLongerFits(context, plan, `retention has moved its start to offset ${mark.startOffset}`);
  refuseOtherEnd(context, plan, mark);
  const stores = openStores(context, plan.regions);
  try {
    for (const region of plan.regions) refuseChanged(context, stores, { plan, region });
    for (const segment of plan.missingSegments) refuseExisting(context, plan, segment);
    const manifest = await keepAll(context, { plan, mark, stores });
    writeMark(hold.markFile, { ...mark, generation: mark.generation + 1 });
    await hold.markFile.datasync();
    await writeInPlace(context, stores, manifest);
    for (const created of manifest.created)
      await placeStore(context, { ...created, bytes: Buffer.from(created.hex, 'hex'), run: manifest.run });
    await finish(context, hold, manifest);
    return manifest;
  } finally {
    for (const store of stores.values()) store.close();
  }
}

type Stores = ReadonlyMap<number, FileHandle>;

function openStores(context: TopicContext, regions: Iterable<RegionRepair>): Stores {
  const stores = new Map<number, FileHandle>();
  try {
    for (const { baseOffset } of regions) {
      if (!stores.has(baseOffset))
        stores.set(baseOffset, context.fileSystem.open(storePath(context, baseOffset), 'update'));
    }
    return stores;
  } catch (error) {
    for (const store of stores.values()) store.close();
    throw error;
  }
}

const storeOf = (stores: Stores, baseOffset: number): FileHandle => stores.get(baseOffset) as FileHandle;

/** Of a plan that goes beyond the mark: nobody has appended, adopted or cut anything there. */
function refuseOtherEnd(context: TopicContext, plan: RecoveryPlan, mark: HighWatermark): void {
  const { pastMark } = plan;
  if (pastMark === undefined) return;
  const { baseOffset } = pastMark;
  const isSameMark =
    mark.baseOffset === baseOffset &&
    mark.position === pastMark.mark.position &&
    mark.nextOffset === pastMark.mark.nextOffset;
  if (!isSameMark || storeBytes(context, baseOffset) !== pastMark.storeBytes)
    throw noLongerFits(context, plan, `${storePath(context, baseOffset)} ends elsewhere by now`);
}

function refuseChanged(
  context: TopicContext,
  stores: Stores,
  { plan, region }: { plan: RecoveryPlan; region: RegionRepair },
): void {
  const store = storeOf(stores, region.baseOffset);
  if (!isAsSeen(store, region))
    throw noLongerFits(context, plan, `${store.path} holds other bytes at ${region.position}`);
  if (region.method === 'extended' && store.status().sizeBytes !== region.endPosition)
    throw noLongerFits(context, plan, `${store.path} no longer ends at byte ${region.endPosition}`);
}

/** True where a store holds in a region what was seen there. */
export function isAsSeen(
  store: FileHandle,
  region: Pick<RegionRepair, 'position' | 'endPosition' | 'checksum'>,
): boolean {
  const { position, endPosition, checksum } = region;
  return payloadChecksum(store, { position, byteCount: endPosition - position }) === checksum;
}

function refuseExisting(context: TopicContext, plan: RecoveryPlan, segment: MissingSegment): void {
  const path = storePath(context, segment.baseOffset);
  if ((context.fileSystem.status(path)?.sizeBytes ?? 0) > 0)
    throw noLongerFits(context, plan, `${path} is there after all`);
}

function noLongerFits(context: TopicContext, plan: RecoveryPlan, why: string): FastQueueError {
  const words = `recover ${context.topic}${plan.tryBitFlip ? ' --try-bitflip' : ''}`;
  return new FastQueueError(
    'condition_failed',
    `The plan for "${context.topic}" no longer fits: ${why}. Nothing was changed. Run "${commandLine(context, words)}" again.`,
    { topic: context.topic, path: context.directory, sideEffects: 'none' },
  );
}

/** Copies everything that will be replaced, writes down what will stand there, and makes it durable. */
async function keepAll(
  context: TopicContext,
  request: {
    plan: RecoveryPlan;
    mark: HighWatermark;
    stores: Stores;
  },
): Promise<RecoverManifest> {
  const { plan, mark, stores } = request;
  const { end } = plan;
  const run = QuarantineRun.create(context, 'recover');
  const changes: StoreChange[] = [];
  const growth = growthOf(plan.regions);
  let shift = { baseOffset: -1, bytes: 0 };
  const copies = await copyRegions(run, stores, plan.regions);
  for (const region of plan.regions) {
    const { baseOffset } = region;
    if (shift.baseOffset !== baseOffset) shift = { baseOffset, bytes: 0 };
    const change = await describeChange(run, { region, store: storeOf(stores, baseOffset), copies });
    const leftStoreBytes = region.storeBytes + (growth.get(baseOffset) ?? 0);
    changes.push({ ...change, leftPosition: region.position + shift.bytes, leftStoreBytes });
    shift.bytes += change.leftByteCount - change.byteCount;
  }
  const created = plan.missingSegments.map((segment) => ({
    baseOffset: segment.baseOffset,
    hex: gapSegment(segment).toString('hex'),
    wasEmpty: storeBytes(context, segment.baseOffset) === 0,
  }));
  return (await run.seal({
    changes,
    created,
    renamed: [],
    lost: plan.lost,
    markBefore: mark,
    markLeft: end === undefined ? markAfter(mark, plan.regions, created) : { ...mark, ...end },
  })) as RecoverManifest;
}

/** By how much regions make each store longer (or, below 0, shorter). */
function growthOf(regions: Iterable<RegionRepair>): ReadonlyMap<number, number> {
  const growth = new Map<number, number>();
  for (const { baseOffset, position, endPosition, layout } of regions)
    growth.set(baseOffset, (growth.get(baseOffset) ?? 0) + layout.byteCount - (endPosition - position));
  return growth;
}

/** Name of the copy of each region, by its place. */
type Copies = ReadonlyMap<string, string>;

const placeKey = ({ baseOffset, position }: RegionPlace): string => `${baseOffset} ${position}`;

/** All of them first: what one becomes may come from another. */
async function copyRegions(
  run: QuarantineRun,
  stores: Stores,
  regions: Iterable<RegionRepair>,
): Promise<Copies> {
  const copies = new Map<string, string>();
  for (const region of regions) {
    const { baseOffset, position } = region;
    const byteCount = region.endPosition - position;
    const copy = await run.keep(storeOf(stores, baseOffset), storeFileName(baseOffset), {
      position,
      byteCount,
    });
    copies.set(placeKey(region), copy);
  }
  return copies;
}

async function describeChange(
  run: QuarantineRun,
  request: { region: RegionRepair; store: FileHandle; copies: Copies },
): Promise<Omit<StoreChange, 'leftPosition' | 'leftStoreBytes'>> {
  const { region, store, copies } = request;
  const { baseOffset, code, method, offset, position, checksum, layout, isExchanged } = region;
  const byteCount = region.endPosition - position;
  const copy = copies.get(placeKey(region)) as string;
  const change = { baseOffset, code, method, offset, position, byteCount, checksum, copy };
  const kept = { ...change, leftByteCount: layout.byteCount, isExchanged };
  if (method !== 'rewritten' && isPatchable(layout)) {
    const patches = patchesOf(store, region);
    return {
      ...kept,
      patches: patches.map((patch) => ({ position: patch.position, hex: patch.bytes.toString('hex') })),
    };
  }
  const content = `${copy}.content`;
  const source = run.openFile(copy);
  const contentOf = (place: RegionPlace): FileHandle => run.openFile(copies.get(placeKey(place)) as string);
  try {
    await run.writeFile(content, (target) => {
      writeContent(source, target, { ...region, byteCount, contentOf });
    });
  } finally {
    source.close();
  }
  return { ...kept, content };
}

/** The only frame of a segment whose records are all lost; nothing where it had none. */
function gapSegment(segment: MissingSegment): Buffer {
  const count = segment.nextOffset - segment.baseOffset;
  if (count === 0) return Buffer.alloc(0);
  const payload = count === 1 ? [] : [GAP_REASON.damage, ...encodeLeb128(count)];
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  encodeFrame(frame, 0, {
    kind: FRAME_KIND.gap,
    offset: segment.baseOffset,
    timestamp: segment.timestamp,
    payload: Buffer.from(payload),
  });
  return frame;
}

/** Where the active store ends once what is in place is done. What lies behind the mark is settled afterwards. */
function markAfter(
  mark: HighWatermark,
  regions: Iterable<RegionRepair>,
  created: readonly CreatedStore[],
): HighWatermark {
  const store = created.find(({ baseOffset }) => baseOffset === mark.baseOffset);
  if (store !== undefined) return { ...mark, position: store.hex.length / 2 };
  for (const { baseOffset, nextOffset, storeBytes, position, endPosition, layout } of regions)
    if (baseOffset === mark.baseOffset && nextOffset === mark.nextOffset && endPosition === storeBytes)
      return { ...mark, position: position + layout.byteCount };
  return mark;
}

/** Patches and contents of regions that stay where they are, each store synced once. */
async function writeInPlace(context: TopicContext, stores: Stores, manifest: RecoverManifest): Promise<void> {
  const touched = new Set<FileHandle>();
  for (const change of manifest.changes) {
    if (change.method === 'rewritten') continue;
    const store = storeOf(stores, change.baseOffset);
    for (const patch of change.patches ?? [])
      writeWhole(store, Buffer.from(patch.hex, 'hex'), patch.position);
    if (change.content !== undefined) copyContent(context, manifest.run, change, store);
    touched.add(store);
  }
  for (const store of touched) await store.sync();
}

function copyContent(context: TopicContext, run: string, change: StoreChange, store: FileHandle): void {
  const content = openRunFile(context, run, change.content as string);
  try {
    copyBytes(content, store, { from: 0, to: change.position, byteCount: change.leftByteCount });
  } finally {
    content.close();
  }
}

/** The mark of an active store that grew, segments that must be written again, indexes, and the note that all is done. */
async function finish(
  context: TopicContext,
  hold: Pick<LockHold, 'markFile'>,
  manifest: RecoverManifest,
): Promise<void> {
  const { generation } = manifest.markBefore;
  let mark = { ...manifest.markLeft, generation: generation + 1 };
  writeMark(hold.markFile, mark);
  await hold.markFile.datasync();
  const rewritten = manifest.changes.filter(({ method }) => method === 'rewritten');
  if (rewritten.some(({ baseOffset }) => baseOffset === mark.baseOffset))
    mark = await rollActive(context, hold, mark);
  const splices = rewritten.map((change): Splice => ({
    baseOffset: change.baseOffset,
    position: change.position,
    byteCount: change.byteCount,
    file: change.content as string,
  }));
  await replaceStores(context, manifest.run, splices);
  for (const change of manifest.changes) {
    if (change.method !== 'rewritten') await mendIndex(context, change);
  }
  await markApplied(context, manifest.run);
}
