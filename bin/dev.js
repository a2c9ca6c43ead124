#!/usr/bin/env -S node --import tsx
import { main } from '../src/cli/main.ts';
import { COMMAND_LOADERS } from '../src/commands/index.ts';

await main(process.argv.slice(2), COMMAND_LOADERS, import.meta.url);
