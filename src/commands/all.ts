/**
 * Every command's class at once, as oclif wants them for help and its manifest. Running a command loads only that one.
 */
import { COMMAND_LOADERS } from './index.ts';

const loaded = Object.entries(COMMAND_LOADERS).map(
  async ([id, load]) => [id, (await load()).default] as const,
);

export const COMMANDS = Object.fromEntries(await Promise.all(loaded));
