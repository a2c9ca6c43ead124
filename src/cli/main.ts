/**
 * From the arguments to the exit status: finds the command, loads it and nothing else, runs it, reports what it throws,
 * and ends the process once everything that was written has been taken.
 *
 * Only help and the version go through the whole of oclif: loading every command to run one would double its start-up.
 */
import type { Command } from '@oclif/core/command';
import { nearestName } from '../engine/index.ts';
import { forgiveClosedStderr } from './messages.ts';
import { drainOutputs, PATIENCE_AFTER_SIGNAL_MS } from './output.ts';
import { asksForJson, reportError, usageError } from './report-error.ts';
import { stopStatus } from './stop-signal.ts';

/** Command id (`topics:show`) → its module. */
export type CommandLoaders = Readonly<Record<string, () => Promise<{ default: Command.Class }>>>;

/**
 * Runs the command that `argv` names and ends the process.
 *
 * @param root file URL of the package's bin directory's script, for help
 */
export async function main(argv: string[], loaders: CommandLoaders, root: string): Promise<void> {
  forgiveClosedStderr();
  try {
    await runCommand(argv, loaders, root);
  } catch (error) {
    process.exitCode = reportError(error, { isJson: asksForJson(argv) });
  }
  if (stopStatus() !== undefined) setTimeout(() => process.exit(), PATIENCE_AFTER_SIGNAL_MS);
  await drainOutputs();
  // A wait for a lock cannot be cancelled, nor a read of a terminal: both would keep the process alive.
  process.exit();
}

async function runCommand(argv: string[], loaders: CommandLoaders, root: string): Promise<void> {
  if (wantsHelp(argv)) {
    const subject = argv[0] === 'help' ? argv.slice(1) : argv;
    if (/^\w/.test(subject[0] ?? '')) findCommand(subject, Object.keys(loaders));
    const { run } = await import('@oclif/core/run');
    await run(argv, root);
    return;
  }
  const { id, rest } = findCommand(argv, Object.keys(loaders));
  const loader = loaders[id];
  if (loader === undefined) throw usageError(`There is no command "${id}".`);
  const { default: CommandClass } = await loader();
  CommandClass.id = id;
  await new (CommandClass as unknown as CommandConstructor)(rest, { bin: 'fastqueue' }).run();
}

/** Of oclif's configuration a running command needs the name only; finding out the rest would take longer than most commands. */
interface CommandConstructor {
  new (argv: string[], config: { bin: string }): { run(): Promise<unknown> };
}

function wantsHelp(argv: readonly string[]): boolean {
  const [first] = argv;
  if (first === undefined || first === 'help' || first === '--version') return true;
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).some(
    (argument) => argument === '--help' || argument === '-h',
  );
}

/** The longest run of leading words that names a command. */
function findCommand(argv: readonly string[], ids: readonly string[]): { id: string; rest: string[] } {
  const [first = '', second = ''] = argv;
  if (first.startsWith('-')) {
    throw usageError(
      `Flags come behind the command: fastqueue COMMAND ${first} …, not fastqueue ${first} ….`,
    );
  }
  const pair = `${first}:${second}`;
  if (ids.includes(pair)) return { id: pair, rest: argv.slice(2) };
  const children = ids.filter((id) => id.startsWith(`${first}:`)).map((id) => id.slice(first.length + 1));
  if (children.length > 0 && second !== '' && !second.startsWith('-')) {
    throw unknownCommand(`${first} ${second}`, nearestName(second, children), {
      prefix: `${first} `,
      names: children,
    });
  }
  if (ids.includes(first)) return { id: first, rest: argv.slice(1) };
  const names = ids.filter((id) => !id.includes(':'));
  throw unknownCommand(first, nearestName(first, names), { prefix: '', names });
}

function unknownCommand(
  name: string,
  nearest: string | undefined,
  known: { prefix: string; names: readonly string[] },
): Error {
  const hint =
    nearest === undefined
      ? `There are: ${known.names.map((known_) => `${known.prefix}${known_}`).join(', ')}.`
      : `Did you mean "fastqueue ${known.prefix}${nearest}"?`;
  return usageError(`There is no command "${name}". ${hint}`);
}
