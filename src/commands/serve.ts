/**
 * `fastqueue serve`: the same engine over HTTP.
 */
import { boolean, option, string } from '@oclif/core/flags';
import { BaseCommand } from '../cli/base-command.ts';
import { settingFlag } from '../cli/command-settings.ts';
import { valueFlag } from '../cli/flags.ts';
import { ServeLog } from '../cli/serve/serve-log.ts';
import { parseHost, parseOrigin, parsePort, serve, serveSettings } from '../cli/serve/serve.ts';
import { listenForStop } from '../cli/stop-signal.ts';
import { settingsTable } from '../cli/views/settings-view.ts';
import { SERVE_LOCK_TIMEOUT_MS } from '../engine/index.ts';

export default class Serve extends BaseCommand {
  static override summary = 'Serve the topics over HTTP, until it is asked to stop.';
  static override description =
    'Other commands may work on the same data directory at the same time. GET /openapi.json describes what it answers. ' +
    'SIGTERM, SIGINT or SIGHUP: no new requests, what is in flight finishes (10 s), everything is synced, exit 0.';
  static override examples = [
    '<%= config.bin %> serve',
    '$ curl -d hello http://127.0.0.1:8080/topics/greetings/messages',
    '$ curl http://127.0.0.1:8080/topics/greetings/messages',
  ];
  static override flags = {
    host: valueFlag('host', parseHost, {
      summary: 'Address to listen on (127.0.0.1).',
      valueName: 'HOST',
    }),
    port: valueFlag('port', parsePort, {
      summary: 'Port to listen on (8080); 0 takes any that is free.',
      valueName: 'PORT',
    }),
    'read-only': boolean({ summary: 'Answer what only reads; refuse the rest.' }),
    'no-create': boolean({ summary: 'Posting to a topic that there is not is refused.' }),
    'lock-timeout': settingFlag('lockTimeoutMs', SERVE_LOCK_TIMEOUT_MS),
    'max-body': settingFlag('maxBodyBytes'),
    'request-timeout': settingFlag('requestTimeoutMs'),
    'token-file': string({ helpValue: 'FILE', summary: 'Want the token in this file from every client.' }),
    cors: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'ORIGIN',
      summary: 'Let pages of this origin ask, like https://app.example.',
    }),
    log: option({
      options: ['text', 'json'] as const,
      default: 'text' as const,
      summary: 'How to write what happens to stderr; with --verbose, every request.',
    })(),
    'print-config': boolean({ summary: 'Print the settings in force and where each came from.' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Serve);
    const { values, inForce } = serveSettings(this.openDataDirectory(flags), flags);
    if (flags['print-config'])
      return this.print(flags.json ? { type: 'config', settings: inForce } : settingsTable(inForce));
    const log = new ServeLog({ format: flags.log, wantsRequests: flags.verbose });
    await serve({
      ...values,
      openDataDirectory: (overrides) => this.openDataDirectory(flags, { overrides }),
      host: flags.host ?? '127.0.0.1',
      port: flags.port ?? 8080,
      isReadOnly: flags['read-only'],
      mayCreate: !flags['no-create'],
      tokenFile: flags['token-file'],
      allowedOrigins: (flags.cors ?? []).map(parseOrigin),
      log,
      onListening: ({ url, host, port }) =>
        this.print(
          flags.json ? { type: 'listening', url, host, port, pid: process.pid } : `listening on ${url}`,
        ),
      signal: listenForStop(),
    });
  }
}
