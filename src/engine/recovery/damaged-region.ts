/**
 * A damaged region of a store as it was found: where it is, what is missing in it, and what stands there instead. Plain
 * data, since segments may be read on other threads.
 */
import type { HoleContents, MovedFrame } from '../damage-scan.ts';

/** A damaged region of a store that is there. */
export interface RegionDamage {
  /** Stable code of what was found: `bad_checksum`, `bad_length`, … */
  readonly code: string;
  readonly baseOffset: number;
  readonly position: number;
  readonly endPosition: number;
  /** Offset expected at `position`. */
  readonly offset: number;
  /** Offset of what follows the region. */
  readonly nextOffset: number;
  /** What the gap is stamped with. */
  readonly timestamp: number;
  readonly moved: readonly (MovedFrame & { readonly source?: RegionPlace })[];
  /** What else may belong here or elsewhere; undefined where no frame is exchanged with other regions. */
  readonly exchange?: RegionExchange | undefined;
  /** CRC-32 of the region as it was seen. */
  readonly checksum: number;
  /** Size of the store as it was seen. */
  readonly storeBytes: number;
  /** Where one bit explains the damage: the byte to change, and what to. Not believed where frames are exchanged. */
  readonly flip?: { readonly position: number; readonly value: number } | undefined;
}

/** As it is found in its store: `timestamp` is undefined where no frame of that says what its gap is stamped with. */
export type FoundRegion = Omit<RegionDamage, 'timestamp'> & { readonly timestamp: number | undefined };

/** Where a region stands. */
export interface RegionPlace {
  readonly baseOffset: number;
  readonly position: number;
}

/** Frames of a region, and what must hold of those that come into it. */
export interface RegionExchange extends HoleContents {
  readonly timestampBefore: number | undefined;
  readonly timestampAfter: number | undefined;
}
