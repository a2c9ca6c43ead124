/**
 * What `verify` finds, with stable codes. An error means that records are lost or at risk, or that appending is refused;
 * a note is what a crash or an operator leaves and no record depends on.
 */

export const FINDING_SEVERITY = {
  torn_tail: 'note',
  missing_tail: 'error',
  bad_checksum: 'error',
  bad_length: 'error',
  foreign_bytes: 'error',
  misplaced_frames: 'error',
  missing_segment: 'error',
  overlapping_segments: 'error',
  mark_unsound: 'error',
  topic_settings: 'error',
  index_missing: 'note',
  index_unsound: 'note',
  index_contradicts: 'note',
  unknown_file: 'note',
  leftover: 'note',
  timestamp_ahead: 'note',
  io_error: 'error',
} as const satisfies Record<string, 'note' | 'error'>;

export type FindingCode = keyof typeof FINDING_SEVERITY;

/** Offsets, `to` excluded. */
export interface OffsetRange {
  readonly from: number;
  readonly to: number;
}

export interface Finding {
  readonly code: FindingCode;
  readonly severity: 'note' | 'error';
  readonly topic: string;
  /** The file concerned. */
  readonly path: string;
  /** First byte concerned, and how many. */
  readonly position: number | undefined;
  readonly bytes: number | undefined;
  /** Offsets that have no record any more, or will have none once it is repaired. */
  readonly lost: readonly OffsetRange[];
  /** One sentence. */
  readonly message: string;
  /** What to run next. */
  readonly command: string | undefined;
}
