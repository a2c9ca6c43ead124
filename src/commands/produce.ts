/**
 * `fastqueue produce`: standard input or files in, durable records out.
 */
import { string as argument } from '@oclif/core/args';
import { boolean, option } from '@oclif/core/flags';
import { BaseCommand } from '../cli/base-command.ts';
import { resolveCommandSettings, settingFlag } from '../cli/command-settings.ts';
import { NEWLINE_DELIMITER, NUL_DELIMITER, parseDelimiter } from '../cli/delimiter.ts';
import { countFlag, lockTimeoutFlag, NUL_CHAR, valueFlag } from '../cli/flags.ts';
import { stdout } from '../cli/output.ts';
import { acknowledger, refuseContradictions, reportProduce } from '../cli/produce/report-produce.ts';
import { produce } from '../cli/produce/produce.ts';
import { listenForStop, stopStatus } from '../cli/stop-signal.ts';
import { settingsTable } from '../cli/views/settings-view.ts';

export default class Produce extends BaseCommand {
  static override summary = 'Append records from standard input or files to a topic.';
  static override description =
    'Lines by default: split at newlines, bytes untouched, empty lines kept. What is reported as stored is on the disk.';
  static override examples = [
    '$ some-job | <%= config.bin %> produce events',
    '$ find / -xdev -print0 | <%= config.bin %> produce files -0',
    '<%= config.bin %> consume events --json | <%= config.bin %> produce copy -i json',
  ];
  static override args = {
    topic: argument({
      required: true,
      ignoreStdin: true,
      description: 'Made if there is none of that name.',
    }),
    files: argument({
      multiple: true,
      ignoreStdin: true,
      description: 'Files to read; - is standard input.',
    }),
  };
  static override flags = {
    delimiter: valueFlag('delimiter', parseDelimiter, {
      char: 'D',
      summary: 'What ends a record: several bytes, escapes \\n \\t \\0 \\xNN.',
      valueName: 'S',
      exclusive: ['null'],
    }),
    null: boolean({ char: NUL_CHAR, summary: 'Records end with NUL, as "find -print0" writes them.' }),
    input: option({
      char: 'i',
      options: ['lines', 'raw', 'json', 'len32be'] as const,
      default: 'lines' as const,
      summary: 'How records stand in the input; raw: all of it is one.',
    })(),
    ack: option({
      options: ['summary', 'offset', 'json', 'none'] as const,
      summary: 'What to print once records are durable (summary; json with --json).',
    })(),
    'batch-bytes': settingFlag('batchBytes'),
    linger: settingFlag('lingerMs'),
    'max-record-bytes': settingFlag('maxRecordBytes'),
    'lock-timeout': lockTimeoutFlag,
    'expect-offset': countFlag('expect-offset', {
      summary: 'The first record must get this offset, else nothing is written.',
    }),
    'no-create': boolean({ summary: 'The topic must exist.' }),
    tee: boolean({ summary: 'Copy the input to standard output.' }),
    'print-config': boolean({ summary: 'Print the settings in force and where each came from.' }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Produce);
    const ack = flags.ack ?? (flags.json ? 'json' : 'summary');
    refuseContradictions({ ...flags, ack });
    const dataDirectory = this.openDataDirectory(flags, { forWriting: true });
    const { values, inForce } = resolveCommandSettings(dataDirectory, {
      batchBytes: flags['batch-bytes'],
      lingerMs: flags.linger,
      maxRecordBytes: flags['max-record-bytes'],
      lockTimeoutMs: flags['lock-timeout'],
    });
    if (flags['print-config'])
      return this.print(flags.json ? { type: 'config', settings: inForce } : settingsTable(inForce));
    const progress = this.progress('storing');
    const report = await produce({
      ...values,
      dataDirectory,
      topic: args.topic,
      files: args.files ?? [],
      format: flags.input,
      delimiter: flags.delimiter ?? (flags.null ? NUL_DELIMITER : NEWLINE_DELIMITER),
      expectedOffset: flags['expect-offset'],
      create: flags['no-create'] ? false : {},
      teeTo: flags.tee ? stdout() : undefined,
      onAck: acknowledger(ack, stdout()),
      progress,
      listenForStop,
    }).finally(() => {
      progress.stop();
    });
    reportProduce(report, { messages: this.messages, ack, stopStatus: stopStatus() });
  }
}
