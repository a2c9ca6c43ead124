/**
 * `fastqueue topics reset`: moves a consumer group.
 */
import { string as argument } from '@oclif/core/args';
import { string } from '@oclif/core/flags';
import { BaseCommand } from '../../cli/base-command.ts';
import { lockTimeoutFlag } from '../../cli/flags.ts';
import { usageError } from '../../cli/report-error.ts';
import { resetGroup } from '../../cli/topics/topics.ts';
import { commandLine } from '../../engine/index.ts';

export default class TopicsReset extends BaseCommand {
  static override summary = 'Set where a consumer group goes on.';
  static override usage =
    'topics reset NAME -g NAME --to SPEC [-d DIR] [--json] [-v | -q] [--no-color] [--lock-timeout DURATION]';
  static override examples = ['<%= config.bin %> topics reset events --group billing --to beginning'];
  static override args = { name: argument({ required: true, ignoreStdin: true, description: 'The topic.' }) };
  static override flags = {
    group: string({ char: 'g', helpValue: 'NAME', summary: 'The group.' }),
    to: string({ helpValue: 'SPEC', summary: 'N, -N, beginning, end or @TIME.' }),
    'lock-timeout': lockTimeoutFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TopicsReset);
    if (flags.group === undefined || flags.to === undefined) {
      throw usageError(
        `Say which group goes on where: ${commandLine(this, `topics reset ${args.name} --group GROUP --to OFFSET`)}`,
      );
    }
    const reset = await resetGroup(this.openDataDirectory(flags, { forWriting: true }), {
      topic: args.name,
      group: flags.group,
      to: flags.to,
      nowMs: Date.now(),
    });
    if (flags.json) await this.print({ type: 'group', ...reset });
    else this.messages.info(`group ${reset.group} of ${reset.topic} goes on at offset ${reset.nextOffset}`);
  }
}
