/**
 * Every command, by its id (`topics:show` is typed `topics show`), loaded only when it is asked for.
 */
import type { CommandLoaders } from '../cli/main.ts';

export const COMMAND_LOADERS: CommandLoaders = {};
