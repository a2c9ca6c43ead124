/**
 * What the first line of a request asks for: a path, or from a client that takes the server for a proxy a whole address,
 * whose authority then counts and Host does not (RFC 9112, section 3.2.2).
 */
import type { IncomingMessage } from 'node:http';

const WHOLE_ADDRESS = /^https?:\/\/([^/?#]*)(.*)$/is;

/** Path and query, whichever form the target has. */
export function withoutAuthority(target: string): string {
  if (target.startsWith('/')) return target;
  return WHOLE_ADDRESS.exec(target)?.[2]?.replace(/^(?!\/)/, '/') ?? target;
}

/** Who was asked, as a Host header says it; undefined where the request names nobody. */
export function askedHost({ url = '/', headers }: IncomingMessage): string | undefined {
  if (url.startsWith('/')) return headers.host;
  return WHOLE_ADDRESS.exec(url)?.[1] ?? headers.host;
}
