/**
 * The real `fastqueue serve` on a port of its own, and what a client needs to hold it to its promises: requests that
 * keep every byte, an event stream read event by event, and plain sockets for what no client would send.
 */
import { request as httpRequest, Agent, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { expect } from 'chai';
import { expectDescribed } from './described.ts';
import { outcomeOf, Sandbox, seen, type Outcome, type RunOptions } from '../cli/fastqueue.ts';

export type Json = Record<string, unknown>;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly json: Json;
}

export interface RequestOptions {
  readonly headers?: Record<string, string | string[]>;
  readonly body?: Buffer | string;
}

/** A test that fails before it has stopped its server must not keep the run from ending, nor leave the server behind. */
const running = new Set<ChildProcessWithoutNullStreams>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

interface RunningServer {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Outcome>;
  readonly port: number;
}

/** As /proc/net/tcp has them: established, and ended by the other side only. */
const STATES_HELD = '01|08';

export class Server {
  readonly #agent = new Agent({ keepAlive: true });
  #running: RunningServer | undefined;

  /** Resolves when the server says that it listens. */
  static async start(
    sandbox: Sandbox,
    flags: readonly string[] = [],
    options: RunOptions = {},
  ): Promise<Server> {
    const server = new Server();
    await server.#start(sandbox, flags, options);
    return server;
  }

  /**
   * One server for all tests of the `describe` that this is called in, on a data directory of its own. It starts before
   * every hook that is named after it, and has to exit with 0.
   *
   * @param options.prepare run before the server starts
   */
  static forAll(
    flags: readonly string[] = [],
    options: { prepare?: (sandbox: Sandbox) => Promise<unknown> } = {},
  ): { sandbox: Sandbox; server: Server } {
    const sandbox = new Sandbox();
    const server = new Server();
    before(async () => {
      await options.prepare?.(sandbox);
      await server.#start(sandbox, flags, {});
    });
    after(async () => {
      const outcome = await server.stop();
      sandbox.remove();
      expect(outcome.status, outcome.stderr).to.equal(0);
      expect(outcome.stderr, 'warnings of the process').to.not.match(/^\(node:\d+\)/m);
    });
    return { sandbox, server };
  }

  async #start(sandbox: Sandbox, flags: readonly string[], options: RunOptions): Promise<void> {
    const child = sandbox.start(['serve', '--port', '0', ...flags], options);
    const ended = outcomeOf(child);
    running.add(child);
    void ended.then(() => running.delete(child));
    child.unref();
    for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as Socket).unref();
    const line = await Promise.race([
      seen(child.stdout, '\n').catch(() => undefined),
      ended.then(() => undefined),
    ]);
    const port = line === undefined ? undefined : /http:\/\/[^/"]*:(\d+)/.exec(line)?.[1];
    if (port === undefined) throw new Error(`serve did not listen: ${(await ended).stderr}`);
    this.#running = { child, ended, port: Number(port) };
  }

  get #process(): RunningServer {
    if (this.#running === undefined) throw new Error('the server was not started yet');
    return this.#running;
  }

  get port(): number {
    return this.#process.port;
  }

  get child(): ChildProcessWithoutNullStreams {
    return this.#process.child;
  }

  /** Resolves when the process has ended. */
  get ended(): Promise<Outcome> {
    return this.#process.ended;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Any answer, whatever its status. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const answer = await this.open(method, path, options);
    const body = await bytesOf(answer);
    const { statusCode, headers } = answer;
    const status = statusCode as number;
    expectDescribed({ method, target: path }, { status, headers, body });
    return {
      status,
      headers,
      body,
      get json() {
        return JSON.parse(body.toString()) as Json;
      },
    };
  }

  /** Resolves with the answer's head; its body is the caller's to read or to destroy. */
  open(
    method: string,
    path: string,
    { headers, body }: RequestOptions = {},
    agent = this.#agent,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { host: '127.0.0.1', port: this.port, method, path, headers: headers ?? {}, agent },
        resolve,
      );
      request.on('error', reject);
      request.end(body);
    });
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('GET', path, { headers });
  }

  /** Publishes to a topic; a body without a type is one record. */
  publish(topic: string, body: Buffer | string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('POST', `/topics/${topic}/messages`, { body, headers });
  }

  /** Publishes one record a line. */
  publishLines(topic: string, lines: Buffer | string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.publish(topic, lines, { 'content-type': 'application/x-ndjson', ...headers });
  }

  /** A connection with nothing sent on it yet. */
  connect(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => {
        socket.off('error', reject);
        // What a server does to a hostile connection is seen by its end, not by its error.
        socket.on('error', () => undefined);
        resolve(socket);
      });
      socket.once('error', reject);
    });
  }

  /**
   * Sends bytes on a connection of their own and gives back all that came until the server closed it.
   *
   * @param options.halfClose says behind the bytes that no more will come, as `nc -N` does
   */
  async exchange(bytes: Buffer | string, options: { halfClose?: boolean } = {}): Promise<RawAnswer[]> {
    const socket = await this.connect();
    const closed = untilClosed(socket);
    if (options.halfClose === true) socket.end(bytes);
    else socket.write(bytes);
    return parseAnswers(await closed);
  }

  /** Resident bytes now, and the most there ever were. */
  memory(): { residentBytes: number; peakBytes: number } {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    const bytesOfField = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
    return { residentBytes: bytesOfField('VmRSS'), peakBytes: bytesOfField('VmHWM') };
  }

  /** Whether the server has not closed its side of the connection, as the kernel lists it. */
  holds(socket: Socket): boolean {
    const [own, other] = [this.port, socket.localPort as number].map(
      (port) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`,
    );
    const line = new RegExp(`${own} ${other} (${STATES_HELD})`);
    return line.test(readFileSync('/proc/net/tcp', 'latin1'));
  }

  /** How many descriptors it has open. */
  descriptorCount(): number {
    return readdirSync(`/proc/${this.child.pid}/fd`).length;
  }

  /** Asks it to stop, and waits until it has. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Outcome> {
    this.child.kill(signal);
    const outcome = await this.ended;
    this.#agent.destroy();
    return outcome;
  }
}

export function bytesOf(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('end', () => {
      resolve(Buffer.concat(chunks));
    });
    answer.on('error', reject);
  });
}

/** Everything that comes on a socket until it is closed. */
export function untilClosed(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    socket.on('close', () => {
      resolve(Buffer.concat(chunks));
    });
  });
}

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Answers as they stand one after the other on a connection. @throws Error where the bytes are no answers */
export function parseAnswers(bytes: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let at = 0; at < bytes.length;) {
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (headEnd === -1)
      throw new Error(`an answer without an end of its head: ${bytes.toString('latin1', at)}`);
    const [statusLine, ...lines] = bytes.toString('latin1', at, headEnd).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(`${statusLine ?? ''} `)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no status line: ${statusLine ?? ''}`);
    const headers = new Map(
      lines.map((line): [string, string] => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const bodyStart = headEnd + 4;
    if (headers.get('transfer-encoding') === 'chunked') {
      const { body, end } = readChunks(bytes, bodyStart);
      answers.push({ status, headers, body });
      at = end;
    } else {
      const hasBody = status >= 200 && status !== 204 && status !== 304;
      const end =
        bodyStart + (hasBody ? Number(headers.get('content-length') ?? bytes.length - bodyStart) : 0);
      answers.push({ status, headers, body: bytes.subarray(bodyStart, end) });
      at = end;
    }
  }
  return answers;
}

function readChunks(bytes: Buffer, start: number): { body: Buffer; end: number } {
  const chunks: Buffer[] = [];
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return { body: Buffer.concat(chunks), end: bytes.length };
    const size = parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) throw new Error(`no chunk size: ${bytes.toString('latin1', at, lineEnd)}`);
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
    if (size === 0) return { body: Buffer.concat(chunks), end: at };
  }
}

export interface StreamEvent {
  readonly event: string | undefined;
  readonly id: string | undefined;
  readonly data: Json;
}

/** A `text/event-stream` answer, event by event as the specification of server-sent events reads it. */
export class EventStream {
  readonly answer: IncomingMessage;
  readonly comments: string[] = [];
  readonly #events: StreamEvent[] = [];
  #buffered = '';
  #isEnded = false;
  #wake: () => void = () => undefined;

  static async open(
    server: Server,
    path: string,
    headers: Record<string, string> = {},
  ): Promise<EventStream> {
    const answer = await server.open(
      'GET',
      path,
      { headers: { accept: 'text/event-stream', ...headers } },
      new Agent(),
    );
    return new EventStream(answer);
  }

  private constructor(answer: IncomingMessage) {
    this.answer = answer;
    answer.setEncoding('utf8');
    answer.on('data', (text: string) => {
      this.#take(text);
    });
    const end = (): void => {
      this.#isEnded = true;
      this.#wake();
    };
    answer.on('close', end);
    answer.on('error', end);
  }

  /** The next event; undefined when the stream has ended. */
  async next(): Promise<StreamEvent | undefined> {
    while (this.#events.length === 0 && !this.#isEnded) await this.#change();
    return this.#events.shift();
  }

  async take(count: number): Promise<StreamEvent[]> {
    const events: StreamEvent[] = [];
    while (events.length < count) {
      const event = await this.next();
      if (event === undefined) break;
      events.push(event);
    }
    return events;
  }

  /** Resolves when something has come, or the stream has ended. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async nextComment(): Promise<string | undefined> {
    while (this.comments.length === 0 && !this.#isEnded) await this.#change();
    return this.comments.shift();
  }

  close(): void {
    this.answer.destroy();
  }

  #take(text: string): void {
    this.#buffered += text;
    for (let end = this.#buffered.indexOf('\n\n'); end !== -1; end = this.#buffered.indexOf('\n\n')) {
      this.#takeBlock(this.#buffered.slice(0, end));
      this.#buffered = this.#buffered.slice(end + 2);
    }
    this.#wake();
  }

  #takeBlock(block: string): void {
    const fields = new Map<string, string[]>();
    for (const line of block.split('\n')) {
      if (line.startsWith(':')) {
        this.comments.push(line.slice(1).trim());
        continue;
      }
      const [, name, value] = /^([^:]+)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (name !== undefined) fields.set(name, [...(fields.get(name) ?? []), value ?? '']);
    }
    const data = fields.get('data');
    if (data === undefined) return;
    this.#events.push({
      event: fields.get('event')?.at(-1),
      id: fields.get('id')?.at(-1),
      data: JSON.parse(data.join('\n')) as Json,
    });
  }
}
