/**
 * Good frames behind lost bounds that other good frames contradict: which of them are the log's own. Doubled frames and
 * whole stores in payloads make such chains.
 */
import { headerAt, offsetCountAt } from './frame-header.ts';
import type { FileHandle } from './io/file-system.ts';
import { RangeChecksums } from './range-checksums.ts';

export interface FoundFrame {
  readonly position: number;
  readonly offset: number;
}

/** What follows good frames, and the time of the last of them. */
export interface ChainEnd extends FoundFrame {
  readonly lastTimestamp: number;
}

/** Good frames that follow one another, doubled ones among them left out: where they begin, and what follows them. */
export interface Chain {
  readonly start: FoundFrame;
  readonly firstTimestamp: number;
  readonly end: ChainEnd;
}

/** True where a chain may stand behind another in one log: it claims no offset of that one, and times do not go back. */
export const mayFollow = (end: ChainEnd, behind: Omit<Chain, 'end'>): boolean =>
  end.offset <= behind.start.offset && end.lastTimestamp <= behind.firstTimestamp;

/** Chains that are weighed against one another. */
const MAX_RIVALS = 64;

/** Adds one that stands behind the others, or makes the last one longer where it goes on behind frames that are doubled. */
export function addChain(chains: Chain[], chain: Chain, file: FileHandle): void {
  const last = chains.at(-1);
  if (last !== undefined && goesOn(last, chain, file)) {
    chains.splice(-1, 1, { ...last, end: chain.end });
    return;
  }
  if (chains.length === MAX_RIVALS) {
    const fewest = Math.min(...chains.map(offsetCount));
    const number = chains.findIndex((each) => offsetCount(each) === fewest);
    chains.splice(number, 1);
  }
  chains.push(chain);
}

const offsetCount = ({ start, end }: Chain): number => end.offset - start.offset;

/** True where a chain begins with the very frames that the one before ends with: these stand there twice, and neither is foreign. */
function goesOn(before: Chain, chain: Chain, file: FileHandle): boolean {
  if (chain.start.offset >= before.end.offset || chain.end.offset < before.end.offset) return false;
  let { position, offset } = chain.start;
  while (offset < before.end.offset) {
    const header = headerAt(file, { position });
    const count = header === undefined ? undefined : offsetCountAt(file, { position, header });
    if (header === undefined || count === undefined) return false;
    position += header.frameBytes;
    offset += count;
  }
  const byteCount = position - chain.start.position;
  const twin = before.end.position - byteCount;
  return (
    offset === before.end.offset &&
    twin >= before.start.position &&
    checksumOf(file, twin, byteCount) === checksumOf(file, chain.start.position, byteCount)
  );
}

const checksumOf = (file: FileHandle, position: number, byteCount: number): number =>
  new RangeChecksums(file, position).of({ position, byteCount });

/**
 * Chains that contradict one another are not all the log's own. Of those that do not, the ones that keep most offsets
 * together are believed; of two such readings the later, since a damaged frame's payload holds the other. Returns the
 * first chain of the reading.
 *
 * @param last a chain that is the log's own in any case: the reading ends with it
 */
export function bestReading(chains: readonly Chain[], last?: Chain): Chain | undefined {
  let best: Reading | undefined;
  const readings: Reading[] = [];
  for (const chain of chains) {
    const before = readings.filter((reading) => mayFollow(reading.last.end, chain)).reduce(better, undefined);
    const keptCount = offsetCount(chain) + (before?.keptCount ?? 0);
    const reading = { first: before?.first ?? chain, last: chain, keptCount };
    readings.push(reading);
    if (last === undefined || chain === last) best = better(best, reading);
  }
  return best?.first;
}

interface Reading {
  readonly first: Chain;
  readonly last: Chain;
  readonly keptCount: number;
}

const better = (left: Reading | undefined, right: Reading): Reading =>
  left !== undefined && left.keptCount > right.keptCount ? left : right;
