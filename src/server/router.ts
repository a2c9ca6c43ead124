/**
 * From a path and a method to what answers. One table: `Allow`, HEAD and the labels of the metrics come from it too.
 */
import { FastQueueError } from '../engine/index.ts';
import { consume } from './consume.ts';
import type { Exchange } from './exchange.ts';
import { OPENAPI_DOCUMENT } from './openapi.ts';
import { publish } from './publish.ts';
import { parseQuery } from './query.ts';
import type { ServerContext } from './server-context.ts';
import { deleteTopic, listTopics, putTopic, showOffsets, showTopic } from './topics.ts';

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** `topic` is the name that the path carries, '' where it carries none. */
type Handler = (context: ServerContext, exchange: Exchange, topic: string) => Promise<void> | void;

export interface Route {
  /** As the OpenAPI description has it; the label of the metrics. */
  readonly path: string;
  readonly methods: Readonly<Partial<Record<Method, Handler>>>;
  /** May be asked without the token. */
  readonly isOpen?: true;
}

const MESSAGES: Route = { path: '/topics/{topic}/messages', methods: { GET: consume, POST: publish } };
const OFFSETS: Route = { path: '/topics/{topic}/offsets', methods: { GET: showOffsets } };
const TOPIC: Route = {
  path: '/topics/{topic}',
  methods: { GET: showTopic, PUT: putTopic, DELETE: deleteTopic },
};
const TOPICS: Route = { path: '/topics', methods: { GET: listTopics } };
const HEALTH: Route = {
  path: '/health',
  methods: {
    GET: (context, exchange) => {
      parseQuery(exchange.search, []);
      return context.health.answer(exchange);
    },
  },
  isOpen: true,
};
const METRICS: Route = {
  path: '/metrics',
  methods: {
    GET: (context, exchange) => {
      parseQuery(exchange.search, []);
      return context.metrics.answer(exchange, context.dataDirectory);
    },
  },
};
const OPENAPI: Route = {
  path: '/openapi.json',
  methods: {
    GET: (_, exchange) => {
      parseQuery(exchange.search, []);
      exchange.isLasting = true;
      exchange.sendJson(200, OPENAPI_DOCUMENT);
    },
  },
};

export const ROUTES: readonly Route[] = [MESSAGES, OFFSETS, TOPIC, TOPICS, HEALTH, METRICS, OPENAPI];

const ROUTE_OF_PATH = new Map([TOPICS, HEALTH, METRICS, OPENAPI].map((route) => [route.path, route]));
const ROUTE_OF_SUFFIX = new Map([
  ['/messages', MESSAGES],
  ['/offsets', OFFSETS],
  ['', TOPIC],
]);
const TOPICS_PREFIX = '/topics/';

/** The server as a whole, which is asked for its methods and for nothing else (`OPTIONS *`). */
const WHOLE_SERVER: Route = {
  path: '*',
  methods: Object.assign({}, ...ROUTES.map(({ methods }) => methods)) as Route['methods'],
};

/** May be asked without the token. */
export const isOpenPath = (path: string): boolean => ROUTE_OF_PATH.get(path)?.isOpen === true;

/** @throws FastQueueError `no_such_resource`, `invalid_topic_name` where the name is not even text */
export function routeOf(path: string, method: string | undefined): { route: Route; topic: string } {
  if (path.startsWith(TOPICS_PREFIX)) {
    const slash = path.indexOf('/', TOPICS_PREFIX.length);
    const end = slash === -1 ? path.length : slash;
    const route = ROUTE_OF_SUFFIX.get(path.slice(end));
    if (route !== undefined) return { route, topic: decodeName(path.slice(TOPICS_PREFIX.length, end)) };
  }
  const route = ROUTE_OF_PATH.get(path);
  if (route !== undefined) return { route, topic: '' };
  if (path === WHOLE_SERVER.path && method === 'OPTIONS') return { route: WHOLE_SERVER, topic: '' };
  throw new FastQueueError(
    'no_such_resource',
    'There is nothing at this address. GET /openapi.json lists what there is.',
  );
}

/** What the engine says of a name that is not one, it says once it was decoded. */
function decodeName(encoded: string): string {
  if (!encoded.includes('%')) return encoded;
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw new FastQueueError('invalid_topic_name', 'The name of the topic is not encoded as text.');
  }
}

/** Methods that change something, which a server that only reads refuses. */
const WRITING: ReadonlySet<string> = new Set<Method>(['POST', 'PUT', 'DELETE']);

/** @throws FastQueueError `method_not_allowed`, `read_only` */
export function handlerOf(route: Route, method: string, options: { isReadOnly: boolean }): Handler {
  const handler = route.methods[(method === 'HEAD' ? 'GET' : method) as Method];
  if (handler === undefined || !Object.hasOwn(route.methods, method === 'HEAD' ? 'GET' : method)) {
    throw new FastQueueError(
      'method_not_allowed',
      `${route.path} takes ${allowedMethods(route).join(', ')}, not ${method}.`,
    );
  }
  if (options.isReadOnly && WRITING.has(method)) {
    throw new FastQueueError(
      'read_only',
      'This server was started with --read-only: it takes no records and no changes.',
      {
        sideEffects: 'none',
      },
    );
  }
  return handler;
}

export function allowedMethods(route: Route): string[] {
  const methods = Object.keys(route.methods).flatMap((method) =>
    method === 'GET' ? ['GET', 'HEAD'] : [method],
  );
  return [...methods, 'OPTIONS'];
}
