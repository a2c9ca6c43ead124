/**
 * `fastqueue compact`: frees space and keeps every offset.
 */
import { boolean } from '@oclif/core/flags';
import { string as argument } from '@oclif/core/args';
import { BaseCommand } from '../cli/base-command.ts';
import { givenSettings, resolveCommandSettings, settingFlag } from '../cli/command-settings.ts';
import { compactTopics, parseBefore, statusOfCompact } from '../cli/compact/compact.ts';
import { lockTimeoutFlag, valueFlag } from '../cli/flags.ts';
import { reportFailures } from '../cli/report-error.ts';
import { widthOf } from '../cli/views/columns.ts';
import { compactAsJson, compactText, deletionsText } from '../cli/views/compact-view.ts';
import { settingsTable } from '../cli/views/settings-view.ts';

export default class Compact extends BaseCommand {
  static override summary =
    'Free space and keep every offset; compaction by key comes with keys, which are not there yet.';
  static override description =
    'Drops whole oldest segments past their retention, merges small neighbouring segments, drops the filler of gaps, rebuilds indexes and removes leftovers of interrupted work. Never touches the active segment; rewrites no damaged one (exit 3). Needs at most one merged segment of free space, and none to drop.';
  static override strict = false;
  static override args = {
    topic: argument({ ignoreStdin: true, description: 'Topics to compact; default: all.' }),
  };
  static override flags = {
    'retain-age': settingFlag('retentionAgeMs'),
    'retain-bytes': settingFlag('retentionBytes'),
    before: valueFlag('before', parseBefore, {
      summary: 'Drop segments that end before this offset or time besides.',
      valueName: 'OFFSET|@TIME',
    }),
    'merge-below': settingFlag('mergeBelowBytes'),
    'lock-timeout': lockTimeoutFlag,
    'dry-run': boolean({
      char: 'n',
      default: false,
      summary: 'Print what would be done and change nothing.',
    }),
    'print-config': boolean({
      summary: 'Print the settings in force and where each came from; do nothing.',
    }),
  };

  async run(): Promise<void> {
    const { argv, flags } = await this.parse(Compact);
    const directory = this.openDataDirectory(flags, { forWriting: true });
    const { inForce } = resolveCommandSettings(directory, {
      mergeBelowBytes: flags['merge-below'],
      lockTimeoutMs: flags['lock-timeout'],
    });
    if (flags['print-config']) {
      const given = givenSettings({
        retentionAgeMs: flags['retain-age'],
        retentionBytes: flags['retain-bytes'],
      });
      const settings = [...given, ...inForce];
      return this.print(flags.json ? { type: 'config', settings } : settingsTable(settings));
    }
    const [merge] = inForce;
    const flagNames = ['retain-age', 'retain-bytes', 'before', 'merge-below'];
    const view = { place: this, flags: this.given(...flagNames), columns: widthOf(process.stdout) };
    const progress = this.progress('compacting');
    const failures: unknown[] = [];
    try {
      const work = { directory, topics: argv as string[] };
      const options = {
        dryRun: flags['dry-run'],
        retainAgeMs: flags['retain-age'],
        retainBytes: flags['retain-bytes'],
        before: flags.before,
        mergeBelowBytes: merge?.source === 'default' ? undefined : merge?.value,
        progress,
        onFailure: (error: unknown) => failures.push(error),
      };
      for await (const done of compactTopics(work, options)) {
        if (done.type === 'deletions') {
          if (done.count > 0) this.messages.info(deletionsText(done, options));
          continue;
        }
        await this.print(flags.json ? compactAsJson(done.report) : compactText(done.report, view));
        process.exitCode = Math.max(Number(process.exitCode ?? 0), statusOfCompact(done.report));
      }
    } finally {
      progress.stop();
    }
    reportFailures(failures, { isJson: flags.json });
  }
}
