/**
 * Help as oclif writes it, from pages that were collected when the command line was built (HELP_PAGES, set by
 * scripts/bundle.js): loading every command and looking for plugins to print a page takes longer than anything on it.
 * Only the bundle runs this; from source, oclif itself is asked.
 */
import { Help } from '@oclif/core/help';
import type { Command, Interfaces } from '@oclif/core';

/** What oclif knows of the commands once it has loaded them all. */
interface HelpPages {
  readonly pjson: Interfaces.PJSON;
  readonly version: string;
  readonly commands: readonly Command.Loadable[];
  readonly topics: readonly Interfaces.Topic[];
}

declare const HELP_PAGES: HelpPages;

/** Prints the help, or the version, that `argv` asks for. @throws Error where there is no such page */
export async function run(argv: readonly string[]): Promise<void> {
  const { pjson, version, commands, topics } = HELP_PAGES;
  const userAgent = `${pjson.name}/${version} ${process.platform}-${process.arch} node-${process.version}`;
  if (argv[0] === '--version') {
    process.stdout.write(`${userAgent}\n`);
    return;
  }
  const config = {
    bin: 'fastqueue',
    pjson,
    topicSeparator: ' ',
    userAgent,
    commands,
    commandIDs: commands.map(({ id }) => id),
    topics,
    plugins: new Map(),
    flexibleTaxonomy: false,
    isSingleCommandCLI: false,
    platform: process.platform,
    findCommand: (id: string) => commands.find((command) => command.id === id),
    findTopic: (name: string) => topics.find((topic) => topic.name === name),
  };
  const subject = argv[0] === 'help' ? argv.slice(1) : [...argv];
  await new Help(config as unknown as Interfaces.Config).showHelp(subject);
}
