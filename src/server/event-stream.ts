/**
 * GET /topics/{topic}/messages as `text/event-stream`: records as they become durable, for ever. The id of an event is
 * the offset of its record, and a client that comes back with the last one goes on behind it. Offsets without a record
 * are told as `gap`; damage as `damage`, and ends the stream. A range of which nothing is left to come is 204.
 */
import {
  FastQueueError,
  FRAME_HEADER_BYTES,
  missingAsJson,
  type GapStep,
  type LogReader,
  type Topic,
} from '../engine/index.ts';
import { ClientGone, type Exchange } from './exchange.ts';
import { PieceWriter, untilNobodyWaits } from './flow.ts';
import { COMMENT_INTERVAL_MS } from './limits.ts';
import { EVENT_STREAM_MEDIA_TYPE } from './media-types.ts';
import { openRange, pathOfNext, type MessagesQuery } from './messages-query.ts';
import { problemOf } from './problem.ts';
import { invalid } from './query.ts';
import { EVENTS } from './record-forms.ts';
import type { ServerContext } from './server-context.ts';

/** Bytes of the store that become events at once. */
const PIECE_BYTES = 64 * 1024;

export async function followAsEvents(
  context: ServerContext,
  exchange: Exchange,
  asked: { topic: Topic; query: MessagesQuery },
): Promise<void> {
  const { topic, query } = asked;
  if (query.waitMs > 0) throw invalid('A stream of events waits by itself: it takes no wait.');
  const { reader, range } = await openRange(topic, resumed(exchange, query), { isFollowing: true });
  const { signal, release } = untilNobodyWaits(exchange, context.stopping);
  try {
    const headers = [
      'FastQueue-Next-Offset',
      String(reader.nextOffset),
      'FastQueue-Start-Offset',
      String(reader.mark.startOffset),
      'FastQueue-End-Offset',
      String(reader.mark.nextOffset),
      'Link',
      `<${pathOfNext(reader.nextOffset, { topic, query, range })}>; rel="next"`,
    ];
    if (range.untilOffset <= reader.nextOffset) {
      // A browser that has seen all of a range asks for what follows, again and again, until it is told that nothing does.
      exchange.begin(204, headers);
      exchange.response.end();
      return;
    }
    refuseDamageFirst(reader, range.untilOffset);
    exchange.begin(200, ['Content-Type', EVENT_STREAM_MEDIA_TYPE, 'X-Accel-Buffering', 'no', ...headers]);
    if (!exchange.isHead) {
      const stream = new EventStream(context, exchange, { topic, reader, signal });
      await stream.run({ ...range, maxRecords: query.givenLimit ?? Infinity });
    }
    exchange.response.end();
  } finally {
    release();
    reader.close();
  }
}

/**
 * A stream that could give nothing is refused before it begins: a client would come back for it again and again.
 *
 * @throws FastQueueError `damaged`
 */
function refuseDamageFirst(reader: LogReader, untilOffset: number): void {
  const fromOffset = reader.nextOffset;
  reader.skim({ maxBytes: 1, maxRecords: 1, untilOffset });
  reader.seek(fromOffset);
}

/** Where a client that comes back goes on: behind the last event it has seen, whatever the address says. */
function resumed(exchange: Exchange, query: MessagesQuery): MessagesQuery {
  const lastId = exchange.request.headers['last-event-id'];
  if (lastId === undefined || lastId === '') return query;
  const lastOffset = typeof lastId === 'string' && /^\d+$/.test(lastId) ? Number(lastId) : NaN;
  if (!Number.isSafeInteger(lastOffset + 1)) {
    throw invalid('Last-Event-ID must be the offset of the last event: a whole number from 0.');
  }
  return { ...query, spec: { ...query.spec, from: { type: 'offset', offset: lastOffset + 1 } } };
}

interface StreamBounds {
  readonly untilOffset: number;
  readonly untilTimestamp: number | undefined;
  readonly maxRecords: number;
}

class EventStream {
  readonly #context: ServerContext;
  readonly #exchange: Exchange;
  readonly #topic: Topic;
  readonly #reader: LogReader;
  readonly #signal: AbortSignal;
  readonly #body: PieceWriter;

  constructor(
    context: ServerContext,
    exchange: Exchange,
    parts: { topic: Topic; reader: LogReader; signal: AbortSignal },
  ) {
    this.#context = context;
    this.#exchange = exchange;
    this.#topic = parts.topic;
    this.#reader = parts.reader;
    this.#signal = parts.signal;
    this.#body = new PieceWriter(exchange, context);
  }

  /** Resolves when the range has ended, the server stops, or what ends the stream was told. @throws ClientGone */
  async run(bounds: StreamBounds): Promise<void> {
    // The client knows that it is connected before the first record.
    await this.#body.write(`: from offset ${this.#reader.nextOffset}\n\n`);
    try {
      await this.#follow(bounds);
    } catch (error) {
      // What nobody has foreseen is the log's to tell; the stream is cut.
      if (!(error instanceof FastQueueError)) throw error;
      await this.#tellEnd(error);
    }
  }

  async #follow(bounds: StreamBounds): Promise<void> {
    let roomCount = bounds.maxRecords;
    while (roomCount > 0 && !this.#context.stopping.aborted) {
      const step = this.#reader.readText(
        { maxBytes: PIECE_BYTES, maxRecords: roomCount, untilOffset: bounds.untilOffset },
        EVENTS,
        bounds.untilTimestamp,
      );
      if (step.type === 'end') {
        if (this.#reader.nextOffset >= bounds.untilOffset || this.#signal.aborted) return;
        await this.#waitForMore();
      } else if (step.type === 'gap') {
        await this.#body.write(gapEvent(this.#topic.name, step));
      } else if (step.type === 'records') {
        roomCount -= step.recordCount;
        this.#context.metrics.countOut(this.#topic.name, {
          recordCount: step.recordCount,
          byteCount: step.frameBytes - step.recordCount * FRAME_HEADER_BYTES,
        });
        await this.#body.write(this.#body.hold(step.bytes));
        if (step.isCut) return;
      }
    }
  }

  async #waitForMore(): Promise<void> {
    this.#body.letGo();
    const outcome = await this.#reader.waitForMore({ timeoutMs: COMMENT_INTERVAL_MS, signal: this.#signal });
    if (outcome === 'timeout') await this.#body.write(': nothing new\n\n');
    else if (outcome === 'more') await this.#reader.refresh();
    else if (this.#exchange.isClosed) throw new ClientGone();
  }

  /** Damage, a topic that was deleted, a disk that fails: the last event says what it was. */
  async #tellEnd(error: FastQueueError): Promise<void> {
    const isDamage = error.code === 'damaged';
    this.#context.metrics.countError(error);
    const { body } = problemOf(error, {
      instance: this.#exchange.path,
      dataDirectory: this.#context.dataDirectory.path,
    });
    await this.#body.write(`event: ${isDamage ? 'damage' : 'problem'}\ndata: ${body.trimEnd()}\n\n`);
  }
}

/** The id is the last of the offsets, so that a client that comes back goes on behind them. */
function gapEvent(topic: string, gap: GapStep): string {
  return `event: gap\nid: ${gap.offset + gap.count - 1}\ndata: ${JSON.stringify(missingAsJson(topic, gap))}\n\n`;
}
