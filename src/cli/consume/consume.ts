/**
 * The use-case behind `fastqueue consume`: records of a topic to standard output, in offset order, with every offset
 * that has no record told. Parses no flags.
 *
 * A group's position is stored only after standard output has taken the records: at least once, never a record skipped.
 */
import { accessSync, constants } from 'node:fs';
import { setImmediate as letOthersRun } from 'node:timers/promises';
import {
  commandLine,
  READ_CHUNK_BYTES,
  RECORDS_CHUNK_BYTES,
  resolveRange,
  type BytesStep,
  type ConsumeRange,
  type ConsumerGroup,
  type DamageStep,
  type DataDirectory,
  type EmitStep,
  type EndStep,
  type GapStep,
  type LogReader,
  type OffsetRange,
  type ReadLimits,
  type RecordTextForm,
  type Topic,
} from '../../engine/index.ts';
import type { Output } from '../output.ts';
import { formatRecords, type RecordFormatter } from './record-format.ts';
import { RecordOutput } from './record-output.ts';

export type PayloadFraming = { readonly delimiter: Uint8Array } | 'len32be';

export interface ConsumeRequest {
  readonly dataDirectory: DataDirectory;
  readonly topic: string;
  readonly spec: OffsetRange;
  readonly group: string | undefined;
  readonly isFollowing: boolean;
  /** Stop after so many records. */
  readonly maxCount: number | undefined;
  /** Stop when nothing came for so long. */
  readonly timeoutMs: number | undefined;
  readonly clamp: boolean;
  readonly onDamage: 'stop' | 'skip';
  /** Payloads with what stands between them, records as JSON text, or each record through a formatter. */
  readonly form:
    | { readonly framing: PayloadFraming }
    | { readonly text: RecordTextForm }
    | { readonly formatter: RecordFormatter };
  readonly output: Output;
  /** Told of offsets without a record, in order; what it returns, if anything, goes to the output in their place. */
  readonly onMissing: (missing: GapStep | DamageStep) => Buffer | undefined;
  readonly onWarning: (sentence: string) => void;
  /** Told how many bytes were passed on. */
  readonly progress: { doneBytes: number };
  /** Called once the first record can be read: what it returns asks to stop behind a record. */
  readonly listenForStop: () => AbortSignal;
}

export interface ConsumeReport {
  readonly recordCount: number;
  readonly byteCount: number;
  /** Why it ended; `closed`: the reader of the output has seen enough. */
  readonly ending: 'end' | 'count' | 'timeout' | 'stopped' | 'closed';
  /** True when damage was stepped over, a mark that could not be used included. */
  readonly metDamage: boolean;
}

/** @throws FastQueueError whatever the engine throws; `damaged` after what came before the damage was written out */
export async function consume(request: ConsumeRequest): Promise<ConsumeReport> {
  const topic = await request.dataDirectory.openTopic(request.topic, { mode: 'read' });
  let group: ConsumerGroup | undefined;
  try {
    group = request.group === undefined ? undefined : await topic.openGroup(request.group);
    const { reader, range } = await openReader(topic, request, group);
    try {
      if (range.removedCount > 0) {
        request.onWarning(
          `${range.removedCount} records that the group had not taken were removed by retention.`,
        );
      }
      const signal = request.listenForStop();
      return await new Consumption(request, { reader, range, group, path: topic.path, signal }).run();
    } finally {
      reader.close();
    }
  } finally {
    group?.close();
    await topic.close();
  }
}

/**
 * Where the log begins and ends is known only once what a dead writer left was settled, which opening a reader does. The
 * same reader then reads: another could be of a topic that was made anew meanwhile.
 */
async function openReader(
  topic: Topic,
  request: ConsumeRequest,
  group: ConsumerGroup | undefined,
): Promise<{ reader: LogReader; range: ConsumeRange }> {
  const reader = await topic.openReader({ onDamage: request.onDamage });
  try {
    group?.refuseGone();
    if (reader.isMarkAssumed) {
      request.onWarning(
        `The high-water mark of "${topic.name}" is missing or damaged: records that check out are read, and it cannot be known ` +
          `whether acknowledged ones are missing at the end. Run "${commandLine(topic, `recover ${topic.name} --dry-run`)}".`,
      );
    }
    const range = await resolveRange(topic, reader.mark, {
      spec: request.spec,
      group: group?.nextOffset === undefined ? undefined : { name: group.name, nextOffset: group.nextOffset },
      isFollowing: isWaiting(request),
      clamp: request.clamp,
      clampWord: '--clamp',
    });
    reader.seek(range.fromOffset);
    return { reader, range };
  } catch (error) {
    reader.close();
    throw error;
  }
}

/** A timeout says how long to wait for more, so it waits. */
const isWaiting = (request: ConsumeRequest): boolean =>
  request.isFollowing || request.timeoutMs !== undefined;

/** A file takes its bytes at once: without a turn now and then no signal would be heard, and no progress shown. */
const STEPS_PER_TURN = 4;

/**
 * Frames of 100-byte records whose payloads fill a pipe, 64 KiB on Linux: they are written by one call that need not wait,
 * and the next are made ready while the reader takes them.
 */
const PIPE_CHUNK_BYTES = 72 * 1024;

type Ending = ConsumeReport['ending'];

/** Bytes for the output, and how far they go. */
interface Stretch {
  readonly type: 'stretch';
  readonly bytes: Buffer;
  readonly recordCount: number;
  readonly nextOffset: number;
  /** True when the record after these must not be printed. */
  readonly isLast: boolean;
}

class Consumption {
  readonly #request: ConsumeRequest;
  readonly #reader: LogReader;
  readonly #range: ConsumeRange;
  readonly #group: ConsumerGroup | undefined;
  readonly #output: RecordOutput;
  /** Of the topic's directory. */
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #chunkBytes: number;
  #recordCount = 0;
  #byteCount = 0;
  #metDamage: boolean;

  constructor(
    request: ConsumeRequest,
    state: {
      reader: LogReader;
      range: ConsumeRange;
      group: ConsumerGroup | undefined;
      path: string;
      signal: AbortSignal;
    },
  ) {
    this.#path = state.path;
    this.#signal = state.signal;
    this.#request = request;
    this.#reader = state.reader;
    this.#metDamage = state.reader.isMarkAssumed;
    this.#range = state.range;
    this.#group = state.group;
    this.#output = new RecordOutput(request.output);
    // A group's position is synced behind each chunk.
    const isForPipe = !request.output.isSynchronous && state.group === undefined;
    this.#chunkBytes = isForPipe ? PIPE_CHUNK_BYTES : READ_CHUNK_BYTES;
  }

  async run(): Promise<ConsumeReport> {
    let ending: Ending;
    try {
      ending = await this.#copyAll();
    } catch (error) {
      // What was read before the damage has been promised to the reader of the output.
      await this.#output.drain();
      throw error;
    }
    await this.#output.drain();
    return {
      recordCount: this.#recordCount,
      byteCount: this.#byteCount,
      ending: this.#output.isClosed ? 'closed' : ending,
      metDamage: this.#metDamage,
    };
  }

  async #copyAll(): Promise<Ending> {
    const { maxCount } = this.#request;
    for (let stepCount = 1; ; stepCount++) {
      if (stepCount % STEPS_PER_TURN === 0) await letOthersRun();
      if (this.#output.isClosed) return 'closed';
      if (this.#signal.aborted) return 'stopped';
      if (maxCount !== undefined && this.#recordCount >= maxCount) return 'count';
      const step = this.#next();
      switch (step.type) {
        case 'stretch':
          await this.#pass(step);
          if (step.isLast) return 'end';
          break;
        case 'gap':
        case 'damage':
          await this.#passMissing(step);
          break;
        case 'end': {
          const ending = await this.#waitForMore();
          if (ending !== undefined) return ending;
        }
      }
    }
  }

  /** Synchronous: what it returns stands in the kernel's memory. */
  #next(): Stretch | GapStep | DamageStep | EndStep {
    const { maxCount, form } = this.#request;
    const limits = {
      maxBytes: this.#chunkBytes,
      maxRecords: maxCount === undefined ? Infinity : maxCount - this.#recordCount,
      untilOffset: this.#range.untilOffset,
    };
    if ('framing' in form && this.#range.untilTimestamp === undefined) {
      return asStretch(this.#reader.emit(form.framing, limits));
    }
    if ('text' in form) return this.#textNext(form.text, limits);
    const formatter = 'formatter' in form ? form.formatter : framingFormatter(form.framing);
    return this.#formatNext(formatter, limits);
  }

  #textNext(form: RecordTextForm, limits: ReadLimits): Stretch | GapStep | DamageStep | EndStep {
    const step = this.#reader.readText(limits, form, this.#range.untilTimestamp);
    return step.type === 'records' ? { ...step, type: 'stretch', isLast: step.isCut } : step;
  }

  #formatNext(formatter: RecordFormatter, limits: ReadLimits): Stretch | GapStep | DamageStep | EndStep {
    const step = this.#reader.read({ ...limits, maxBytes: RECORDS_CHUNK_BYTES });
    if (step.type !== 'records') return step;
    const { untilTimestamp = Infinity } = this.#range;
    const first = step.records.findIndex(({ timestamp }) => timestamp >= untilTimestamp);
    const records = first === -1 ? step.records : step.records.slice(0, first);
    const { topic } = this.#request;
    const bytes = formatRecords(
      records.map(({ offset, timestamp, payload }) => ({ topic, offset, timestamp, payload })),
      formatter,
    );
    const nextOffset = first === -1 ? step.nextOffset : (step.records[first]?.offset ?? step.nextOffset);
    return { type: 'stretch', bytes, recordCount: records.length, nextOffset, isLast: first !== -1 };
  }

  async #pass(stretch: Stretch): Promise<void> {
    const byteCount = stretch.bytes.length;
    await this.#output.write(stretch.bytes);
    this.#recordCount += stretch.recordCount;
    this.#byteCount += byteCount;
    this.#request.progress.doneBytes += byteCount;
    await this.#commit(stretch.nextOffset);
  }

  async #passMissing(missing: GapStep | DamageStep): Promise<void> {
    if (missing.type === 'damage') this.#metDamage = true;
    const line = this.#request.onMissing(missing);
    if (line !== undefined) await this.#output.write(line);
    await this.#commit(this.#reader.nextOffset);
  }

  async #commit(nextOffset: number): Promise<void> {
    if (this.#group === undefined) return;
    await this.#output.drain();
    if (!this.#output.isClosed) await this.#group.commit(nextOffset);
  }

  /** Undefined when there may be more. */
  async #waitForMore(): Promise<Ending | undefined> {
    const { timeoutMs } = this.#request;
    if (this.#reader.nextOffset >= this.#range.untilOffset || !isWaiting(this.#request)) {
      await this.#tellOfUnsettled();
      return 'end';
    }
    const outcome = await this.#reader.waitForMore({
      signal: this.#signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    if (outcome === 'timeout') return 'timeout';
    if (outcome === 'aborted') return 'stopped';
    await this.#reader.refresh();
    return undefined;
  }

  /** Who may not write cannot settle what a dead writer left, and says so once it has stood still. */
  async #tellOfUnsettled(): Promise<void> {
    const byteCount = this.#reader.unsettledBytes();
    if (byteCount === 0 || isWritable(this.#path)) return;
    if ((await this.#reader.waitForMore({ timeoutMs: STILL_MS })) !== 'timeout') return;
    if (this.#reader.unsettledBytes() !== byteCount) return;
    this.#request.onWarning(
      `${byteCount} bytes lie behind the end of "${this.#request.topic}" and cannot be judged without write permission.`,
    );
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A live writer moves the mark or the file within this time. */
const STILL_MS = 300;

function asStretch(step: EmitStep): Stretch | GapStep | DamageStep | EndStep {
  return step.type === 'records' ? stretchOf(step) : step;
}

const stretchOf = ({ bytes, recordCount, nextOffset }: BytesStep): Stretch => ({
  type: 'stretch',
  bytes,
  recordCount,
  nextOffset,
  isLast: false,
});

/** What the kernel does for a whole run of frames, for one record. */
function framingFormatter(framing: PayloadFraming): RecordFormatter {
  if (framing !== 'len32be') {
    const delimiter = Buffer.from(framing.delimiter);
    return [payloadOf, () => delimiter];
  }
  return [lengthOf, payloadOf];
}

const payloadOf = ({ payload }: { payload: Buffer }): Buffer => payload;

function lengthOf({ payload }: { payload: Buffer }): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(payload.length);
  return length;
}
