/**
 * `fastqueue topics show`: everything about one topic.
 */
import { string as argument } from '@oclif/core/args';
import { BaseCommand } from '../../cli/base-command.ts';
import { topicStatus } from '../../cli/topics/topics.ts';
import { topicAsJson, topicDetails } from '../../cli/views/topics-view.ts';

export default class TopicsShow extends BaseCommand {
  static override summary = 'Show a topic: its offsets, sizes, settings, and how far behind its groups are.';
  static override args = { name: argument({ required: true, ignoreStdin: true, description: 'The topic.' }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TopicsShow);
    const topic = await topicStatus(this.openDataDirectory(flags), args.name);
    await this.print(flags.json ? topicAsJson(topic) : topicDetails(topic, this));
  }
}
