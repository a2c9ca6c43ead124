/**
 * The use-case behind `fastqueue serve`: listens until it is asked to stop. Parses no flags.
 */
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import {
  FastQueueError,
  formatDuration,
  fromSystemError,
  SERVE_LOCK_TIMEOUT_MS,
  type DataDirectory,
  type DataDirectoryOptions,
} from '../../engine/index.ts';
import { Metrics } from '../../server/metrics.ts';
import { FastQueueServer, type ServerLog } from '../../server/server.ts';
import { resolveCommandSettings, type SettingInForce } from '../command-settings.ts';
import { usageError } from '../report-error.ts';
import { packageVersion } from '../version.ts';

export interface ServeRequest {
  readonly openDataDirectory: (overrides: DataDirectoryOptions) => DataDirectory;
  readonly host: string;
  readonly port: number;
  readonly isReadOnly: boolean;
  readonly mayCreate: boolean;
  readonly maxBodyBytes: number;
  readonly requestTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** 1: map the indexes of sealed segments into memory. */
  readonly map: number;
  readonly tokenFile: string | undefined;
  readonly allowedOrigins: readonly string[];
  readonly log: ServerLog;
  /** Told once, when it listens. */
  readonly onListening: (address: { url: string; host: string; port: number }) => Promise<void>;
  readonly signal: AbortSignal;
}

type ServeSettingName = 'maxBodyBytes' | 'requestTimeoutMs' | 'lockTimeoutMs' | 'map';

/** The settings in force, and where each came from. @throws FastQueueError `invalid_argument` */
export function serveSettings(
  dataDirectory: DataDirectory,
  flags: Readonly<Partial<Record<'max-body' | 'request-timeout' | 'lock-timeout', number | undefined>>>,
): { values: Record<ServeSettingName, number>; inForce: SettingInForce[] } {
  const { values, inForce } = resolveCommandSettings(dataDirectory, {
    maxBodyBytes: flags['max-body'],
    requestTimeoutMs: flags['request-timeout'],
    lockTimeoutMs: flags['lock-timeout'],
    map: undefined,
  });
  const lock = inForce.find(({ name }) => name === 'lockTimeoutMs');
  if (lock?.source !== 'default') return { values, inForce };
  // A client waits behind the lock: not as long as a command would.
  const shorter = { ...lock, value: SERVE_LOCK_TIMEOUT_MS, text: formatDuration(SERVE_LOCK_TIMEOUT_MS) };
  return {
    values: { ...values, lockTimeoutMs: SERVE_LOCK_TIMEOUT_MS },
    inForce: inForce.map((setting) => (setting === lock ? shorter : setting)),
  };
}

/** @throws FastQueueError `address_unavailable`, `data_directory_not_found`, `invalid_argument` */
export async function serve(request: ServeRequest): Promise<void> {
  const metrics = new Metrics();
  const dataDirectory = request.openDataDirectory({
    lockTimeoutMs: request.lockTimeoutMs,
    map: request.map === 1,
    // Whoever reads is not to wait for the disk of those who write.
    blockingSync: false,
    // No path is in any answer.
    commandSuffix: '',
    onWarning: (sentence) => {
      request.log.warn(sentence);
    },
    onBatch: (topic, batch) => {
      metrics.countBatch(topic, batch);
    },
  });
  const token = request.tokenFile === undefined ? undefined : readToken(request.tokenFile);
  const server = await FastQueueServer.listen({
    ...request,
    dataDirectory,
    metrics,
    token,
    version: packageVersion(),
  });
  await request.onListening({ url: server.url, host: request.host, port: server.port });
  await aborted(request.signal);
  await server.stop();
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}

function readToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fromSystemError(error, 'read the token file', { path });
  }
  const token = text.trim();
  if (!/^\S+$/.test(token)) {
    throw usageError(`${path} should hold one token: a line of characters without spaces.`);
  }
  return token;
}

/** An origin as browsers write it. @throws FastQueueError `invalid_argument` */
export function parseOrigin(text: string): string {
  let origin: string | undefined;
  try {
    ({ origin } = new URL(text));
  } catch {
    origin = undefined;
  }
  if (origin === text && /^https?:/.test(text)) return text;
  throw new FastQueueError(
    'invalid_argument',
    `${JSON.stringify(text)} is not an origin: write scheme, host and port, like https://app.example or http://localhost:3000.`,
  );
}

/**
 * An address or a name; one of IPv6 may stand in brackets, as in a URL.
 *
 * @throws FastQueueError `invalid_argument`: an empty name would mean every address of the machine
 */
export function parseHost(text: string): string {
  const [, bracketed = ''] = /^\[(.*)\]$/.exec(text) ?? [];
  if (isIPv6(bracketed)) return bracketed;
  if (text.trim() !== '') return text;
  throw new FastQueueError(
    'invalid_argument',
    'the host is empty: name the address to listen on, like 127.0.0.1.',
  );
}

export function parsePort(text: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : NaN;
  if (port <= 65_535) return port;
  throw new FastQueueError('invalid_argument', `${JSON.stringify(text)} is not a port: write 0 to 65535.`);
}
