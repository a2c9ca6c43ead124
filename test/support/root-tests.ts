/**
 * Tests that need root, loop devices and strace. Where `FASTQUEUE_REQUIRE_ROOT_TESTS` is 1 they must run; elsewhere a
 * machine that cannot run them says so in the report instead.
 */
import { spawnSync } from 'node:child_process';

const hasCommand = (name: string): boolean => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;

function whatIsMissing(commands: readonly string[]): string | undefined {
  if (process.platform !== 'linux') return 'Linux';
  if (process.getuid?.() !== 0) return 'root';
  return commands.find((name) => !hasCommand(name));
}

/** `describe` where the machine can, else a line that says what is missing. */
export function describeWith(commands: readonly string[], title: string, body: () => void): void {
  const missing = whatIsMissing(commands);
  if (missing === undefined || process.env['FASTQUEUE_REQUIRE_ROOT_TESTS'] === '1') describe(title, body);
  else console.log(`    not shown on this machine, which lacks ${missing}: ${title}`);
}

/** Runs a program that must succeed. */
export function must(program: string, ...args: string[]): string {
  const run = spawnSync(program, args, { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${run.error?.message ?? run.stderr}`);
  return run.stdout;
}
