/**
 * GET /topics, GET PUT DELETE /topics/{topic}, GET /topics/{topic}/offsets: what there is, and how it is kept.
 */
import {
  FastQueueError,
  parseTime,
  parseTopicSettings,
  topicReport,
  type Topic,
  type TopicReport,
  type TopicSettings,
} from '../engine/index.ts';
import type { Exchange } from './exchange.ts';
import { MAX_SETTINGS_BYTES } from './limits.ts';
import { JSON_MEDIA_TYPE } from './media-types.ts';
import { mediaTypeOf } from './negotiation.ts';
import { parseQuery } from './query.ts';
import { refuseEncoded } from './request-body.ts';
import type { ServerContext } from './server-context.ts';

/** Where a topic begins and ends and what it holds. */
function boundsAsJson(report: TopicReport): object {
  const { topic, startOffset, nextOffset, count, bytes, segments, firstTimestamp, lastTimestamp } = report;
  return { topic, startOffset, endOffset: nextOffset, count, bytes, segments, firstTimestamp, lastTimestamp };
}

function topicAsJson(report: TopicReport): object {
  const { id, generation, settings, groups } = report;
  return { ...boundsAsJson(report), id, generation, settings, groups };
}

const reportOf = async (topic: Topic): Promise<TopicReport> => topicReport(await topic.status());

const openToRead = (context: ServerContext, name: string): Promise<Topic> =>
  context.dataDirectory.openTopic(name, { mode: 'read' });

/** A topic that cannot be read is in the list with what is wrong with it. */
export async function listTopics(context: ServerContext, exchange: Exchange): Promise<void> {
  parseQuery(exchange.search, []);
  const topics: object[] = [];
  for (const name of context.dataDirectory.listTopics()) {
    try {
      const topic = await openToRead(context, name);
      topics.push(boundsAsJson(await reportOf(topic)));
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
      // Deleted since it was listed.
      if (error.code !== 'topic_not_found') topics.push({ topic: name, code: error.code });
    }
  }
  exchange.sendJson(200, { topics });
}

export async function showTopic(context: ServerContext, exchange: Exchange, name: string): Promise<void> {
  parseQuery(exchange.search, []);
  const topic = await openToRead(context, name);
  exchange.sendJson(200, topicAsJson(await reportOf(topic)));
}

export async function showOffsets(context: ServerContext, exchange: Exchange, name: string): Promise<void> {
  const { timestamp } = parseQuery(exchange.search, ['timestamp']);
  const timestampMs = timestamp === undefined ? undefined : parseTime(timestamp, Date.now());
  const topic = await openToRead(context, name);
  const bounds = boundsAsJson(await reportOf(topic));
  const found = timestampMs === undefined ? {} : { offset: await topic.offsetAtTime(timestampMs) };
  exchange.sendJson(200, { ...bounds, ...found });
}

/**
 * Makes the topic, or changes the settings that the body names. `If-None-Match: *` only makes (RFC 9110, section 13.1.2);
 * a topic has no ETag, so no tag that the header may name instead is its own, and the request is as one without.
 */
export async function putTopic(context: ServerContext, exchange: Exchange, name: string): Promise<void> {
  parseQuery(exchange.search, []);
  const settings = await readSettings(context, exchange);
  let isNew = true;
  let topic: Topic;
  try {
    topic = await context.dataDirectory.createTopic(name, settings);
  } catch (error) {
    if (!(error instanceof FastQueueError) || error.code !== 'condition_failed') throw error;
    if (exchange.request.headers['if-none-match'] === '*') throw thereAlready(name);
    isNew = false;
    topic = await context.dataDirectory.openTopic(name, { mode: 'append' });
  }
  try {
    if (!isNew && Object.keys(settings).length > 0) await topic.changeSettings(settings);
    const document = topicAsJson(await reportOf(topic));
    if (isNew) exchange.sendJson(201, document, ['Location', `/topics/${name}`]);
    else exchange.sendJson(200, document);
  } finally {
    await topic.close();
  }
}

const thereAlready = (topic: string): FastQueueError =>
  new FastQueueError(
    'condition_failed',
    `There is a topic "${topic}" already. PUT without If-None-Match changes its settings. Nothing was changed.`,
    { topic },
  );

export async function deleteTopic(context: ServerContext, exchange: Exchange, name: string): Promise<void> {
  parseQuery(exchange.search, []);
  // It means nothing, but only a request that came wholly is carried out: of any other is said that nothing was done.
  const body = await context.bodies.read(exchange, { maxBytes: MAX_SETTINGS_BYTES });
  body.release();
  await context.topics.forget(name);
  await context.dataDirectory.deleteTopic(name);
  context.metrics.forgetTopic(name);
  exchange.begin(204, []);
  exchange.response.end();
}

/** The body is an object of settings, or one with `settings`, as GET shows it; none at all changes nothing. */
async function readSettings(context: ServerContext, exchange: Exchange): Promise<Partial<TopicSettings>> {
  refuseEncoded(exchange.request.headers['content-encoding']);
  const body = await context.bodies.read(exchange, { maxBytes: MAX_SETTINGS_BYTES });
  const text = Buffer.concat(body.chunks).toString();
  body.release();
  if (text.trim() === '') return {};
  const mediaType = mediaTypeOf(exchange.request.headers['content-type']);
  if (mediaType !== undefined && mediaType !== JSON_MEDIA_TYPE && !isTyped(mediaType)) {
    throw new FastQueueError(
      'unsupported_media_type',
      `Settings are understood as ${JSON_MEDIA_TYPE}, like {"settings":{"retentionAgeMs":"30d"}}.`,
    );
  }
  const document = parseObject(text);
  const { settings, ...rest } = document;
  if (settings === undefined) return parseTopicSettings(document);
  const [other] = Object.keys(rest);
  if (other !== undefined || !isObject(settings)) {
    throw notSettings(
      other === undefined ? '"settings" is not an object' : `${JSON.stringify(other)} is no setting`,
    );
  }
  return parseTopicSettings(settings);
}

/** `curl -d` says this of whatever it sends. */
const isTyped = (mediaType: string): boolean => mediaType === 'application/x-www-form-urlencoded';

function parseObject(text: string): Record<string, unknown> {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw notSettings('it is not JSON');
  }
  if (!isObject(document)) throw notSettings('it is not an object');
  return document;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function notSettings(what: string): FastQueueError {
  return new FastQueueError(
    'malformed_input',
    `The body should be an object of settings, like {"settings":{"retentionAgeMs":"30d"}}, but ${what}.`,
  );
}
