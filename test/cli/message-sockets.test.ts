/** Standard output that is a socket of messages, which python3 makes: process.stdout drops what goes there. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { Sandbox } from './fastqueue.ts';

/** Runs a command with such a socket as its output; a reader that reads at once gives what came on, message by message. */
const TO_SOCKET = `
import json, socket, subprocess, sys, threading
kind, reader, command = sys.argv[1], sys.argv[2], sys.argv[3:]
ours, theirs = socket.socketpair(socket.AF_UNIX, getattr(socket, kind))
theirs.setblocking(reader == 'reads')
messages = []
def read():
    ours.settimeout(1)
    try:
        while True:
            message = ours.recv(1 << 20)
            if kind == 'SOCK_SEQPACKET' and not message: break
            messages.append(message.decode())
    except OSError: pass
run = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE)
thread = threading.Thread(target=read)
if reader == 'reads': thread.start()
errors = run.stderr.read().decode()
status = run.wait()
theirs.close()
if reader == 'reads': thread.join()
print(json.dumps({'status': status, 'messages': messages, 'errors': errors}))
`;

describe('consume to a socket of messages', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  function consumeTo(
    kind: string,
    reader: 'reads' | 'waits',
    ...flags: string[]
  ): { status: number; messages: string[]; errors: string } {
    const command = [process.execPath, 'bin/run.js', 'consume', 't', '-d', sandbox.dataDirectory, ...flags];
    const { stdout, stderr } = spawnSync('python3', ['-c', TO_SOCKET, kind, reader, ...command], {
      encoding: 'utf8',
    });
    expect(stderr).to.equal('');
    return JSON.parse(stdout) as ReturnType<typeof consumeTo>;
  }

  for (const kind of ['SOCK_DGRAM', 'SOCK_SEQPACKET']) {
    it(`gives every byte to who reads: ${kind}`, async () => {
      const lines = Array.from({ length: 2000 }, (_, number) => `record ${number}`);
      await sandbox.store('t', [lines]);
      const { status, messages, errors } = consumeTo(kind, 'reads');
      expect({ status, errors }).to.deep.equal({ status: 0, errors: '' });
      expect(messages.join('')).to.equal(`${lines.join('\n')}\n`);
    });

    it(`says so where there is no room, and moves no group past what nobody got: ${kind}`, async () => {
      await sandbox.store('t', [Array.from({ length: 3000 }, () => 'x'.repeat(999))]);
      const { status, errors } = consumeTo(kind, 'waits', '-g', 'g', '-f', '%s\\n');
      expect(status).to.equal(1);
      expect(errors).to.match(/^error: Could not write to standard output/);
      const rest = await sandbox.run(['consume', 't', '-g', 'g']);
      expect(rest.stdout.length).to.be.greaterThan(2000 * 1000);
    });

    it(`sends nothing where there is nothing: ${kind}`, async () => {
      await sandbox.store('t', [['', '', '']]);
      expect(consumeTo(kind, 'reads', '-D', '')).to.deep.equal({ status: 0, messages: [], errors: '' });
    });
  }

  it('is no failure on a full device where there is nothing to write', async () => {
    await sandbox.store('t', [['', '', '']]);
    const command = `'${process.execPath}' bin/run.js consume t -D '' -d '${sandbox.dataDirectory}' > /dev/full`;
    expect(spawnSync('/bin/sh', ['-c', command]).status).to.equal(0);
  });
});
