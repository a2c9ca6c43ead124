/**
 * `fastqueue recover`: repairs what `fastqueue verify` finds, takes a repair back, lists and purges what was kept.
 */
import { boolean, string } from '@oclif/core/flags';
import { string as argument } from '@oclif/core/args';
import { BaseCommand } from '../cli/base-command.ts';
import { EXIT } from '../cli/exit-status.ts';
import { lockTimeoutFlag } from '../cli/flags.ts';
import { listRuns, purgeRun, recoverTopics, undoRun } from '../cli/recover/recover.ts';
import { reportFailures } from '../cli/report-error.ts';
import { widthOf } from '../cli/views/columns.ts';
import { recoverAsJson, recoverLines, runAsJson, runsText, undoText } from '../cli/views/recover-view.ts';

/** How to repair: of no use to what repairs nothing. */
const OF_A_REPAIR = ['dry-run', 'out', 'try-bitflip'];

export default class Recover extends BaseCommand {
  static override summary =
    'Repair damage in place: offsets stay, damaged bytes are kept, and every run can be undone.';
  static override usage = [
    '<%= command.id %> [TOPIC...] [-n | --out DIR [--unreadable-as-damage]] [--try-bitflip] [--lock-timeout DURATION] ' +
      '[-d DIR] [--json] [-v | -q] [--no-color]',
    '<%= command.id %> [TOPIC...] --list-runs | --undo RUN | --purge RUN',
  ];
  static override strict = false;
  static override args = {
    topic: argument({ ignoreStdin: true, description: 'Topics to recover; default: all.' }),
  };
  static override flags = {
    'dry-run': boolean({
      char: 'n',
      summary: 'Print the plan and change nothing (exit 3 if there is work).',
    }),
    'try-bitflip': boolean({
      summary: 'Flip one bit of a damaged frame of at most 8 KiB where that makes its checksum right.',
    }),
    out: string({
      summary: 'Repair into this new data directory and leave the source alone.',
      helpValue: 'DIR',
      exclusive: ['dry-run'],
    }),
    'unreadable-as-damage': boolean({
      summary: 'With --out: step around sectors that cannot be read.',
      dependsOn: ['out'],
    }),
    undo: string({ summary: 'Write back what this run replaced.', helpValue: 'RUN', exclusive: OF_A_REPAIR }),
    'list-runs': boolean({ summary: 'List what is in quarantine.', exclusive: ['undo', ...OF_A_REPAIR] }),
    purge: string({
      summary: 'Remove a run and the bytes it kept.',
      helpValue: 'RUN',
      exclusive: ['undo', 'list-runs', ...OF_A_REPAIR],
    }),
    'lock-timeout': lockTimeoutFlag,
  };

  async run(): Promise<void> {
    const { argv, flags } = await this.parse(Recover);
    const work = {
      directory: this.openDataDirectory(flags, { forWriting: true }),
      topics: argv as string[],
    };
    if (flags['list-runs']) {
      const runs = listRuns(work);
      if (flags.json) for (const run of runs) await this.print(runAsJson(run));
      else if (runs.length > 0) await this.print(runsText(runs, widthOf(process.stdout)));
      return;
    }
    if (flags.purge !== undefined) {
      const run = await purgeRun(work, flags.purge);
      await this.print(flags.json ? runAsJson(run) : `${run.topic}: the run ${run.run} was removed`);
      return;
    }
    if (flags.undo !== undefined) {
      const undone = await undoRun(work, flags.undo);
      await this.print(flags.json ? { type: 'report', ...undone } : undoText(undone));
      return;
    }
    await this.#recover(work, {
      dryRun: flags['dry-run'],
      tryBitFlip: flags['try-bitflip'],
      out: flags.out,
      unreadableAsDamage: flags['unreadable-as-damage'],
      isJson: flags.json,
    });
  }

  async #recover(
    work: Parameters<typeof recoverTopics>[0],
    options: Omit<Parameters<typeof recoverTopics>[1], 'progress' | 'onFailure'> & { isJson: boolean },
  ): Promise<void> {
    const view = { place: this, flags: this.given('try-bitflip'), columns: widthOf(process.stdout) };
    const progress = this.progress('reading');
    const failures: unknown[] = [];
    const onFailure = (error: unknown): void => {
      failures.push(error);
    };
    try {
      for await (const report of recoverTopics(work, { ...options, progress, onFailure })) {
        if (options.isJson) await this.print(recoverAsJson(report));
        else await this.printLines(recoverLines(report, view));
        if (options.dryRun && report.repairs.length > 0) process.exitCode = EXIT.damage;
        if (!options.dryRun && report.lost.length > 0) process.exitCode = EXIT.recoveredWithLoss;
      }
    } finally {
      progress.stop();
    }
    reportFailures(failures, { isJson: options.isJson });
  }
}
