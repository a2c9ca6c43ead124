/**
 * `fastqueue verify`: reads everything, changes nothing, and says what is wrong and what to run next.
 */
import { boolean } from '@oclif/core/flags';
import { string as argument } from '@oclif/core/args';
import { BaseCommand } from '../cli/base-command.ts';
import { EXIT } from '../cli/exit-status.ts';
import { jobsFlag } from '../cli/flags.ts';
import { defaultJobs, storeBytes } from '../cli/jobs.ts';
import { reportFailures } from '../cli/report-error.ts';
import { widthOf } from '../cli/views/columns.ts';
import { verifyAsJson, verifyLines } from '../cli/views/verify-view.ts';
import { some, verifyTopic, type VerifyReport } from '../engine/index.ts';

export default class Verify extends BaseCommand {
  static override summary =
    'Read every byte of a topic, change nothing, and say what is damaged and what is lost.';
  static override description =
    'Beside writers at work there are no false alarms. Notes (a torn tail, a stale index) are what a crash leaves: the exit status stays 0.';
  static override strict = false;
  static override args = {
    topic: argument({ ignoreStdin: true, description: 'Topics to verify; default: all.' }),
  };
  static override flags = {
    quick: boolean({ summary: 'Look at bounds and ends only.' }),
    jobs: jobsFlag('Segments to read at a time (default: one a processor, at most 4).'),
  };

  async run(): Promise<void> {
    const { argv, flags } = await this.parse(Verify);
    const directory = this.openDataDirectory(flags);
    const topics = argv.length > 0 ? (argv as string[]) : directory.listTopics();
    const progress = this.progress('verifying');
    progress.totalBytes = flags.quick ? undefined : storeBytes(directory, topics);
    const failures: unknown[] = [];
    try {
      for (const topic of topics) {
        try {
          const report = await verifyTopic(directory.context(topic), {
            quick: flags.quick,
            jobs: flags.jobs ?? defaultJobs(),
            onBytes: (byteCount) => {
              progress.doneBytes += byteCount;
            },
          });
          if (flags.json) await this.print(verifyAsJson(report));
          else {
            const form = { isColoured: isColoured(), columns: widthOf(process.stdout) };
            await this.printLines(verifyLines(report, form));
          }
          process.exitCode = Math.max(Number(process.exitCode ?? EXIT.done), statusOf(report));
        } catch (error) {
          // A topic that is not there, or of a newer version, does not keep the others from being looked at.
          failures.push(error);
        }
      }
    } finally {
      progress.stop();
    }
    reportFailures(failures, { isJson: flags.json });
  }
}

const isColoured = (): boolean =>
  process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb';

/** Damage outranks a disk that could not be read. */
function statusOf(report: VerifyReport): number {
  if (some(report.findings, ({ severity, code }) => severity === 'error' && code !== 'io_error'))
    return EXIT.damage;
  return some(report.findings, ({ code }) => code === 'io_error') ? EXIT.failed : EXIT.done;
}
