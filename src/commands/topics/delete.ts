/**
 * `fastqueue topics delete`: a topic and everything in it.
 */
import { string as argument } from '@oclif/core/args';
import { boolean } from '@oclif/core/flags';
import { BaseCommand } from '../../cli/base-command.ts';
import { lockTimeoutFlag } from '../../cli/flags.ts';
import { usageError } from '../../cli/report-error.ts';
import { commandLine } from '../../engine/index.ts';

export default class TopicsDelete extends BaseCommand {
  static override summary = 'Delete a topic, its records and its groups. There is no way back.';
  static override usage =
    'topics delete NAME --yes [-d DIR] [--json] [-v | -q] [--no-color] [--lock-timeout DURATION]';
  static override args = { name: argument({ required: true, ignoreStdin: true, description: 'The topic.' }) };
  static override flags = {
    yes: boolean({ summary: 'Really: nothing asks again.' }),
    'lock-timeout': lockTimeoutFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TopicsDelete);
    if (!flags.yes) {
      throw usageError(
        `Deleting "${args.name}" cannot be undone. If you mean it: ${commandLine(this, `topics delete ${args.name} --yes`)}`,
      );
    }
    await this.openDataDirectory(flags, { forWriting: true }).deleteTopic(args.name);
    if (flags.json) await this.print({ type: 'deleted', topic: args.name });
    else this.messages.info(`deleted topic ${args.name}`);
  }
}
