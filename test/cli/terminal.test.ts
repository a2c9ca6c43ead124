/**
 * Commands in a terminal of a given width, which python3 makes (a pseudo-terminal): what is printed fits,
 * and Ctrl-C leaves nothing behind.
 */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { cpSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sandbox } from './fastqueue.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const IN_TERMINAL = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 40, int(sys.argv[1]), 0, 0))
    os.execvp(sys.argv[2], sys.argv[2:])
awaited = os.fsencode(os.environ.get('CTRL_C_AT', ''))
if 'TYPED' in os.environ: os.write(fd, os.fsencode(os.environ['TYPED']) + b'\\x04')
while True:
    try: data = os.read(fd, 65536)
    except OSError: break
    if not data: break
    sys.stdout.buffer.write(data)
    if awaited and awaited in data:
        awaited = b''
        os.write(fd, b'\\x03')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

function runIn(columns: number, args: readonly string[], env: Record<string, string> = {}): string {
  return endOf(columns, args, env).output;
}

function endOf(
  columns: number,
  args: readonly string[],
  env: Record<string, string>,
): { output: string; status: number | null } {
  return endOfProgram(columns, [process.execPath, 'bin/run.js', ...args], env);
}

function endOfProgram(
  columns: number,
  program: readonly string[],
  env: Record<string, string>,
): { output: string; status: number | null } {
  const command = [String(columns), ...program];
  const run = spawnSync('python3', ['-c', IN_TERMINAL, ...command], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm', ...env },
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect(run.stderr).to.equal('');
  return { output: run.stdout.replaceAll('\r\n', '\n'), status: run.status };
}

const verifyIn = (columns: number, damage: string, env: Record<string, string> = {}): string =>
  runIn(columns, ['verify', '-d', `fixtures/${damage}/data`], env);

/** The corpus itself is left as it is. */
function copyOf(damage: string): Sandbox {
  const sandbox = new Sandbox();
  cpSync(join(ROOT, 'fixtures', damage, 'data'), sandbox.dataDirectory, { recursive: true });
  return sandbox;
}

/** A command to be copied is never broken, however long it is. */
const COMMAND_LINE = /^ *(next: |to undo: |nothing was changed; [a-z ]+: |")?fastqueue [a-z]/;

/** Lines that do not fit, though they are neither a command nor a single word. */
const tooWide = (text: string, columns: number): string[] =>
  text
    .split('\n')
    .filter((line) => line.length > columns && !COMMAND_LINE.test(line) && line.trim().includes(' '));

describe('verify in a terminal', () => {
  for (const damage of ['tail-missing', 'mark-damaged', 'torn-tail']) {
    it(`prints no line that is wider than 100 columns for ${damage}`, () => {
      const lines = verifyIn(100, damage, { NO_COLOR: '1' }).split('\n');
      expect(lines.length).to.be.greaterThan(5);
      expect(lines.filter((line) => line.length > 100)).to.deep.equal([]);
    });
  }

  it('colours what it finds, but not with NO_COLOR or on a dumb terminal', () => {
    expect(verifyIn(100, 'tail-missing')).to.include('\u001b[31merror');
    expect(verifyIn(100, 'tail-missing', { NO_COLOR: '1' })).not.to.include('\u001b');
    expect(verifyIn(100, 'tail-missing', { TERM: 'dumb' })).not.to.include('\u001b');
  });
});

describe('produce in a terminal', () => {
  it('reads the terminal that is named, whatever standard input is', () => {
    const sandbox = new Sandbox();
    const command = `printf 'piped\\n' | '${process.execPath}' bin/run.js produce t - /dev/tty`;
    const { output, status } = endOfProgram(80, ['sh', '-c', command], {
      FASTQUEUE_DATA_DIR: sandbox.dataDirectory,
      TYPED: 'typed\n',
    });
    expect(output).to.include('produced 2 records to t');
    expect(status).to.equal(0);
    expect(sandbox.stored('t').map(String)).to.deep.equal(['piped', 'typed']);
    sandbox.remove();
  });
});

describe('other commands in a terminal', () => {
  const SCENES: readonly (readonly [args: readonly string[], damage: string, columns: number])[] = [
    [['recover', '--dry-run'], 'tail-missing', 72],
    // What compact says is short.
    [['compact', '--dry-run'], 'segment-emptied', 30],
    [['produce', 'orders'], 'mark-damaged', 72],
  ];
  for (const [args, damage, columns] of SCENES) {
    it(`breaks what it prints between words, and no command to be copied: ${args.join(' ')} of ${damage}`, () => {
      const sandbox = copyOf(damage);
      try {
        const printed = runIn(columns, [...args, '-d', sandbox.dataDirectory]);
        expect(printed).to.match(/fastqueue [a-z]+ orders .*-d \S/);
        expect(tooWide(printed, columns)).to.deep.equal([]);
      } finally {
        sandbox.remove();
      }
    });
  }

  it('breaks what recover did and what --list-runs lists between words', () => {
    const sandbox = copyOf('two-holes-no-index');
    try {
      const env = { FASTQUEUE_DATA_DIR: sandbox.dataDirectory };
      const recovered = runIn(60, ['recover'], env);
      expect(recovered).to.match(/^ {2}to undo: fastqueue recover orders --undo \S+$/m);
      expect(tooWide(recovered, 60)).to.deep.equal([]);
      const runs = runIn(60, ['recover', '--list-runs'], env);
      expect(runs).to.include('RUN ').and.include('-recover-');
      expect(tooWide(runs, 60)).to.deep.equal([]);
    } finally {
      sandbox.remove();
    }
  });

  it('breaks nothing where the terminal does not say how wide it is', () => {
    expect(verifyIn(0, 'tail-missing')).to.equal(verifyIn(1000, 'tail-missing'));
  });

  it('end at once on Ctrl-C, in the middle of a store of many gigabytes, and take their line away', () => {
    const sandbox = new Sandbox();
    try {
      cpSync(join(ROOT, 'fixtures/healthy/data'), sandbox.dataDirectory, { recursive: true });
      truncateSync(join(sandbox.dataDirectory, 'orders', '00000000000000000000.store'), 16 * 2 ** 30);
      const args = ['verify', '-d', sandbox.dataDirectory];
      const { output, status } = endOf(100, args, { CTRL_C_AT: 'verifying ' });
      // What python makes of a command that SIGINT ended; a shell says 130.
      expect(status).to.equal(256 - 2);
      // The line is gone, and nothing follows: to column 1, and erased from there. Marks around a drawing show nothing.
      const shown = output.replaceAll('\u001b[?2026h', '').replaceAll('\u001b[?2026l', '');
      expect(shown.slice(shown.indexOf('^C')), JSON.stringify(output)).to.match(/^\^C/);
      expect(shown.endsWith('\u001b[1G\u001b[0K'), JSON.stringify(output)).to.equal(true);
    } finally {
      sandbox.remove();
    }
  });
});
