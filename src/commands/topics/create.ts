/**
 * `fastqueue topics create`: a topic with settings of its own.
 */
import { string as argument } from '@oclif/core/args';
import { boolean, string } from '@oclif/core/flags';
import { BaseCommand } from '../../cli/base-command.ts';
import { lockTimeoutFlag } from '../../cli/flags.ts';
import { createTopic, parseSettingPairs, topicSettingsInForce } from '../../cli/topics/topics.ts';
import { settingsTable } from '../../cli/views/settings-view.ts';
import { topicAsJson } from '../../cli/views/topics-view.ts';

export default class TopicsCreate extends BaseCommand {
  static override summary = 'Make a topic; its settings are stored in it.';
  static override examples = [
    '<%= config.bin %> topics create events --set retentionAgeMs=30d --set segmentBytes=64M',
  ];
  static override args = { name: argument({ required: true, ignoreStdin: true, description: 'Its name.' }) };
  static override flags = {
    set: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY=VALUE',
      summary: 'A setting; else FASTQUEUE_… in the environment, else fastqueue.json, else the default.',
    }),
    'print-config': boolean({
      summary: 'Print the settings it would get and where each came from; make nothing.',
    }),
    'lock-timeout': lockTimeoutFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TopicsCreate);
    const settings = parseSettingPairs(flags.set ?? []);
    const dataDirectory = this.openDataDirectory(flags, { forWriting: true });
    if (flags['print-config']) {
      const inForce = topicSettingsInForce(dataDirectory, settings);
      return this.print(flags.json ? { type: 'config', settings: inForce } : settingsTable(inForce));
    }
    const topic = await createTopic(dataDirectory, args.name, settings);
    if (flags.json) await this.print(topicAsJson(topic));
    else this.messages.info(`created topic ${topic.topic}`);
  }
}
