/** Damage under a running server: one byte of one record, in the first store of its topic. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sandbox } from '../cli/fastqueue.ts';
import { framePositions } from '../support/recovery-scene.ts';

const HEADER_BYTES = 16;

/** Flips a bit of the record's payload. */
export function damageRecord(sandbox: Sandbox, record: { topic: string; offset: number }): void {
  const path = join(sandbox.dataDirectory, record.topic, `${'0'.repeat(20)}.store`);
  const store = readFileSync(path);
  const position = (framePositions(store)[record.offset] as number) + HEADER_BYTES;
  store.writeUInt8(store.readUInt8(position) ^ 1, position);
  writeFileSync(path, store);
}
