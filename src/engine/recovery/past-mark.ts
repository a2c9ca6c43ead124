/**
 * What a plan has to know of the active store that goes beyond the mark: it repairs a tail, or all of the store, where
 * bytes came in before the mark's byte and frames that were acknowledged lie behind it now. Pure.
 */
import type { StoreScan } from '../damage-scan.ts';
import type { HighWatermark } from '../format/high-watermark.ts';

/** Where a log ends: its next offset, the byte of the active store, and the time of its last record. */
export interface LogEnd {
  readonly nextOffset: number;
  readonly position: number;
  readonly timestamp: number;
}

/** Plain data, as it may be found on another thread. */
export interface PastMark {
  readonly baseOffset: number;
  /** True where its frames were moved, so that regions of it may lie before the mark. */
  readonly isMoved: boolean;
  /** Where the log ends, if no region changes its length. */
  readonly end: LogEnd;
  /** Size of the store as it was seen, and what the mark said then. */
  readonly storeBytes: number;
  readonly mark: { readonly position: number; readonly nextOffset: number };
}

/** Made from a scan of the store, to its last byte. */
export function pastMarkOf(
  scan: StoreScan,
  seen: { mark: HighWatermark; storeBytes: number; isMoved: boolean },
): PastMark {
  const { mark, storeBytes, isMoved } = seen;
  const { baseOffset, position, nextOffset } = mark;
  return {
    baseOffset,
    isMoved,
    end: {
      nextOffset: Math.max(scan.nextOffset, nextOffset),
      position: storeBytes,
      timestamp: Math.max(scan.lastTimestamp ?? -Infinity, mark.timestamp),
    },
    storeBytes,
    mark: { position, nextOffset },
  };
}
