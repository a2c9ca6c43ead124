/**
 * `fastqueue topics set`: other settings for a topic that exists.
 */
import { string as argument } from '@oclif/core/args';
import { BaseCommand } from '../../cli/base-command.ts';
import { lockTimeoutFlag } from '../../cli/flags.ts';
import { parseSettingPairs, setTopicSettings } from '../../cli/topics/topics.ts';
import { topicAsJson, topicDetails } from '../../cli/views/topics-view.ts';

export default class TopicsSet extends BaseCommand {
  static override summary = 'Change settings of a topic.';
  static override examples = ['<%= config.bin %> topics set events retentionAgeMs=30d retentionBytes=none'];
  static override args = {
    name: argument({ required: true, ignoreStdin: true, description: 'The topic.' }),
    settings: argument({ required: true, multiple: true, ignoreStdin: true, description: 'key=value …' }),
  };
  static override flags = { 'lock-timeout': lockTimeoutFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TopicsSet);
    const settings = parseSettingPairs(args.settings);
    const topic = await setTopicSettings(
      this.openDataDirectory(flags, { forWriting: true }),
      args.name,
      settings,
    );
    await this.print(flags.json ? topicAsJson(topic) : topicDetails(topic, this));
  }
}
