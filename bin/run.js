#!/usr/bin/env node
import * as nodeModule from 'node:module';

// Node ≥ 22.8 keeps the compiled form of what it has loaded before.
nodeModule.enableCompileCache?.();
const { run } = nodeModule.createRequire(import.meta.url)('../dist/bin/fastqueue.cjs');
await run(process.argv.slice(2), import.meta.url);
