/**
 * The loops that touch every record, behind one interface: frame these lines, check this run of frames, emit these
 * payloads, stamp these frames anew, index these frames. No code outside works per record on the hot paths, because a
 * crossing from JavaScript into native code costs more than a record.
 *
 * A kernel owns one memory, created once at its final size (pages cost nothing until they are touched). Callers read
 * files into it and write files from it: there is no copy in between. All positions below are bytes in that memory.
 * The plain TypeScript in format/ is the reference, and property tests hold every implementation to it.
 */

/** Half-open: `start` included, `end` excluded. */
export interface Region {
  readonly start: number;
  readonly end: number;
}

export interface FrameLinesRequest {
  /** The bytes to split. */
  readonly input: Region;
  /** Where the frames go. Never overlaps `input`. */
  readonly output: Region;
  /** What ends a record, at least one byte; or 'len32be': a big-endian u32 length stands before each. */
  readonly framing: { readonly delimiter: Uint8Array } | 'len32be';
  /** True when no more input will come: what follows the last delimiter, if anything, is a record too. */
  readonly isFinal: boolean;
  /** Offset of the first frame; the others follow densely. */
  readonly firstOffset: number;
  /** Stamped on every frame. */
  readonly timestamp: number;
  /** Largest payload to accept. */
  readonly maxRecordBytes: number;
}

/**
 * Why framing stopped. `input-exhausted`: everything was taken, but for an unfinished record at the end (`inputEnd` says
 * where it begins). `output-full`: the next record's frame does not fit. `record-too-large`: the record that begins at
 * `inputEnd` is larger than maxRecordBytes (also as soon as that is certain without having seen its end).
 * `cut-off` (len32be with isFinal only): the input ends inside a record.
 */
export type FrameLinesStop = 'input-exhausted' | 'output-full' | 'record-too-large' | 'cut-off';

export interface FrameLinesResult {
  readonly stop: FrameLinesStop;
  readonly recordCount: number;
  /** End of the input that was taken: where the next call goes on. */
  readonly inputEnd: number;
  /** End of the frames written. */
  readonly outputEnd: number;
}

export interface FramesRequest {
  /** Bytes of a store, from the beginning of a frame. */
  readonly input: Region;
  /** Offset of the first frame. */
  readonly firstOffset: number;
  /** Stop before the frame whose offset is this. */
  readonly untilOffset: number;
  /** Timestamp of the frame before, or -Infinity: one that goes back makes a frame `bad`. */
  readonly minTimestamp: number;
}

/**
 * Why a run of frames ended, always before the frame it speaks of. `end`: exactly at the end of the input. `until`: at
 * untilOffset. `incomplete`: the frame goes past the end of the input (or its header does). `special`: a frame of
 * another kind than 0 (its checksum has not been looked at). `bad`: a kind-0 frame whose checksum is wrong, whose length
 * is above MAX_RECORD_BYTES, or whose timestamp goes back. `output-full`: see EmitRequest.
 */
export type FramesStop = 'end' | 'until' | 'incomplete' | 'special' | 'bad' | 'output-full';

export interface FramesResult {
  readonly stop: FramesStop;
  readonly recordCount: number;
  /** End of the good frames: where the frame that `stop` speaks of begins. */
  readonly inputEnd: number;
  /** Offset that the next frame would have. */
  readonly nextOffset: number;
  /** Timestamp of the last good frame; minTimestamp when there was none. */
  readonly lastTimestamp: number;
}

export interface EmitRequest extends FramesRequest {
  readonly output: Region;
  /** What is written after each payload (may be empty), or 'len32be': a big-endian u32 length before each. */
  readonly framing: { readonly delimiter: Uint8Array } | 'len32be';
}

export interface EmitResult extends FramesResult {
  readonly outputEnd: number;
}

export interface StampRequest {
  /** Whole frames made by `frameLines` or by encodeFrame, kind 0. */
  readonly frames: Region;
  readonly firstOffset: number;
  readonly timestamp: number;
}

export interface IndexFramesRequest {
  /** Whole good frames of kind 0. */
  readonly frames: Region;
  readonly firstOffset: number;
  /** Position in the store of `frames.start`. */
  readonly position: number;
  /** A frame gets an entry if it begins at or after this store position … */
  readonly nextEntryPosition: number;
  /** … and then the next at least so many bytes further on. */
  readonly intervalBytes: number;
  /** Where the entries go (24 bytes each); must have room for every one that can come. */
  readonly output: Region;
}

/** What stands around a record as JSON text. */
export interface RecordTextForm {
  /** What comes before the offset; never empty. Where there are two, the offset follows each. */
  readonly starts: readonly [Buffer] | readonly [Buffer, Buffer];
  /** What comes behind the payload. */
  readonly end: Buffer;
}

export interface EmitTextRequest {
  /** Good frames of kind 0, checked before. */
  readonly input: Region;
  readonly firstOffset: number;
  /** Stop before the first record with this timestamp or a later one. */
  readonly untilTimestamp: number;
  /** Where the text goes. Never overlaps `input`. */
  readonly output: Region;
  readonly form: RecordTextForm;
}

/**
 * Why it stopped. `end`: everything was written. `until`: a timestamp that is late enough. `not-text`: the payload of the
 * record at `inputEnd` is not UTF-8. `output-full`: the record at `inputEnd` may not fit what is left of the output.
 */
export type EmitTextStop = 'end' | 'until' | 'not-text' | 'output-full';

export interface EmitTextResult {
  readonly stop: EmitTextStop;
  readonly recordCount: number;
  readonly inputEnd: number;
  readonly outputEnd: number;
}

export interface IndexFramesResult {
  readonly outputEnd: number;
  /** For the next call. */
  readonly nextEntryPosition: number;
}

export interface Kernel {
  /** The whole memory. The same object for the life of the kernel. */
  readonly memory: Buffer;
  frameLines(request: FrameLinesRequest): FrameLinesResult;
  /** Checks frames against their checksums; writes nothing. */
  checkFrames(request: FramesRequest): FramesResult;
  /** Checks frames and writes their payloads out; stops before the first that is not good or does not fit. */
  emitPayloads(request: EmitRequest): EmitResult;
  /** Writes records out as JSON text; stops before the first that is not text or does not fit. */
  emitText(request: EmitTextRequest): EmitTextResult;
  /** Gives frames another first offset and timestamp, in place. */
  stampFrames(request: StampRequest): void;
  /** Writes index entries for the frames that are due one. */
  indexFrames(request: IndexFramesRequest): IndexFramesResult;
}
