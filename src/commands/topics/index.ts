/**
 * `fastqueue topics`: what topics there are.
 */
import { BaseCommand } from '../../cli/base-command.ts';
import { reportFailures } from '../../cli/report-error.ts';
import { listTopics } from '../../cli/topics/topics.ts';
import { topicAsJson, topicsTable } from '../../cli/views/topics-view.ts';

export default class Topics extends BaseCommand {
  static override summary = 'List the topics: records, offsets, segments, bytes, times.';
  static override description = 'With --json, one object a line.';

  async run(): Promise<void> {
    const { flags } = await this.parse(Topics);
    const { topics, failures } = await listTopics(this.openDataDirectory(flags));
    if (flags.json) for (const topic of topics) await this.print(topicAsJson(topic));
    else await this.print(topicsTable(topics));
    reportFailures(failures, { isJson: flags.json });
  }
}
