#!/usr/bin/env node
import { main } from '../dist/cli/main.js';
import { COMMAND_LOADERS } from '../dist/commands/index.js';

await main(process.argv.slice(2), COMMAND_LOADERS, import.meta.url);
