/**
 * Every command, by its id (`topics:show` is typed `topics show`), loaded only when it is asked for.
 */
import type { CommandLoaders } from '../cli/main.ts';

export const COMMAND_LOADERS: CommandLoaders = {
  compact: () => import('./compact.ts'),
  consume: () => import('./consume.ts'),
  'inspect-segment': () => import('./inspect-segment.ts'),
  produce: () => import('./produce.ts'),
  recover: () => import('./recover.ts'),
  serve: () => import('./serve.ts'),
  topics: () => import('./topics/index.ts'),
  'topics:create': () => import('./topics/create.ts'),
  'topics:delete': () => import('./topics/delete.ts'),
  'topics:reset': () => import('./topics/reset.ts'),
  'topics:set': () => import('./topics/set.ts'),
  'topics:show': () => import('./topics/show.ts'),
  verify: () => import('./verify.ts'),
};
