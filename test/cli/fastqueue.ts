/**
 * Runs the real command, as built, in a data directory of its own: bytes in, bytes and exit status out.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import type { TopicSettings } from '../../src/engine/settings.ts';
import { readTopicFiles } from '../support/log-files.ts';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: Buffer | string;
  readonly env?: Record<string, string>;
}

/** A data directory that exists for one test, and the command working in it. */
export class Sandbox {
  readonly directory: string;
  readonly dataDirectory: string;

  /** @param options.parent where it is made, if not where temporary files are */
  constructor(options: { parent?: string } = {}) {
    this.directory = mkdtempSync(join(options.parent ?? tmpdir(), 'fastqueue-test-'));
    this.dataDirectory = join(this.directory, 'data');
  }

  /** Starts the command; its standard input stays open. */
  start(args: readonly string[], options: RunOptions = {}): ChildProcessWithoutNullStreams {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('FASTQUEUE_'));
    return spawn(process.execPath, [BIN, ...args], {
      env: {
        ...Object.fromEntries(inherited),
        FASTQUEUE_DATA_DIR: this.dataDirectory,
        NO_COLOR: '1',
        TZ: 'UTC',
        ...options.env,
      },
    });
  }

  /** Runs the command to its end. */
  run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const child = this.start(args, options);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    return outcomeOf(child);
  }

  /** Appends batches of records in this process: for tests of what is done with a topic that is there already. */
  async store(
    topic: string,
    batches: readonly (readonly string[])[],
    settings: Partial<TopicSettings> = {},
  ): Promise<void> {
    const data = openDataDirectory(this.dataDirectory, { map: false });
    const opened = await data.openTopic(topic, { mode: 'append', create: settings });
    for (const batch of batches) await opened.append(batch.map((payload) => Buffer.from(payload)));
    await opened.close();
  }

  /** What a topic's files hold, without a command. */
  stored(topic: string): Buffer[] {
    return readTopicFiles(join(this.dataDirectory, topic)).map(({ payload }) => payload);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Resolves when the process has ended and everything it wrote has come. */
export function outcomeOf(child: ChildProcessWithoutNullStreams): Promise<Outcome> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() });
    });
  });
}

/** Resolves when a stream has delivered text that contains `text`; the stream goes on flowing. */
export function seen(stream: NodeJS.ReadableStream, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let collected = '';
    stream.on('data', (chunk: Buffer) => {
      collected += chunk.toString('latin1');
      if (collected.includes(text)) resolve(collected);
    });
    stream.on('end', () => {
      reject(new Error(`ended before ${JSON.stringify(text)} came: ${collected}`));
    });
  });
}

/** Resolves when a process has opened a file whose path ends so. Linux only, as /proc is. */
export async function opened(child: ChildProcessWithoutNullStreams, name: string): Promise<void> {
  const descriptors = `/proc/${child.pid ?? ''}/fd`;
  const isOpen = (): boolean =>
    readdirSync(descriptors).some((descriptor) => {
      try {
        return readlinkSync(join(descriptors, descriptor)).endsWith(name);
      } catch {
        // Closed since it was listed.
        return false;
      }
    });
  while (!isOpen()) await new Promise((resolve) => setImmediate(resolve));
}
