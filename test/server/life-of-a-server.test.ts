/** How a server begins and ends: what it prints, what keeps it from starting. */
import { expect } from 'chai';
import { parseHost, serve, type ServeRequest } from '../../src/cli/serve/serve.ts';
import type { DataDirectoryOptions } from '../../src/engine/index.ts';
import { Sandbox } from '../cli/fastqueue.ts';
import { Server } from './serving.ts';

describe('serve, how it begins and ends', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  it('lets no request wait for the disk on the thread that answers all of them', async () => {
    let given: DataDirectoryOptions | undefined;
    const request = {
      openDataDirectory: (options: DataDirectoryOptions) => {
        given = options;
        throw new Error('No more is looked at.');
      },
    } as unknown as ServeRequest;
    await serve(request).catch(() => undefined);
    expect(given).to.have.property('blockingSync', false);
  });

  it('prints one line on standard output and nothing else, as text or as JSON', async () => {
    const text = await Server.start(sandbox);
    await text.publish('t', 'x');
    const outcome = await text.stop();
    expect(outcome.stdout.toString()).to.equal(`listening on ${text.url}\n`);
    expect(outcome.status).to.equal(0);
    const json = await Server.start(sandbox, ['--json']);
    const line = (await json.stop()).stdout.toString();
    expect(line).to.match(/^\{.*\}\n$/);
    expect(JSON.parse(line)).to.include({ type: 'listening', url: json.url });
  });

  it('begins with an empty data directory, and with none', async () => {
    const server = await Server.start(sandbox);
    expect((await server.get('/topics')).json['topics']).to.deep.equal([]);
    expect((await server.get('/health')).json).to.include({ status: 'ok', dataDir: 'writable' });
    expect((await server.publish('t', 'x')).status).to.equal(201);
    await server.stop();
  });

  it('names the port that is taken, and exits with 1', async () => {
    const first = await Server.start(sandbox);
    const outcome = await sandbox.run(['serve', '--port', String(first.port)]);
    expect(outcome.status).to.equal(1);
    expect(outcome.stderr)
      .to.include(String(first.port))
      .and.to.not.match(/^\s+at /m);
    expect(outcome.stdout.toString()).to.equal('');
    await first.stop();
  });

  for (const flags of [
    ['--port', '65536'],
    ['--port', '-1'],
    ['--port', 'x'],
    ['--max-body', '0'],
    ['--max-body', 'x'],
    ['--host', ''],
    ['--log', 'xml'],
    ['--cors', 'not an origin'],
    ['--cors', '*/'],
    ['extra'],
  ]) {
    it(`refuses "${flags.join(' ')}" with exit 2`, async () => {
      const outcome = await sandbox.run(['serve', ...flags]);
      expect(outcome.status, outcome.stderr).to.equal(2);
      expect(outcome.stderr).to.not.match(/^\s+at /m);
    });
  }

  it('takes an address of IPv6 with or without the brackets that a URL has', () => {
    const taken = ['[::1]', '::1', '[fe80::1%lo]', '127.0.0.1', '[name]'].map(parseHost);
    expect(taken).to.deep.equal(['::1', '::1', 'fe80::1%lo', '127.0.0.1', '[name]']);
  });

  it('exits with 0 on SIGINT, too', async () => {
    const server = await Server.start(sandbox);
    const outcome = await server.stop('SIGINT');
    expect(outcome.status, outcome.stderr).to.equal(0);
  });
});
