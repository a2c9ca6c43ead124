/**
 * GET /topics/{topic}/messages: a range of records in the form that the client likes. Never moves anything.
 *
 * The answer says in its headers where it ends, so the walk to its end comes before its first byte; what is longer than
 * one piece is read twice and never held whole.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import {
  FastQueueError,
  lineForm,
  monotonicMs,
  type LogReader,
  type RecordTextForm,
  type Topic,
} from '../engine/index.ts';
import { followAsEvents } from './event-stream.ts';
import { ClientGone, type Exchange } from './exchange.ts';
import { cutWhenStalled, PieceWriter, untilNobodyWaits } from './flow.ts';
import {
  EVENT_STREAM_MEDIA_TYPE,
  JSON_MEDIA_TYPE,
  NDJSON_MEDIA_TYPE,
  OCTETS_MEDIA_TYPE,
} from './media-types.ts';
import {
  openRange,
  parseMessagesQuery,
  pathOfNext,
  type MessagesQuery,
  type OpenRange,
} from './messages-query.ts';
import { negotiate } from './negotiation.ts';
import { invalid } from './query.ts';
import { RangeWalk } from './range-walk.ts';
import { ELEMENTS } from './record-forms.ts';
import type { ServerContext } from './server-context.ts';

const FORMS = [JSON_MEDIA_TYPE, NDJSON_MEDIA_TYPE, EVENT_STREAM_MEDIA_TYPE, OCTETS_MEDIA_TYPE] as const;

/** Bytes of the store that become text at once. */
const PIECE_BYTES = 128 * 1024;

const COMMA = Buffer.from(',');
const NOTHING = Buffer.alloc(0);
const NOTHING_AROUND = [NOTHING, NOTHING] as const;

export async function consume(context: ServerContext, exchange: Exchange, name: string): Promise<void> {
  const form = negotiate(exchange.request.headers.accept, FORMS);
  const query = parseMessagesQuery(exchange.search);
  const topic = await context.dataDirectory.openTopic(name, { mode: 'read' });
  if (form === EVENT_STREAM_MEDIA_TYPE) {
    await followAsEvents(context, exchange, { topic, query });
    return;
  }
  if (form === OCTETS_MEDIA_TYPE && query.givenLimit !== 1) {
    throw invalid(`An answer as ${OCTETS_MEDIA_TYPE} is one record: ask with limit=1.`);
  }
  const open = await openRange(topic, query, { isFollowing: query.waitMs > 0 });
  try {
    await waitForFirst(context, exchange, { open, query });
    const answer = new RangeAnswer(context, exchange, { topic, query, ...open });
    if (form === OCTETS_MEDIA_TYPE) answer.sendPayload();
    else await answer.send(form);
  } finally {
    open.reader.close();
  }
}

/** At the end of the log: waits for a record, as long as the query says. */
async function waitForFirst(
  context: ServerContext,
  exchange: Exchange,
  { open, query }: { open: OpenRange; query: MessagesQuery },
): Promise<void> {
  const { reader, range } = open;
  const isAtEnd = (): boolean =>
    reader.nextOffset >= reader.mark.nextOffset && reader.nextOffset < range.untilOffset;
  if (query.waitMs === 0 || !isAtEnd()) return;
  const deadlineMs = monotonicMs() + query.waitMs;
  const { signal, release } = untilNobodyWaits(exchange, context.stopping);
  try {
    while (isAtEnd()) {
      const outcome = await reader.waitForMore({
        timeoutMs: Math.max(0, deadlineMs - monotonicMs()),
        signal,
      });
      if (outcome !== 'more') break;
      await reader.refresh();
    }
  } finally {
    release();
  }
  if (exchange.isClosed) throw new ClientGone();
}

interface RangeAnswerParts extends OpenRange {
  readonly topic: Topic;
  readonly query: MessagesQuery;
}

class RangeAnswer {
  readonly #context: ServerContext;
  readonly #exchange: Exchange;
  readonly #parts: RangeAnswerParts;
  readonly #reader: LogReader;
  readonly #body: PieceWriter;

  constructor(context: ServerContext, exchange: Exchange, parts: RangeAnswerParts) {
    this.#context = context;
    this.#exchange = exchange;
    this.#parts = parts;
    this.#reader = parts.reader;
    this.#body = new PieceWriter(exchange, context);
  }

  /** As a JSON document or as lines. */
  async send(mediaType: typeof JSON_MEDIA_TYPE | typeof NDJSON_MEDIA_TYPE): Promise<void> {
    const { topic, query, range } = this.#parts;
    const fromOffset = this.#reader.nextOffset;
    const isDocument = mediaType === JSON_MEDIA_TYPE;
    const form = isDocument ? ELEMENTS : lineForm(topic.name);
    const walk = new RangeWalk(this.#reader, form, {
      untilOffset: range.untilOffset,
      untilTimestamp: range.untilTimestamp,
      maxRecords: query.limit,
      maxBytes: query.maxBytes,
    });
    const first = this.#body.hold(walk.next(PIECE_BYTES) ?? NOTHING);
    const { nextOffset: firstEnd, recordCount: firstCount } = walk;
    await this.#walkToEnd(walk);
    const headers = this.#headers(walk.nextOffset, mediaType);
    const tag = this.#entityTag({ fromOffset, nextOffset: walk.nextOffset, mediaType });
    if (tag !== undefined) {
      headers.push('ETag', tag);
      if (isNamed(tag, this.#exchange.request.headers['if-none-match'])) {
        this.#exchange.begin(304, headers);
        this.#exchange.response.end();
        return;
      }
    }
    if (walk.stoppedAt !== undefined) headers.push('FastQueue-Stopped-At', String(walk.stoppedAt.offset));
    const [head, tail] = isDocument ? this.#document(walk) : NOTHING_AROUND;
    headers.push('Content-Type', mediaType);
    if (this.#exchange.isHead && firstEnd !== walk.nextOffset) {
      // How long the whole would be is known only once it was made.
      this.#exchange.begin(200, headers);
      this.#exchange.response.end();
      return;
    }
    if (firstEnd === walk.nextOffset) {
      this.#sendWhole(
        headers,
        isDocument ? Buffer.concat([head, withoutLastComma(first), tail]) : first,
        walk,
      );
      return;
    }
    this.#exchange.begin(200, headers);
    if (isDocument) await this.#body.write(head);
    await this.#body.write(isDocument ? withoutLastComma(first) : first);
    await this.#stream({
      fromOffset: firstEnd,
      untilOffset: walk.nextOffset,
      recordCount: walk.recordCount - firstCount,
      form,
      isDocument,
    });
    cutWhenStalled(this.#exchange, this.#context);
    this.#exchange.response.end(tail);
    this.#count(walk);
  }

  /** One payload as it is. */
  sendPayload(): void {
    const { topic, range } = this.#parts;
    const step = this.#reader.read({ maxBytes: 1, maxRecords: 1, untilOffset: range.untilOffset });
    if (step.type === 'gap') throw gapMet(topic.name, { offset: step.offset, next: this.#reader.nextOffset });
    const [record] = step.type === 'records' ? step.records : [];
    const isTooLate = record !== undefined && record.timestamp >= (range.untilTimestamp ?? Infinity);
    const headers = this.#headers(isTooLate ? record.offset : this.#reader.nextOffset, OCTETS_MEDIA_TYPE);
    headers.push('Content-Type', OCTETS_MEDIA_TYPE);
    if (record === undefined || isTooLate) {
      // An empty record has an offset and a time; no record has neither.
      this.#exchange.send(200, headers, NOTHING);
      return;
    }
    headers.push('FastQueue-Offset', String(record.offset), 'FastQueue-Timestamp', String(record.timestamp));
    const tag = this.#entityTag({
      fromOffset: record.offset,
      nextOffset: record.offset + 1,
      mediaType: OCTETS_MEDIA_TYPE,
    });
    if (tag !== undefined) headers.push('ETag', tag);
    if (tag !== undefined && isNamed(tag, this.#exchange.request.headers['if-none-match'])) {
      this.#exchange.begin(304, headers);
      this.#exchange.response.end();
      return;
    }
    // Out of the kernel's memory, which belongs to others once this turn is over.
    const payload = Buffer.from(record.payload);
    cutWhenStalled(this.#exchange, this.#context);
    this.#exchange.send(200, headers, payload);
    if (!this.#exchange.isHead) {
      this.#context.metrics.countOut(topic.name, { recordCount: 1, byteCount: payload.length });
    }
  }

  async #walkToEnd(walk: RangeWalk): Promise<void> {
    while (!walk.hasEnded && walk.skim()) await letOthersRun();
  }

  #document(walk: RangeWalk): [head: Buffer, tail: Buffer] {
    const { topic } = this.#parts;
    const { startOffset, nextOffset: endOffset } = this.#reader.mark;
    const { stoppedAt } = walk;
    const rest = {
      nextOffset: walk.nextOffset,
      startOffset,
      endOffset,
      ...(stoppedAt === undefined
        ? {}
        : {
            stoppedAt: {
              offset: stoppedAt.offset,
              nextReadable: stoppedAt.nextReadable,
              code: 'damaged',
            },
          }),
    };
    return [
      Buffer.from(`{"topic":"${topic.name}","messages":[`),
      Buffer.from(`],${JSON.stringify(rest).slice(1)}\n`),
    ];
  }

  #sendWhole(headers: string[], bytes: Buffer, walk: RangeWalk): void {
    cutWhenStalled(this.#exchange, this.#context);
    this.#exchange.send(200, headers, bytes);
    if (!this.#exchange.isHead) this.#count(walk);
  }

  #count(walk: RangeWalk): void {
    this.#context.metrics.countOut(this.#parts.topic.name, {
      recordCount: walk.recordCount,
      byteCount: walk.payloadBytes,
    });
  }

  /** Reads the rest of the range once more and writes it, piece by piece. */
  async #stream(rest: {
    fromOffset: number;
    untilOffset: number;
    recordCount: number;
    form: RecordTextForm;
    isDocument: boolean;
  }): Promise<void> {
    this.#reader.seek(rest.fromOffset);
    const walk = new RangeWalk(this.#reader, rest.form, {
      untilOffset: rest.untilOffset,
      untilTimestamp: undefined,
      maxRecords: Infinity,
      maxBytes: Infinity,
    });
    for (;;) {
      const bytes = walk.next(PIECE_BYTES);
      if (bytes === undefined) break;
      await this.#body.write(
        rest.isDocument ? this.#body.hold(COMMA, withoutLastComma(bytes)) : this.#body.hold(bytes),
      );
    }
    // Between the two readings records may have been damaged, or taken by retention: an answer that is not whole must
    // not look whole.
    if (walk.recordCount !== rest.recordCount) throw new ClientGone();
  }

  #headers(nextOffset: number, mediaType: string): string[] {
    const { startOffset, nextOffset: endOffset } = this.#reader.mark;
    return [
      'FastQueue-Next-Offset',
      String(nextOffset),
      'FastQueue-Start-Offset',
      String(startOffset),
      'FastQueue-End-Offset',
      String(endOffset),
      'Link',
      `<${pathOfNext(nextOffset, this.#parts)}>; rel="next"`,
      'Vary',
      'Accept',
      ...(mediaType === JSON_MEDIA_TYPE ? [] : ['X-Content-Type-Options', 'nosniff']),
    ];
  }

  /** Undefined where the same question may have another answer: at the end of the log. */
  #entityTag(range: { fromOffset: number; nextOffset: number; mediaType: string }): string | undefined {
    const { mark } = this.#reader;
    if (range.nextOffset >= mark.nextOffset) return undefined;
    const { id } = this.#parts.topic;
    if (id === undefined) return undefined;
    const form = FORMS.findIndex((mediaType) => mediaType === range.mediaType);
    return `W/"${id}-${mark.generation}-${range.fromOffset}-${range.nextOffset}-${form}"`;
  }
}

const withoutLastComma = (elements: Buffer): Buffer =>
  elements.at(-1) === COMMA[0] ? elements.subarray(0, -1) : elements;

/** Weakly compared: a header may name several tags, or any. */
function isNamed(tag: string, ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const opaque = tag.replace(/^W\//, '');
  return ifNoneMatch.split(',').some((named) => named.trim().replace(/^W\//, '') === opaque);
}

function gapMet(topic: string, gap: { offset: number; next: number }): FastQueueError {
  return new FastQueueError(
    'gap',
    `Offset ${gap.offset} of "${topic}" has no record any more. Reading goes on at offset ${gap.next}.`,
    { topic, offset: gap.offset, nextReadable: gap.next },
  );
}
