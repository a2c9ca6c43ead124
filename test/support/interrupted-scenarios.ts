/** Damage of a log of three small segments, one kind at a time, and the offsets that are lost to it. */
import { join } from 'node:path';
import { ForgetfulFileSystem } from './forgetful-file-system.ts';
import { framePositions, storesOf, type RecoveryScene } from './recovery-scene.ts';

/** Batches of so many records, one list a segment. */
export const SCENARIO_LOG: readonly (readonly number[])[] = [
  [2, 1],
  [1, 1, 2],
  [3, 1],
];

/** Records of different lengths, which do not fit in each other's place, but for every fourth. */
export const scenarioPayload = (offset: number): Buffer =>
  Buffer.from(`record ${offset} `.padEnd(40 + (((offset % 4 === 0 ? 4 : offset) * 7) % 29), '.'));

const FIRST = '00000000000000000000.store';
const SEALED = '00000000000000000003.store';
const ACTIVE = '00000000000000000007.store';

function without(bytes: Buffer, number: number): Buffer {
  const frames = framePositions(bytes);
  return Buffer.concat([bytes.subarray(0, frames[number]), bytes.subarray(frames[number + 1])]);
}

function swapped(bytes: Buffer): Buffer {
  const [start, middle, end] = framePositions(bytes) as [number, number, number];
  return Buffer.concat([
    bytes.subarray(0, start),
    bytes.subarray(middle, end),
    bytes.subarray(start, middle),
    bytes.subarray(end),
  ]);
}

function frameOf(bytes: Buffer, number: number): Buffer {
  const frames = framePositions(bytes);
  return bytes.subarray(frames[number], frames[number + 1]);
}

function exchanged(bytes: Buffer, one: number, other: number): Buffer {
  const numbers = framePositions(bytes)
    .slice(0, -1)
    .map((_, number) => number);
  const partner = new Map([
    [one, other],
    [other, one],
  ]);
  return Buffer.concat(numbers.map((number) => frameOf(bytes, partner.get(number) ?? number)));
}

function replaced(bytes: Buffer, number: number, frame: Buffer): Buffer {
  const frames = framePositions(bytes);
  return Buffer.concat([bytes.subarray(0, frames[number]), frame, bytes.subarray(frames[number + 1])]);
}

function flipped(bytes: Buffer, position: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[position] = (copy[position] as number) ^ 4;
  return copy;
}

export interface Scenario {
  readonly title: string;
  readonly damage: (healthy: (name: string) => Buffer) => Record<string, Buffer | undefined>;
  readonly lost: readonly number[];
  /** Bytes go from one place to another and a half of the repair is worse than none: ended in all the more ways. */
  readonly isMoved?: true;
}

export const TWO_FLIPPED_BITS: Scenario = {
  title: 'a flipped bit in each of two stores',
  damage: (of) => ({ [FIRST]: flipped(of(FIRST), 20), [SEALED]: flipped(of(SEALED), 20) }),
  lost: [0, 3],
};

export const SCENARIOS: readonly Scenario[] = [
  { title: 'a flipped bit', damage: (of) => ({ [SEALED]: flipped(of(SEALED), 20) }), lost: [3] },
  { title: 'swapped frames', damage: (of) => ({ [SEALED]: swapped(of(SEALED)) }), lost: [], isMoved: true },
  { title: 'a frame removed', damage: (of) => ({ [SEALED]: without(of(SEALED), 1) }), lost: [4] },
  {
    title: 'foreign bytes and a flipped bit in one store',
    damage: (of) => ({
      [SEALED]: flipped(
        Buffer.concat([Buffer.from('abc'), of(SEALED)]),
        3 + framePositions(of(SEALED))[3]! + 1,
      ),
    }),
    lost: [6],
  },
  { title: 'a missing segment', damage: () => ({ [SEALED]: undefined }), lost: [3, 4, 5, 6] },
  { title: 'an emptied store', damage: () => ({ [SEALED]: Buffer.alloc(0) }), lost: [3, 4, 5, 6] },
  {
    title: 'a frame removed from the active store',
    damage: (of) => ({ [ACTIVE]: without(of(ACTIVE), 0) }),
    lost: [7],
  },
  {
    title: 'a cut active store',
    damage: (of) => ({ [ACTIVE]: of(ACTIVE).subarray(0, framePositions(of(ACTIVE))[3]) }),
    lost: [10],
  },
  {
    title: 'frames swapped in the active store',
    damage: (of) => ({ [ACTIVE]: swapped(of(ACTIVE)) }),
    lost: [],
  },
  {
    title: 'frames of different lengths exchanged across good ones',
    damage: (of) => ({ [SEALED]: exchanged(of(SEALED), 0, 2) }),
    lost: [],
  },
  {
    title: 'frames of different lengths exchanged in the active store',
    damage: (of) => ({ [ACTIVE]: exchanged(of(ACTIVE), 0, 3) }),
    lost: [],
  },
  {
    title: 'frames of one length exchanged between a sealed and the active store',
    damage: (of) => ({
      [SEALED]: replaced(of(SEALED), 1, frameOf(of(ACTIVE), 1)),
      [ACTIVE]: replaced(of(ACTIVE), 1, frameOf(of(SEALED), 1)),
    }),
    lost: [],
    isMoved: true,
  },
  {
    title: 'frames exchanged between a sealed and the active store, the longer into the active one',
    damage: (of) => ({
      [SEALED]: replaced(of(SEALED), 0, frameOf(of(ACTIVE), 0)),
      [ACTIVE]: replaced(of(ACTIVE), 0, frameOf(of(SEALED), 0)),
    }),
    lost: [],
    isMoved: true,
  },
  { title: 'a missing mark', damage: () => ({ 'high-watermark': undefined }), lost: [] },
  { title: 'a damaged topic.json', damage: () => ({ 'topic.json': Buffer.from('{') }), lost: [] },
];

/** Stores under the names of others, which recover renames. */
export const RENAMES: readonly Scenario[] = [
  {
    title: 'two exchanged stores',
    damage: (of) => ({ [FIRST]: of(SEALED), [SEALED]: of(FIRST) }),
    lost: [],
    isMoved: true,
  },
  {
    title: 'a ring of stores with the active one in it',
    damage: (of) => ({ [FIRST]: of(SEALED), [SEALED]: of(ACTIVE), [ACTIVE]: of(FIRST) }),
    lost: [],
    isMoved: true,
  },
  {
    title: 'a renamed store, with a flipped bit in another',
    damage: (of) => ({
      [SEALED]: undefined,
      ['00000000000000000004.store']: of(SEALED),
      [FIRST]: flipped(of(FIRST), framePositions(of(FIRST))[1]! + 20),
    }),
    lost: [1],
  },
];

/** A disk in memory with the scene's log, damaged so. */
export function diskWith(scene: RecoveryScene, scenario: Scenario): ForgetfulFileSystem {
  const changes = scenario.damage((name) => scene.healthy.get(name) as Buffer);
  const files = new Map<string, Buffer>();
  for (const [name, bytes] of Object.entries({ ...Object.fromEntries(scene.healthy), ...changes }))
    if (bytes !== undefined) files.set(join(scene.directory, name), bytes);
  return ForgetfulFileSystem.holding(files);
}

/** The stores of the scene's topic as they are on such a disk. */
export const storesOnDisk = (scene: RecoveryScene, disk: ForgetfulFileSystem): Map<string, string> =>
  storesOf(
    new Map([...disk.files()].map(([path, bytes]) => [path.slice(scene.directory.length + 1), bytes])),
  );
