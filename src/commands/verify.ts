/**
 * `fastqueue verify`: reads everything, changes nothing, and says what is wrong and what to run next.
 */
import { boolean } from '@oclif/core/flags';
import { string as argument } from '@oclif/core/args';
import { BaseCommand } from '../cli/base-command.ts';
import { EXIT } from '../cli/exit-status.ts';
import { verifyAsJson, verifyText } from '../cli/views/verify-view.ts';
import { verifyTopic, type VerifyReport } from '../engine/index.ts';

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
  };

  async run(): Promise<void> {
    const { argv, flags } = await this.parse(Verify);
    const directory = this.openDataDirectory(flags);
    const progress = this.progress('verifying');
    const topics = argv.length > 0 ? (argv as string[]) : directory.listTopics();
    try {
      for (const topic of topics) {
        const report = await verifyTopic(directory.context(topic), {
          quick: flags.quick,
          onBytes: (byteCount) => {
            progress.doneBytes += byteCount;
          },
        });
        await this.print(
          flags.json ? verifyAsJson(report) : verifyText(report, { isColoured: isColoured() }),
        );
        process.exitCode = Math.max(Number(process.exitCode ?? EXIT.done), statusOf(report));
      }
    } finally {
      progress.stop();
    }
  }
}

const isColoured = (): boolean => process.stdout.isTTY && process.env['NO_COLOR'] === undefined;

/** Damage outranks a disk that could not be read. */
function statusOf(report: VerifyReport): number {
  const errors = report.findings.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return EXIT.done;
  return errors.every(({ code }) => code === 'io_error') ? EXIT.failed : EXIT.damage;
}
