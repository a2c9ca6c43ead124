/**
 * `fastqueue consume`: records of a topic to standard output.
 */
import { string as argument } from '@oclif/core/args';
import { boolean, option, string } from '@oclif/core/flags';
import { BaseCommand } from '../cli/base-command.ts';
import { consume } from '../cli/consume/consume.ts';
import { consumeForm, consumeSpec, reportConsume, tellMissing } from '../cli/consume/consume-options.ts';
import { parseRecordFormat } from '../cli/consume/record-format.ts';
import { parseTerminator } from '../cli/delimiter.ts';
import { countFlag, durationFlag, lockTimeoutFlag, NUL_CHAR, valueFlag } from '../cli/flags.ts';
import { stdout } from '../cli/output.ts';
import { listenForStop, stopStatus } from '../cli/stop-signal.ts';

export default class Consume extends BaseCommand {
  static override summary = 'Write the records of a topic to standard output.';
  static override description =
    'From the beginning to the end of the log as it stood at the start, then exit, like cat; --follow waits for more.';
  static override examples = [
    '<%= config.bin %> consume events | jq .',
    '<%= config.bin %> consume events -o -10 -f "%T{iso} %o %s\\n"',
    '<%= config.bin %> consume events -F -g billing',
  ];
  static override usage =
    '<%= command.id %> TOPIC [-o SPEC...] [--since TIME] [--until TIME] [-c N] [-F] [--timeout DURATION] [-g NAME] ' +
    '[-f F | --json [--gaps] | -D S | -0 | --framing len32be] [--on-damage stop|skip] [--clamp] [--lock-timeout DURATION] ' +
    '[-d DIR] [-v | -q] [--no-color]';
  static override args = {
    topic: argument({ required: true, ignoreStdin: true, description: 'The topic to read.' }),
  };
  static override flags = {
    follow: boolean({ char: 'F', summary: 'Wait for more records.' }),
    offset: string({
      char: 'o',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'SPEC',
      summary:
        'N, -N (the last N), beginning, end, A:B, A:, :B (B excluded), A:@TIME, @TIME, @TIME:TIME; s@TIME, e@TIME.',
    }),
    since: string({ helpValue: 'TIME', summary: 'Begin at the first record at or after a time.' }),
    until: string({ helpValue: 'TIME', summary: 'End before the first record at or after a time.' }),
    count: countFlag('count', {
      char: 'c',
      charAliases: ['n'],
      summary: 'Stop after so many records (also -n).',
    }),
    timeout: durationFlag('timeout', { summary: 'Wait for more, and stop when nothing came for so long.' }),
    format: valueFlag('format', parseRecordFormat, {
      char: 'f',
      valueName: 'F',
      summary: '%s payload %S size %o offset %T timestamp %t topic %%, with {hex} {base64} {json} {iso}.',
      exclusive: ['json', 'delimiter', 'null', 'framing'],
    }),
    group: string({
      char: 'g',
      helpValue: 'NAME',
      summary:
        'Go on where this group stopped, whatever --offset says; a new one begins there. Stores how far it came.',
    }),
    delimiter: valueFlag('delimiter', parseTerminator, {
      char: 'D',
      valueName: 'S',
      summary: 'What is written after each payload (a newline); may be empty.',
      exclusive: ['json', 'null', 'framing'],
    }),
    null: boolean({ char: NUL_CHAR, summary: 'NUL after each payload.', exclusive: ['json', 'framing'] }),
    framing: option({
      options: ['len32be'] as const,
      summary: 'A 4-byte length before each payload.',
      exclusive: ['json'],
    })(),
    gaps: boolean({ summary: 'With --json: offsets without a record are lines too.', dependsOn: ['json'] }),
    'on-damage': option({
      options: ['stop', 'skip'] as const,
      default: 'stop' as const,
      summary: 'What to do where the log is damaged.',
    })(),
    clamp: boolean({ summary: 'An offset outside the log moves to its nearest end.' }),
    'lock-timeout': lockTimeoutFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Consume);
    const progress = this.progress('reading', { isWanted: !flags.follow && !process.stdout.isTTY });
    const report = await consume({
      dataDirectory: this.openDataDirectory(flags, { forWriting: flags.group !== undefined }),
      topic: args.topic,
      spec: consumeSpec(flags, Date.now()),
      group: flags.group,
      isFollowing: flags.follow,
      maxCount: flags.count,
      timeoutMs: flags.timeout,
      clamp: flags.clamp,
      onDamage: flags['on-damage'],
      form: consumeForm(args.topic, flags),
      output: stdout(),
      onMissing: tellMissing(this.messages, { topic: args.topic, asLines: flags.gaps }),
      onWarning: (sentence) => {
        this.messages.warn(sentence);
      },
      progress,
      listenForStop,
    }).finally(() => {
      progress.stop();
    });
    reportConsume(report, { messages: this.messages, maxCount: flags.count, stopStatus: stopStatus() });
  }
}
