/**
 * Writes docs/openapi.yaml from the description that the server answers with. Run by the build, after the compiler; a
 * test holds the page to its source.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { OPENAPI_DOCUMENT } from '../dist/server/openapi.js';

const TARGET = new URL('../docs/openapi.yaml', import.meta.url);

const page = [
  '# Made by scripts/openapi.js from src/server/openapi.ts, which GET /openapi.json answers too: never edited by hand.',
  stringify(OPENAPI_DOCUMENT, { lineWidth: 110, aliasDuplicateObjects: false }),
].join('\n');

let before;
try {
  before = readFileSync(TARGET, 'utf8');
} catch {
  before = undefined;
}
if (page !== before) writeFileSync(TARGET, page);
