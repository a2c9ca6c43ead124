/**
 * Runs commands in turn and compares them within one run: A B, B A, A B …, so that a machine whose speed drifts drifts for
 * both, and neither always follows the other. Seconds are the whole process's, start-up included. Everything reported is
 * a median.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';

const PEAK_HOOK = fileURLToPath(new URL('peak.cjs', import.meta.url));

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Seconds that a shell command takes. @throws Error when it fails */
export function seconds(command, options = {}) {
  const start = process.hrtime.bigint();
  const { status, stderr } = spawnSync('/bin/sh', ['-c', command], {
    stdio: ['ignore', options.keepsOutput ? 'inherit' : 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  const elapsed = Number(process.hrtime.bigint() - start) / 1e9;
  if (status !== (options.status ?? 0)) throw new Error(`${command} ended with ${status}: ${stderr}`);
  return elapsed;
}

/** Peak resident MB of the node process that `command` starts with `$PEAK_NODE`. */
export function peakMegabytes(command, directory) {
  const file = `${directory}/peak`;
  rmSync(file, { force: true });
  const env = { PEAK_FILE: file, NODE_OPTIONS: `--require=${PEAK_HOOK}` };
  seconds(command, { env });
  return Math.max(...readFileSync(file, 'utf8').trim().split('\n').map(Number)) / 1024;
}

/** The page cache of what a contender writes, and its own memory. */
const WARM_BYTES = 2e9;

/**
 * Uses memory and gives it back, before something is measured that writes much. A virtual machine whose host takes free
 * memory away gets it again page by page at its next use: a file went into the page cache at 0.5 GB/s then, and at 4.5
 * where the memory had been in use a moment before. Everybody begins with the same.
 */
export function warmMemory() {
  const byteCount = Math.floor(Math.min(WARM_BYTES, freemem() / 2));
  spawnSync(process.execPath, ['-e', `Buffer.alloc(${byteCount}, 1)`]);
}

/** Who goes first in one round goes last in the next. */
export const orderOfRound = (contenders, round) => (round % 2 === 0 ? contenders : contenders.toReversed());

/**
 * Runs every contender once in each round.
 *
 * @param contenders name → { prepare?, run } where `run` is a shell command, or a function that returns seconds
 * @returns name → seconds of each round
 */
export async function inTurn(contenders, rounds) {
  const times = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, { prepare, run }] of orderOfRound(Object.entries(contenders), round)) {
      prepare?.();
      times[name].push(typeof run === 'string' ? seconds(run) : await run());
    }
  }
  return times;
}

/** Median over the rounds of how many times as fast `a` was as `b`. */
export const speedRatio = (times, a, b) => median(times[a].map((each, round) => times[b][round] / each));
