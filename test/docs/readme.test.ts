/**
 * The README is run: every `$ …` line of its console blocks, in order, in one fresh directory, and what stands below
 * each line is what it prints. The library's example is run too, from the built package.
 */
import { expect } from 'chai';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The port of the session over HTTP. */
const PAGE_PORT = '8080';
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

interface Step {
  readonly command: string;
  readonly expected: string;
}

function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1]!,
  );
}

function stepsOf(block: string): Step[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command = '', ...rest] = text.split('\n');
      return { command, expected: rest.join('\n') };
    });
}

/** Times and ids are different on every run. */
const normalise = (text: string): string =>
  text
    .replace(/\d{8}T\d{9}Z-[a-z-]+-[0-9a-f]{8}/g, '<run>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<id>')
    .replace(/\b1\d{12}\b/g, '<ms>')
    .replace(/"uptimeSeconds":\d+/g, '"uptimeSeconds":<s>');

/** A port that is free now, instead of the one that the page names. */
async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return String(port);
}

/** The server of the session, should a step have failed before it was stopped. */
function stopServer(directory: string): void {
  try {
    process.kill(Number(readFileSync(join(directory, 'serve.pid'), 'utf8')));
  } catch {
    // It was stopped, or never started.
  }
}

describe('README', function () {
  // It goes through every file of the machine, however many those are.
  this.timeout(300_000);

  let directory: string;
  let port: string;

  before(async () => {
    port = await freePort();
    directory = mkdtempSync(join(tmpdir(), 'fastqueue-readme-'));
    mkdirSync(join(directory, 'bin'));
    symlinkSync(join(ROOT, 'bin/run.js'), join(directory, 'bin/fastqueue'));
  });

  after(() => {
    stopServer(directory);
    rmSync(directory, { recursive: true, force: true });
  });

  const steps = blocks('console').flatMap(stepsOf);

  it('has a session to run', () => {
    expect(steps.length).to.be.greaterThan(10);
  });

  for (const { command, expected } of steps) {
    it(`prints what it says for: ${command}`, () => {
      const run = spawnSync('bash', ['-c', `exec 2>&1; ${command.replaceAll(PAGE_PORT, port)}`], {
        cwd: directory,
        env: {
          PATH: `${join(directory, 'bin')}:${process.env['PATH'] ?? ''}`,
          HOME: directory,
          FASTQUEUE_DATA_DIR: join(directory, 'data'),
          NO_COLOR: '1',
          COLUMNS: '100',
          TZ: 'UTC',
          ...(command.includes('$next') && !command.includes('next=') ? { next: '4' } : {}),
        },
        encoding: 'utf8',
      });
      expect(normalise(run.stdout.replaceAll(`${directory}/`, '')).trimEnd()).to.equal(
        normalise(expected).trimEnd(),
      );
    });
  }

  it('runs its example of the library', () => {
    const [example] = blocks('ts');
    const packages = join(directory, 'node_modules');
    mkdirSync(packages);
    // A project of its own: no package.json above this directory has a say in what "fastqueue" is.
    writeFileSync(join(directory, 'package.json'), '{"name":"example"}');
    symlinkSync(ROOT, join(packages, 'fastqueue'));
    writeFileSync(join(directory, 'example.mjs'), example!);
    const printed = execFileSync(process.execPath, ['example.mjs'], { cwd: directory, encoding: 'utf8' });
    expect(printed).to.equal('0 one\n1 two\n');
  });
});
