/**
 * Who may ask at all, decided before anything is looked at: the name that was asked (DNS rebinding), where the request
 * comes from (any web page can post text/plain to localhost), and the token. Constant time where it compares secrets.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { FastQueueError } from '../engine/index.ts';
import { MAX_HEADER_COUNT } from './limits.ts';
import { askedHost } from './request-target.ts';

export interface GateOptions {
  /** What the server was told to bind to, and what it is bound to. */
  readonly boundNames: readonly string[];
  readonly isLoopback: boolean;
  /** Origins whose pages may ask: `https://app.example`. */
  readonly allowedOrigins: readonly string[];
  /** Undefined: no token is needed. */
  readonly token: string | undefined;
}

/** Headers of which a request has one, and Node would keep the first without a word. */
const SINGLE_HEADERS = new Set(['host', 'authorization', 'content-type', 'user-agent', 'referer', 'from']);
const SINGLE_HEADER_LENGTHS = new Set([...SINGLE_HEADERS].map((name) => name.length));

/** Values of Host that were let in before; a client repeats the same one. */
const MAX_REMEMBERED_HOSTS = 64;

const LOCALHOST = 'localhost';

export const CORS_METHODS = 'GET, HEAD, POST, PUT, DELETE';
const CORS_REQUEST_HEADERS =
  'Authorization, Content-Type, FastQueue-Expected-Offset, If-None-Match, Last-Event-ID';
const CORS_ANSWER_HEADERS =
  'ETag, FastQueue-End-Offset, FastQueue-Next-Offset, FastQueue-Offset, FastQueue-Start-Offset, FastQueue-Stopped-At, FastQueue-Timestamp, Link, Location, Retry-After';
const PREFLIGHT_MAX_AGE_SECONDS = '600';

export class Gate {
  readonly #options: GateOptions;
  readonly #names: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  readonly #knownHosts = new Set<string>();
  readonly #tokenDigest: Buffer | undefined;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#names = new Set([LOCALHOST, ...options.boundNames.map((name) => name.toLowerCase())]);
    this.#origins = new Set(options.allowedOrigins);
    this.#tokenDigest = options.token === undefined ? undefined : digestOf(options.token);
  }

  /**
   * @throws FastQueueError `headers_too_large` for too many of them, `malformed_request` for one that came twice,
   *   `forbidden` for a name that is not ours
   */
  checkHost(request: IncomingMessage): void {
    refuseTooMany(request.rawHeaders);
    refuseDuplicates(request.rawHeaders);
    if (request.headers.host === undefined && request.httpVersion !== '1.0') {
      throw new FastQueueError(
        'malformed_request',
        'A request of HTTP/1.1 names its Host. Nothing was written.',
      );
    }
    const host = askedHost(request);
    if (!this.#options.isLoopback || (host !== undefined && this.#knownHosts.has(host))) return;
    if (host === undefined || !this.#names.has(nameOf(host))) {
      throw new FastQueueError(
        'forbidden',
        `This server is bound to loopback and answers to ${[...this.#names].join(', ')}, not to the host that this request names.`,
      );
    }
    if (this.#knownHosts.size < MAX_REMEMBERED_HOSTS) this.#knownHosts.add(host);
  }

  /**
   * The headers that let the page that asked read the answer; none where no page asked.
   *
   * @throws FastQueueError `forbidden`
   */
  checkOrigin(request: IncomingMessage): readonly string[] {
    const { origin } = request.headers;
    if (origin === undefined) {
      if (comesFromAnotherSite(request)) throw foreignPage();
      return this.#origins.size === 0 ? [] : ['Vary', 'Origin'];
    }
    if (this.#origins.has(origin)) {
      return [
        'Access-Control-Allow-Origin',
        origin,
        'Access-Control-Expose-Headers',
        CORS_ANSWER_HEADERS,
        'Vary',
        'Origin',
      ];
    }
    if (origin === `http://${askedHost(request) ?? ''}`) return [];
    throw foreignPage();
  }

  /** @throws FastQueueError `unauthorized` */
  checkToken(request: IncomingMessage): void {
    if (this.#tokenDigest === undefined) return;
    const [, token] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
    if (token === undefined || !timingSafeEqual(digestOf(token), this.#tokenDigest)) {
      throw new FastQueueError(
        'unauthorized',
        'This server wants "Authorization: Bearer" with the token that it was given.',
      );
    }
  }
}

/** What a browser asks before it lets a page send the real request. */
export const PREFLIGHT_HEADERS: readonly string[] = [
  'Access-Control-Allow-Methods',
  CORS_METHODS,
  'Access-Control-Allow-Headers',
  CORS_REQUEST_HEADERS,
  'Access-Control-Max-Age',
  PREFLIGHT_MAX_AGE_SECONDS,
];

/** Digests have one length, whatever was sent, so comparing them takes one time. */
const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest();

/** `[::1]:8080` → `::1` */
function nameOf(host: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  return (bracketed ?? plain ?? '').toLowerCase();
}

/** Node keeps one more than there may be and drops the rest without a word: lengths, conditions and origins among them. */
function refuseTooMany(rawHeaders: readonly string[]): void {
  if (rawHeaders.length <= 2 * MAX_HEADER_COUNT) return;
  throw new FastQueueError(
    'headers_too_large',
    `A request may have ${MAX_HEADER_COUNT} headers. Nothing was written.`,
  );
}

function refuseDuplicates(rawHeaders: readonly string[]): void {
  let seen: Set<string> | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const raw = rawHeaders[at] as string;
    if (!SINGLE_HEADER_LENGTHS.has(raw.length)) continue;
    const name = raw.toLowerCase();
    if (!SINGLE_HEADERS.has(name)) continue;
    seen ??= new Set();
    if (seen.has(name)) {
      throw new FastQueueError('malformed_request', `The header ${raw} came twice; a request has one of it.`);
    }
    seen.add(name);
  }
}

/** One that came twice stands as a list: then each of them counts. */
const comesFromAnotherSite = ({ headers }: IncomingMessage): boolean =>
  String(headers['sec-fetch-site']).includes('cross-site');

function foreignPage(): FastQueueError {
  return new FastQueueError(
    'forbidden',
    'A web page of another origin asked. Start the server with --cors and its origin to let it in.',
  );
}
