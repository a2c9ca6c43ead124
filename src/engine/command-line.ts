/**
 * Commands as sentences and reports name them, to be copied: each acts on the data directory that was meant. Where that
 * was named by a flag, whoever opened the directory says so, and the flag stands behind every command; where it came from
 * the environment, from the default or over HTTP, nothing does, and no path is told.
 */

/** A data directory or topic, as far as commands that name it go. */
export interface CommandPlace {
  /** What stands behind a command: ` -d DIR`, quoted for a shell; nothing by default. */
  readonly commandSuffix?: string | undefined;
}

/** `recover orders --dry-run` as it is to be typed: `fastqueue recover orders --dry-run -d DIR`. */
export const commandLine = (place: CommandPlace, words: string): string =>
  `fastqueue ${words}${place.commandSuffix ?? ''}`;

/** The flag that names a data directory, as a command's suffix. */
export const dataDirectorySuffix = (path: string): string => ` -d ${shellWord(path)}`;

/** A word as a shell takes it: in single quotes where it holds what a shell would read itself. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
