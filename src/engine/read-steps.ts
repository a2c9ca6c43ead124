/**
 * What a reader of a topic is asked for and answers with, a step at a time: records in one of four forms, offsets that
 * have none, damage that was stepped over, or the end.
 */
import type { FastQueueError } from './errors.ts';
import type { RecordEntry } from './segment-cursor.ts';

export interface ReadLimits {
  /** Store bytes of one step at the most; one record always comes. */
  readonly maxBytes: number;
  readonly maxRecords: number;
  /** Offset of the first record not wanted. */
  readonly untilOffset: number;
}

/** Offsets that have no record: a gap frame, or `retention` where the log begins later now. */
export interface GapStep {
  readonly type: 'gap';
  readonly offset: number;
  readonly count: number;
  readonly reason: number | 'retention';
}

/** Damage that was stepped over: the offsets from `offset` to before `nextReadable` cannot be read. */
export interface DamageStep {
  readonly type: 'damage';
  readonly offset: number;
  readonly nextReadable: number;
  readonly error: FastQueueError;
}

/** At the mark, or at untilOffset. */
export interface EndStep {
  readonly type: 'end';
}

/** Where nothing else is said, payloads are valid until anybody uses the kernel again, which no `await` may come before. */
export interface RecordsStep {
  readonly type: 'records';
  readonly firstOffset: number;
  readonly nextOffset: number;
  /** Headers included. */
  readonly frameBytes: number;
  readonly records: readonly RecordEntry[];
}

/** Records that check out, without a look at each. */
export interface RunStep {
  readonly type: 'records';
  readonly firstOffset: number;
  readonly nextOffset: number;
  readonly recordCount: number;
  /** Headers included. */
  readonly frameBytes: number;
}

/** Records as text; those from `untilTimestamp` on are left out, and count nowhere. */
export interface TextStep extends RunStep {
  /** Valid as in RecordsStep. */
  readonly bytes: Buffer;
  /** True where something was left out. */
  readonly isCut: boolean;
}

/** Payloads with what stands between them; `bytes` is valid as in RecordsStep. */
export interface BytesStep {
  readonly type: 'records';
  readonly firstOffset: number;
  readonly nextOffset: number;
  readonly recordCount: number;
  readonly bytes: Buffer;
}

export type ReadStep = RecordsStep | GapStep | DamageStep | EndStep;
export type SkimStep = RunStep | GapStep | DamageStep | EndStep;
export type EmitStep = BytesStep | GapStep | DamageStep | EndStep;
