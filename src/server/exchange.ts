/**
 * One request and its answer. Every answer goes through here, so that what each of them carries is decided once:
 * lengths, what caches may do with it, the connection's end while the server stops, the headers that let another origin
 * read it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { JSON_MEDIA_TYPE } from './media-types.ts';
import { problemOf, type Problem } from './problem.ts';
import { withoutAuthority } from './request-target.ts';

/** The client went away before its answer: nobody is told. */
export class ClientGone extends Error {}

/**
 * Ends a connection so that an answer which is not whole does not look whole: to a client of HTTP/1.0 the end of the
 * connection is the end of the answer, and only a reset is none.
 */
export function cut(socket: Socket, response: ServerResponse | undefined): void {
  const isHalf = response?.headersSent === true && !response.writableFinished;
  if (isHalf && response.req.httpVersion === '1.0') socket.resetAndDestroy();
  else socket.destroy();
}

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Without the query, as it came. */
  readonly path: string;
  /** What follows the question mark; undefined where there is none. */
  readonly search: string | undefined;
  readonly isHead: boolean;
  /** Headers that the answer gets whatever it is, names and values in turn. */
  readonly commonHeaders: string[] = [];
  /** The client waits for `100 Continue` before it sends the body. */
  awaitsContinue = false;
  /** The connection ends with this answer. So does every connection once the server stops. */
  isLast = false;
  /** The answer is the same until the server is another: caches may do with it what they like. */
  isLasting = false;
  /** Other methods have answers that no cache keeps. */
  readonly #isRead: boolean;
  readonly #stopping: AbortSignal;

  constructor(request: IncomingMessage, response: ServerResponse, stopping: AbortSignal) {
    this.request = request;
    this.response = response;
    this.#stopping = stopping;
    this.isHead = request.method === 'HEAD';
    this.#isRead = this.isHead || request.method === 'GET';
    const url = withoutAuthority(request.url ?? '/');
    const question = url.indexOf('?');
    this.path = question === -1 ? url : url.slice(0, question);
    this.search = question === -1 ? undefined : url.slice(question + 1);
  }

  /** True once the client has gone away or the answer was cut. */
  get isClosed(): boolean {
    return this.response.destroyed || this.request.socket.destroyed;
  }

  /** A whole answer. */
  send(status: number, headers: readonly string[], body: Buffer | string): void {
    const byteCount = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    this.begin(status, [...headers, 'Content-Length', String(byteCount)]);
    if (this.isHead) this.response.end();
    else if (typeof body === 'string' && byteCount === body.length) this.#endWith(body);
    else this.response.end(body);
  }

  /**
   * Head and body leave as one string, in one call: node would send two pieces, the second of them empty. Only ASCII, a
   * byte for each character.
   */
  #endWith(body: string): void {
    const { response } = this;
    response.socket?.cork();
    response.write(body, 'latin1');
    response.socket?.uncork();
    response.end();
  }

  sendJson(status: number, document: object, headers: readonly string[] = []): void {
    this.send(status, ['Content-Type', JSON_MEDIA_TYPE, ...headers], `${JSON.stringify(document)}\n`);
  }

  /** Status and headers; the body follows by `response.write`. */
  begin(status: number, headers: readonly string[]): void {
    if (this.#isRead && !this.isLasting) {
      // Of what may have changed a moment later, a cache gives out nothing by itself; with a tag it may ask again.
      this.commonHeaders.push('Cache-Control', headers.includes('ETag') ? 'no-cache' : 'no-store');
    }
    if (this.isLast || this.#stopping.aborted) this.commonHeaders.push('Connection', 'close');
    this.response.writeHead(
      status,
      this.commonHeaders.length === 0 ? (headers as string[]) : [...headers, ...this.commonHeaders],
    );
  }

  /** Ends the connection, and an answer that has begun with it. */
  cut(): void {
    cut(this.request.socket, this.response);
  }

  /**
   * Answers with what went wrong. Where the answer has begun already it is cut, which the client can see.
   *
   * @returns the problem, or undefined where nobody could be told
   */
  fail(error: unknown, context: { dataDirectory: string; headers?: readonly string[] }): Problem | undefined {
    if (this.response.headersSent) {
      this.cut();
      return undefined;
    }
    const problem = problemOf(error, {
      instance: this.search === undefined ? this.path : `${this.path}?${this.search}`,
      dataDirectory: context.dataDirectory,
    });
    this.send(problem.status, [...problem.headers, ...(context.headers ?? [])], problem.body);
    return problem;
  }
}
