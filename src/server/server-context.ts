/**
 * What the routes share. Made once by the server; nothing here belongs to one request.
 */
import type { DataDirectory } from '../engine/index.ts';
import type { HealthCheck } from './health.ts';
import type { Metrics } from './metrics.ts';
import type { LinesAppender } from './lines-appender.ts';
import type { BodyReader } from './request-body.ts';
import type { TopicCache } from './topic-cache.ts';

export interface ServerContext {
  readonly dataDirectory: DataDirectory;
  readonly topics: TopicCache;
  readonly bodies: BodyReader;
  readonly lines: LinesAppender;
  readonly metrics: Metrics;
  readonly health: HealthCheck;
  readonly isReadOnly: boolean;
  /** A reader that takes nothing of its answer for so long is cut. */
  readonly stallTimeoutMs: number;
  /** Aborted when the server begins to stop: whoever waits for records waits no longer. */
  readonly stopping: AbortSignal;
}
