/** Writes fixtures/ anew: `npm run fixtures`. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCorpus } from './corpus.ts';

const ROOT = fileURLToPath(new URL('../../fixtures', import.meta.url));

rmSync(ROOT, { recursive: true, force: true });
for (const [path, bytes] of makeCorpus()) {
  mkdirSync(dirname(join(ROOT, path)), { recursive: true });
  writeFileSync(join(ROOT, path), bytes);
}
