/**
 * verify in a terminal of a given width, which python3 makes (a pseudo-terminal): what is printed fits.
 */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const IN_TERMINAL = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 40, int(sys.argv[1]), 0, 0))
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    try: data = os.read(fd, 65536)
    except OSError: break
    if not data: break
    sys.stdout.buffer.write(data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

function verifyIn(columns: number, damage: string, env: Record<string, string> = {}): string {
  const args = ['bin/run.js', 'verify', '-d', `fixtures/${damage}/data`];
  const run = spawnSync('python3', ['-c', IN_TERMINAL, String(columns), process.execPath, ...args], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm', ...env },
    encoding: 'utf8',
  });
  expect(run.stderr).to.equal('');
  return run.stdout.replaceAll('\r\n', '\n');
}

describe('verify in a terminal', function () {
  this.timeout(20_000);

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
