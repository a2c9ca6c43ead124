/**
 * POST /topics/{topic}/messages: a body becomes one batch, checked whole before anything is written, and answered once
 * it is durable.
 */
import {
  FastQueueError,
  FRAME_HEADER_BYTES,
  LinesSource,
  MAX_BATCH_BYTES,
  PayloadsSource,
  refuseUnfit,
  type Ack,
  type AppendOptions,
  type RecordSource,
} from '../engine/index.ts';
import type { Exchange } from './exchange.ts';
import { MAX_LIMIT, SMALL_BODY_BYTES } from './limits.ts';
import { JSON_MEDIA_TYPE, NDJSON_MEDIA_TYPE, RECORDS_MEDIA_TYPE } from './media-types.ts';
import { mediaTypeOf } from './negotiation.ts';
import { parseQuery } from './query.ts';
import { parseRecords } from './records-document.ts';
import { refuseEncoded, wholeOf, type RequestBody } from './request-body.ts';
import type { ServerContext } from './server-context.ts';

const NEWLINE = 0x0a;

export async function publish(context: ServerContext, exchange: Exchange, name: string): Promise<void> {
  parseQuery(exchange.search, []);
  const { headers } = exchange.request;
  refuseEncoded(headers['content-encoding']);
  const condition = conditionOf(headers['fastqueue-expected-offset']);
  const body = await context.bodies.read(exchange);
  let ack: Ack;
  try {
    ack = await append(context, { name, body, condition, mediaType: mediaTypeOf(headers['content-type']) });
  } catch (error) {
    context.health.noteFailure(error, () => frameBytesOf(body, headers['content-type']));
    throw error;
  } finally {
    body.release();
  }
  context.health.noteSuccess();
  const { topic, offset, count } = ack;
  exchange.send(
    201,
    [
      'Location',
      `/topics/${topic}/messages?offset=${offset}&limit=${Math.min(count, MAX_LIMIT)}`,
      'Content-Type',
      JSON_MEDIA_TYPE,
    ],
    `{"topic":"${topic}","offset":${offset},"lastOffset":${ack.lastOffset},"nextOffset":${ack.nextOffset},"count":${count},"timestamp":${ack.timestamp}}\n`,
  );
}

/** About what the records would have taken in the store. */
function frameBytesOf({ chunks, byteCount }: RequestBody, contentType: string | undefined): number {
  if (mediaTypeOf(contentType) !== NDJSON_MEDIA_TYPE) return byteCount + FRAME_HEADER_BYTES;
  let lineCount = 0;
  for (const chunk of chunks)
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) lineCount += 1;
  return Math.min(byteCount + lineCount * (FRAME_HEADER_BYTES - 1), MAX_BATCH_BYTES);
}

interface Publication {
  readonly name: string;
  readonly body: RequestBody;
  readonly condition: AppendOptions;
  readonly mediaType: string | undefined;
}

function append(context: ServerContext, publication: Publication): Promise<Ack> {
  const { name, body, condition, mediaType } = publication;
  switch (mediaType) {
    case NDJSON_MEDIA_TYPE:
      // A few lines share a batch with what others post; many are framed at once and go alone. Whether they fit is seen only
      // then: where it may yet come to making a topic, they are looked at first.
      if (body.byteCount > SMALL_BODY_BYTES && context.topics.isOpen(name)) {
        return context.topics.append(
          name,
          (topic) => context.lines.append(topic, body, condition),
          condition,
        );
      }
      return appendSource(context, publication, new LinesSource(wholeOf(body)));
    case RECORDS_MEDIA_TYPE:
      return parseRecords(wholeOf(body)).then((source) => appendSource(context, publication, source));
    case undefined:
    default:
      return appendSource(context, publication, new PayloadsSource([wholeOf(body)]));
  }
}

/** What is refused in any case is refused before a topic is made for it. */
function appendSource(
  context: ServerContext,
  { name, condition }: Publication,
  source: RecordSource,
): Promise<Ack> {
  refuseUnfit(name, source);
  return context.topics.append(name, (topic) => topic.appendSource(source, condition), condition);
}

function conditionOf(header: string | string[] | undefined): AppendOptions {
  if (header === undefined) return {};
  const offset = typeof header === 'string' && /^\d+$/.test(header) ? Number(header) : NaN;
  if (Number.isSafeInteger(offset)) return { expectedOffset: offset };
  throw new FastQueueError(
    'invalid_argument',
    'FastQueue-Expected-Offset must be a whole number from 0 to 2^53 − 1.',
  );
}
