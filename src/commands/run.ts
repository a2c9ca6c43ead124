/**
 * What bin/run.js starts: the entry of the bundle that scripts/bundle.js makes, where everything a command needs stands
 * in one file, because finding and compiling hundreds of small ones takes longer than most commands.
 */
import { main } from '../cli/main.ts';
import { COMMAND_LOADERS } from './index.ts';

/** @param root file URL of the script that was started */
export async function run(argv: string[], root: string): Promise<void> {
  await main(argv, COMMAND_LOADERS, root);
}
