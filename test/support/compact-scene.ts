/** A topic of small segments that compact has work in: small neighbours, gaps with filler, damage where a test wants it. */
import { expect } from 'chai';
import { openSync, readSync, writeSync, closeSync, readFileSync, writeFileSync } from 'node:fs';
import {
  compactTopic,
  type CompactOptions,
  type CompactReport,
} from '../../src/engine/compaction/compact.ts';
import type { FileSystem } from '../../src/engine/io/file-system.ts';
import { recoverTopic } from '../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { framePositions } from './recovery-scene.ts';
import { ScratchTopic } from './scratch-topic.ts';

export const storeName = (baseOffset: number): string => `${String(baseOffset).padStart(20, '0')}.store`;
export const indexName = (baseOffset: number): string => `${String(baseOffset).padStart(20, '0')}.index`;

/** Records of 200 bytes, four to a segment. */
export class CompactScene extends ScratchTopic {
  fillSegments(recordCount: number): Promise<void> {
    return this.fill(recordCount, { segmentBytes: 1024, indexIntervalBytes: 64 });
  }

  /** Everything of this topic may be merged, unless the options say otherwise. */
  compact(options: Partial<CompactOptions> = {}, fileSystem?: FileSystem): Promise<CompactReport> {
    return compactTopic(this.context(fileSystem), {
      dryRun: false,
      mergeBelowBytes: 1024 * 1024,
      lockTimeoutMs: 2000,
      ...options,
    });
  }

  /** Flips a bit of the payload of the n-th frame of a store. */
  damageFrame(baseOffset: number, number: number): void {
    const position = (framePositions(readFileSync(this.path(storeName(baseOffset))))[number] as number) + 20;
    const file = openSync(this.path(storeName(baseOffset)), 'r+');
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, position);
    writeSync(file, Buffer.from([(byte[0] as number) ^ 1]), 0, 1, position);
    closeSync(file);
  }

  async recover(fileSystem?: FileSystem): Promise<void> {
    const options = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 2000 };
    await recoverTopic(this.context(fileSystem), options);
  }

  /** Each of these records becomes a gap with its payload as filler, a frame of its own. */
  async loseRecords(places: readonly { baseOffset: number; number: number }[]): Promise<void> {
    for (const { baseOffset, number } of places) {
      this.damageFrame(baseOffset, number);
      await this.recover();
    }
  }

  async findings(fileSystem?: FileSystem, severities = ['error', 'note']): Promise<string[]> {
    const report = await verifyTopic(this.context(fileSystem), { quick: false, onBytes: () => undefined });
    return [...report.findings]
      .filter(({ severity }) => severities.includes(severity))
      .map(({ code }) => code);
  }

  async expectClean(fileSystem?: FileSystem): Promise<void> {
    expect(await this.findings(fileSystem)).to.deep.equal([]);
  }

  put(name: string, bytes: Buffer | string): void {
    writeFileSync(this.path(name), bytes);
  }

  bytesOf(name: string): Buffer {
    return readFileSync(this.path(name));
  }
}
