/**
 * What the server counts, and GET /metrics, which says it in the text format of Prometheus. Counting is a few additions;
 * everything else, prom-client's part included, happens when somebody asks.
 */
import {
  FastQueueError,
  FRAME_HEADER_BYTES,
  type BatchReport,
  type DataDirectory,
  type ErrorCode,
  type TopicStatus,
} from '../engine/index.ts';
import type * as PromClientModule from 'prom-client';
import type { Exchange } from './exchange.ts';
import { Histogram } from './histogram.ts';
import { registerProcessMetrics, type MetricClasses } from './process-metrics.ts';

/** Of one topic since the server began. */
interface TopicCounts {
  recordsIn: number;
  bytesIn: number;
  recordsOut: number;
  bytesOut: number;
}

const DURATION_BOUNDS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
const BATCH_BOUNDS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

export class Metrics {
  readonly #topics = new Map<string, TopicCounts>();
  readonly #errors = new Map<ErrorCode, number>();
  readonly #batchRecords = new Histogram({
    name: 'fastqueue_batch_records',
    help: 'Records that shared one write and one sync.',
    bounds: BATCH_BOUNDS,
  });
  readonly #batchRequests = new Histogram({
    name: 'fastqueue_batch_requests',
    help: 'Requests that shared one write and one sync.',
    bounds: BATCH_BOUNDS.slice(0, 9),
  });
  readonly #syncSeconds = new Histogram({
    name: 'fastqueue_sync_duration_seconds',
    help: 'From the beginning of the write of a batch to the end of its sync.',
    bounds: DURATION_BOUNDS_SECONDS,
  });
  readonly #requestSeconds = new Histogram({
    name: 'fastqueue_request_duration_seconds',
    help: 'From the head of a request to the end of its handling.',
    bounds: DURATION_BOUNDS_SECONDS,
  });
  #registry: Promise<PromClientModule.Registry> | undefined;

  countBatch(topic: string, batch: BatchReport): void {
    const counts = this.#countsOf(topic);
    counts.recordsIn += batch.recordCount;
    counts.bytesIn += batch.frameBytes - batch.recordCount * FRAME_HEADER_BYTES;
    const labels = (): { topic: string } => ({ topic });
    this.#batchRecords.observe(batch.recordCount, topic, labels);
    this.#batchRequests.observe(batch.appendCount, topic, labels);
    this.#syncSeconds.observe(batch.durationMs / 1000, topic, labels);
  }

  /** Its series end with it: another topic of that name begins anew. */
  forgetTopic(topic: string): void {
    this.#topics.delete(topic);
    for (const histogram of [this.#batchRecords, this.#batchRequests, this.#syncSeconds]) {
      histogram.forget(topic);
    }
  }

  countOut(topic: string, sent: { recordCount: number; byteCount: number }): void {
    const counts = this.#countsOf(topic);
    counts.recordsOut += sent.recordCount;
    counts.bytesOut += sent.byteCount;
  }

  countError(error: unknown): void {
    const code = error instanceof FastQueueError ? error.code : 'internal_error';
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  countRequest(request: { route: string; method: string; status: number; durationMs: number }): void {
    const { route, method, status, durationMs } = request;
    this.#requestSeconds.observe(durationMs / 1000, `${method} ${route} ${status}`, () => ({
      route,
      method,
      status: String(status),
    }));
  }

  /** Answers with everything, as of now. */
  async answer(exchange: Exchange, dataDirectory: DataDirectory): Promise<void> {
    this.#registry ??= this.#makeRegistry(dataDirectory);
    const registry = await this.#registry;
    const text = await registry.metrics();
    exchange.send(200, ['Content-Type', registry.contentType], text);
  }

  #countsOf(topic: string): TopicCounts {
    let counts = this.#topics.get(topic);
    if (counts === undefined) {
      counts = { recordsIn: 0, bytesIn: 0, recordsOut: 0, bytesOut: 0 };
      this.#topics.set(topic, counts);
    }
    return counts;
  }

  async #makeRegistry(dataDirectory: DataDirectory): Promise<PromClientModule.Registry> {
    const client: MetricClasses = await import('prom-client');
    const registry = new client.Registry();
    registerProcessMetrics(client, registry);
    this.#registerCounters(client, registry);
    registerGauges(client, registry, dataDirectory);
    for (const histogram of [
      this.#batchRecords,
      this.#batchRequests,
      this.#syncSeconds,
      this.#requestSeconds,
    ]) {
      // The registry asks for a name and for values, and calls itself by the class of its own metrics.
      registry.registerMetric(histogram as unknown as PromClientModule.Metric);
    }
    return registry;
  }

  #registerCounters(client: MetricClasses, registry: PromClientModule.Registry): void {
    const topics = this.#topics;
    const errors = this.#errors;
    const perTopic: readonly [string, string, keyof TopicCounts][] = [
      ['fastqueue_records_in_total', 'Records stored by this server.', 'recordsIn'],
      ['fastqueue_bytes_in_total', 'Payload bytes stored by this server.', 'bytesIn'],
      ['fastqueue_records_out_total', 'Records sent to clients.', 'recordsOut'],
      ['fastqueue_bytes_out_total', 'Payload bytes of the records sent to clients.', 'bytesOut'],
    ];
    for (const [name, help, field] of perTopic) {
      new client.Counter({
        name,
        help,
        labelNames: ['topic'],
        registers: [registry],
        collect() {
          this.reset();
          for (const [topic, counts] of topics) this.inc({ topic }, counts[field]);
        },
      });
    }
    new client.Counter({
      name: 'fastqueue_errors_total',
      help: 'Problems answered, by code.',
      labelNames: ['code'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [code, count] of errors) this.inc({ code }, count);
      },
    });
  }
}

/** What stands on the disk, looked up when it is asked for. */
function registerGauges(
  client: MetricClasses,
  registry: PromClientModule.Registry,
  dataDirectory: DataDirectory,
): void {
  const gauges: readonly [string, string, (status: TopicStatus) => number][] = [
    ['fastqueue_start_offset', 'First offset that the topic still has.', (status) => status.startOffset],
    ['fastqueue_end_offset', 'Next offset that will be assigned.', (status) => status.nextOffset],
    ['fastqueue_segments', 'Segments of the topic.', (status) => status.segments],
    ['fastqueue_store_bytes', 'Bytes of all stores of the topic.', (status) => status.bytes],
  ];
  let looked: Promise<TopicStatus[]> | undefined;
  /** Once for all gauges of one answer, which the registry asks in one turn; the next answer looks anew. */
  const look = (): Promise<TopicStatus[]> => {
    if (looked === undefined) {
      looked = readableStatuses(dataDirectory);
      queueMicrotask(() => (looked = undefined));
    }
    return looked;
  };
  for (const [name, help, valueOf] of gauges) {
    new client.Gauge({
      name,
      help,
      labelNames: ['topic'],
      registers: [registry],
      async collect() {
        const statuses = await look();
        this.reset();
        for (const status of statuses) this.set({ topic: status.topic }, valueOf(status));
      },
    });
  }
}

/** Of every topic that can be read: what is wrong with the others is GET /topics' to say. */
async function readableStatuses(dataDirectory: DataDirectory): Promise<TopicStatus[]> {
  const statuses: TopicStatus[] = [];
  for (const name of dataDirectory.listTopics()) {
    try {
      const topic = await dataDirectory.openTopic(name, { mode: 'read' });
      statuses.push(await topic.status());
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
    }
  }
  return statuses;
}
