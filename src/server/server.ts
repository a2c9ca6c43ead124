/**
 * The HTTP server: node:http over the engine. Owns the listener, limits and timeouts, what every request passes through,
 * and the end: stop accepting, let what is in flight finish, sync, close.
 */
import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP, Server as NetServer, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { FastQueueError, monotonicMs, type DataDirectory } from '../engine/index.ts';
import { ClientGone, cut, Exchange } from './exchange.ts';
import { cutWhenStalled } from './flow.ts';
import { Gate, PREFLIGHT_HEADERS } from './gate.ts';
import { HealthCheck, stopping } from './health.ts';
import { Maintenance } from './maintenance.ts';
import type { Metrics } from './metrics.ts';
import { problemOf } from './problem.ts';
import {
  GRACE_MS,
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  MAX_CONNECTIONS,
  MAX_HEADER_BYTES,
  MAX_HEADER_COUNT,
  MAX_REQUESTS_AHEAD,
} from './limits.ts';
import { LinesAppender } from './lines-appender.ts';
import { BodyReader } from './request-body.ts';
import { allowedMethods, handlerOf, isOpenPath, routeOf, type Route } from './router.ts';
import type { ServerContext } from './server-context.ts';
import { TopicCache } from './topic-cache.ts';

export interface ServerOptions {
  readonly dataDirectory: DataDirectory;
  /** Told of every batch of the data directory by whoever made it. */
  readonly metrics: Metrics;
  readonly version: string;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly isReadOnly: boolean;
  /** False: posting to a topic that there is not is refused. */
  readonly mayCreate: boolean;
  readonly maxBodyBytes: number;
  readonly requestTimeoutMs: number;
  readonly allowedOrigins: readonly string[];
  readonly token: string | undefined;
  readonly log: ServerLog;
}

/** Where the server says what happens to it. */
export interface ServerLog {
  /** True where every request is to be told. */
  readonly wantsRequests: boolean;
  request(entry: { method: string; path: string; status: number; durationMs: number }): void;
  warn(sentence: string): void;
  /** What nobody has foreseen, with its stack. */
  failure(error: unknown): void;
}

/**
 * What is known of a connection. One object for as long as it lasts: a table that each request went into and out of again
 * kept the collector busy with requests long answered (a third of the server's time).
 */
interface Connection {
  readonly socket: Socket;
  /** The latest answer. */
  response: ServerResponse | undefined;
  /** Requests that have come and wait for their turn. */
  aheadCount: number;
  /** It was told that what it sent is no request. */
  wasRefused: boolean;
  /** What is told of it once the answers before it are given. */
  refusal: NodeJS.ErrnoException | undefined;
}

/** Connections that have nothing to say for so long after the server was told to stop are closed. */
const IDLE_CHECK_MS = 50;

export class FastQueueServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #context: ServerContext;
  readonly #stop = new AbortController();
  readonly #maintenance: Maintenance | undefined;
  readonly #connections = new Map<Duplex, Connection>();
  #gate: Gate | undefined;

  /**
   * Listens. The data directory is made if it is missing, unless the server only reads.
   *
   * @throws FastQueueError `address_unavailable`, `data_directory_not_found`; disk errors as themselves
   */
  static async listen(options: ServerOptions): Promise<FastQueueServer> {
    const { dataDirectory } = options;
    if (!options.isReadOnly) await dataDirectory.make();
    dataDirectory.listTopics();
    const server = new FastQueueServer(options);
    try {
      await server.#listen();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  private constructor(options: ServerOptions) {
    this.#options = options;
    const { dataDirectory, isReadOnly } = options;
    // Every client that waits listens whether the server stops; more of them than connections would be a leak.
    setMaxListeners(MAX_CONNECTIONS, this.#stop.signal);
    this.#context = {
      dataDirectory,
      topics: new TopicCache({ dataDirectory, mayCreate: options.mayCreate }),
      bodies: new BodyReader(options),
      lines: new LinesAppender(),
      metrics: options.metrics,
      health: new HealthCheck({ ...options, stopping: this.#stop.signal }),
      isReadOnly,
      stallTimeoutMs: options.requestTimeoutMs,
      stopping: this.#stop.signal,
    };
    this.#server = this.#createServer();
    this.#maintenance = isReadOnly
      ? undefined
      : new Maintenance({
          dataDirectory,
          onFailure: (error) => {
            if (error instanceof FastQueueError) options.log.warn(`Maintenance: ${error.message}`);
            else options.log.failure(error);
          },
        });
  }

  /** Where it listens: `http://127.0.0.1:8080`. */
  get url(): string {
    const { host } = this.#options;
    const name = host.includes(':') ? `[${host}]` : host;
    return `http://${name}:${this.#address.port}`;
  }

  get port(): number {
    return this.#address.port;
  }

  get #address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  /** Stops accepting, lets what is in flight finish, syncs and closes. Resolves when nothing is left. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const closed = new Promise<void>((resolve) => {
      // Not http's own close, which cuts connections whose next request has come and was not read yet.
      NetServer.prototype.close.call(this.#server, () => {
        resolve();
      });
    });
    const idle = setInterval(() => {
      this.#server.closeIdleConnections();
      // One that a browser has opened ahead is not idle to node.
      for (const { socket } of this.#connections.values()) if (socket.bytesRead === 0) socket.destroy();
    }, IDLE_CHECK_MS);
    const grace = setTimeout(() => {
      for (const { socket, response } of this.#connections.values()) cut(socket, response);
    }, GRACE_MS);
    await closed;
    clearInterval(idle);
    clearTimeout(grace);
    this.#server.close();
    await this.#maintenance?.stop();
    await this.#context.topics.close();
  }

  #createServer(): Server {
    const { requestTimeoutMs } = this.#options;
    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: requestTimeoutMs,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
      keepAliveTimeout: KEEP_ALIVE_MS,
      // The gate refuses a request without Host, as a problem document.
      requireHostHeader: false,
      connectionsCheckingInterval: Math.min(1000, requestTimeoutMs),
      noDelay: true,
    });
    // A client that has said all it has to say (`nc -N`) still reads its answer: node ends the connection after it.
    Object.assign(server, { httpAllowHalfOpen: true });
    // One more than the gate lets in: of what is beyond, Node tells nobody.
    server.maxHeadersCount = MAX_HEADER_COUNT + 1;
    server.maxConnections = MAX_CONNECTIONS;
    server.on('connection', (socket) => {
      const connection: Connection = {
        socket,
        response: undefined,
        aheadCount: 0,
        wasRefused: false,
        refusal: undefined,
      };
      this.#connections.set(socket, connection);
      // Node reads on behind each answer and each body, however many requests are waiting.
      socket.on('resume', () => {
        if (isFarAhead(connection)) socket.pause();
      });
      socket.once('close', () => this.#connections.delete(socket));
    });
    server.on('timeout', (socket: Socket) => {
      cut(socket, this.#connections.get(socket)?.response);
    });
    server.on('request', (request, response) => {
      void this.#handle(request, response);
    });
    server.on('checkContinue', (request, response) => {
      void this.#handle(request, response, { awaitsContinue: true });
    });
    server.on('checkExpectation', (request, response) => {
      const refusal = new FastQueueError('malformed_request', 'Of Expect, only 100-continue is understood.');
      this.#fail(new Exchange(request, response, this.#stop.signal), refusal);
    });
    server.on('clientError', (error, socket) => {
      this.#refuseRaw(error, socket);
    });
    server.on('connect', (_, socket) => {
      // Node has let go of the connection: from here on its errors are ours.
      socket.on('error', () => socket.destroy());
      this.#refuseRaw(Object.assign(new Error(), { code: ASKS_FOR_PROXY }), socket);
    });
    return server;
  }

  #listen(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      const refuse = (error: NodeJS.ErrnoException): void => {
        reject(
          new FastQueueError(
            'address_unavailable',
            `${host}:${port} cannot be listened on (${error.code ?? error.message}). Name another with --host or --port; --port 0 takes any free one.`,
            { cause: error },
          ),
        );
      };
      this.#server.once('error', refuse);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', refuse);
        // A connection that could not be accepted is no reason to end.
        this.#server.on('error', (error) => {
          this.#options.log.failure(error);
        });
        const { address } = this.#address;
        this.#gate = new Gate({
          boundNames: [host, address],
          isLoopback: isLoopback(address),
          allowedOrigins: this.#options.allowedOrigins,
          token: this.#options.token,
        });
        resolve();
      });
    });
  }

  async #handle(
    request: IncomingMessage,
    response: ServerResponse,
    options: { awaitsContinue?: boolean } = {},
  ): Promise<void> {
    const connection = this.#connections.get(request.socket);
    // The client has gone away with its request.
    if (connection === undefined) return;
    const previous = connection.response;
    connection.response = response;
    if (previous !== undefined) {
      // Requests that one client sends ahead have their turn one after the other: answers that nobody reads are not made.
      if (!isOver(previous)) await untilItsTurn(connection, previous);
      // That answer was the last of its connection: what nobody would be told of is not done.
      if (!request.socket.writable) return;
      // How long the reader of the answer before may take nothing says nothing of how long this one takes to be made.
      request.socket.setTimeout(0);
      if (connection.refusal !== undefined && !request.complete) {
        this.#answerRaw(connection.refusal, request.socket);
        return;
      }
    }
    const beganMs = monotonicMs();
    const exchange = new Exchange(request, response, this.#stop.signal);
    if (options.awaitsContinue === true) exchange.awaitsContinue = true;
    let route: Route | undefined;
    try {
      const found = this.#admit(exchange);
      route = found.route;
      if (request.method === 'OPTIONS') answerOptions(exchange, route);
      else {
        const handler = handlerOf(route, request.method ?? '', this.#options);
        await handler(this.#context, exchange, found.topic);
      }
    } catch (error) {
      this.#fail(exchange, error, route);
    }
    this.#note(exchange, { route, durationMs: monotonicMs() - beganMs });
  }

  /** What every request passes before anything is done for it. */
  #admit(exchange: Exchange): { route: Route; topic: string } {
    const { request } = exchange;
    if (request.httpVersion === '1.0' && request.headers['transfer-encoding'] !== undefined) {
      // Where such a request ends is anybody's guess (RFC 9112, section 6.1): nothing behind it can be believed.
      exchange.isLast = true;
      throw new FastQueueError(
        'malformed_request',
        'A request of HTTP/1.0 has no Transfer-Encoding: say Content-Length, or HTTP/1.1. Nothing was written.',
      );
    }
    const gate = this.#gate as Gate;
    gate.checkHost(request);
    const corsHeaders = gate.checkOrigin(request);
    if (corsHeaders.length > 0) exchange.commonHeaders.push(...corsHeaders);
    if (!isOpenPath(exchange.path) && request.method !== 'OPTIONS') {
      gate.checkToken(request);
      if (this.#stop.signal.aborted) throw stopping();
    }
    return routeOf(exchange.path, request.method);
  }

  #fail(exchange: Exchange, error: unknown, route?: Route): void {
    if (error instanceof ClientGone) {
      exchange.cut();
      return;
    }
    if (!(error instanceof FastQueueError)) this.#options.log.failure(error);
    this.#options.metrics.countError(error);
    const isMethod = error instanceof FastQueueError && error.code === 'method_not_allowed';
    exchange.fail(error, {
      dataDirectory: this.#options.dataDirectory.path,
      headers: isMethod && route !== undefined ? ['Allow', allowedMethods(route).join(', ')] : [],
    });
  }

  #note(exchange: Exchange, outcome: { route: Route | undefined; durationMs: number }): void {
    const { request, response } = exchange;
    const method = request.method ?? '';
    const { statusCode: status } = response;
    const { durationMs } = outcome;
    this.#options.metrics.countRequest({ route: outcome.route?.path ?? 'none', method, status, durationMs });
    // Answers whose bytes stand here wait for their reader as long as any other does.
    if ((response.socket?.writableLength ?? 0) > 0) cutWhenStalled(exchange, this.#context);
    const { log } = this.#options;
    if (log.wantsRequests) log.request({ method, path: exchange.path, status, durationMs });
  }

  /** What is no request, or did not come in time. Told again with every piece that follows, and answered once. */
  #refuseRaw(error: NodeJS.ErrnoException, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    if (connection.wasRefused && error.code !== 'ECONNRESET') return;
    connection.wasRefused = true;
    const { response } = connection;
    const isPending = response !== undefined && !isOver(response);
    if (isPending && response.req.complete && error.code !== 'ECONNRESET') {
      // The good requests before it have their answers first: who reads this one first believes that they failed.
      response.once('close', () => {
        this.#answerRaw(error, socket);
      });
      return;
    }
    // One that waits for its turn is told when it comes.
    if (isPending && response.socket === null && error.code !== 'ECONNRESET') connection.refusal = error;
    else if (error.code === 'ECONNRESET' || (isPending && response.headersSent)) socket.destroy();
    else this.#answerRaw(error, socket);
  }

  /** Answers on the bare connection, which ends with it. */
  #answerRaw(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    const refusal = refusalOf(error);
    this.#options.metrics.countError(refusal);
    const { status, headers, body } = problemOf(refusal, {
      instance: '/',
      dataDirectory: this.#options.dataDirectory.path,
    });
    const lines = [`HTTP/1.1 ${status} ${REASONS[status] ?? 'Bad Request'}`];
    for (let at = 0; at < headers.length; at += 2)
      lines.push(`${headers[at] ?? ''}: ${headers[at + 1] ?? ''}`);
    // Whether it was to be an answer to GET is not known.
    lines.push('Cache-Control: no-store', 'Connection: close');
    lines.push(`Content-Length: ${Buffer.byteLength(body)}`, '', body);
    socket.end(lines.join('\r\n'), () => {
      socket.destroy();
    });
  }
}

/** Resolves when the answer before was given. Of a client that sends on meanwhile no more is read than has come. */
async function untilItsTurn(connection: Connection, previous: ServerResponse): Promise<void> {
  connection.aheadCount += 1;
  if (isFarAhead(connection)) connection.socket.pause();
  await new Promise((resolve) => previous.once('close', resolve));
  connection.aheadCount -= 1;
  if (!isFarAhead(connection)) connection.socket.resume();
}

const isFarAhead = ({ aheadCount }: Connection): boolean => aheadCount >= MAX_REQUESTS_AHEAD;

/** Nothing of the answer is still to come, or can. */
const isOver = (response: ServerResponse): boolean => response.writableFinished || response.destroyed;

/** As the codes of node's own errors of a connection. */
const ASKS_FOR_PROXY = 'CONNECT';

const REASONS: Readonly<Record<number, string>> = {
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

function refusalOf(error: NodeJS.ErrnoException): FastQueueError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new FastQueueError(
        'headers_too_large',
        `The headers of a request may have ${MAX_HEADER_BYTES} bytes in all.`,
      );
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new FastQueueError(
        'request_timeout',
        'The request did not come wholly in time. Nothing was written.',
        { sideEffects: 'none' },
      );
    case ASKS_FOR_PROXY:
      return new FastQueueError('malformed_request', 'CONNECT asks for a proxy, and this server is none.');
    case undefined:
    default:
      return new FastQueueError(
        'malformed_request',
        'What came is not a request of HTTP/1.1. Nothing was written.',
        {
          sideEffects: 'none',
        },
      );
  }
}

function answerOptions(exchange: Exchange, route: Route): void {
  const isPreflight =
    exchange.request.headers['access-control-request-method'] !== undefined &&
    exchange.commonHeaders.includes('Access-Control-Allow-Origin');
  exchange.begin(204, ['Allow', allowedMethods(route).join(', '), ...(isPreflight ? PREFLIGHT_HEADERS : [])]);
  exchange.response.end();
}

function isLoopback(address: string): boolean {
  if (isIP(address) === 4) return address.startsWith('127.');
  return address === '::1' || address.startsWith('::ffff:127.');
}
