/**
 * One flipped bit in a segment of 1 GiB: what recover writes, and how long it takes once the damage is located.
 */
import { expect } from 'chai';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import type { FileHandle, FileSystem } from '../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { recoverTopic } from '../../src/engine/recovery/recover.ts';

const SEGMENT_BYTES = 1024 * 1024 * 1024;
const BATCH = Array.from({ length: 16 * 8 }, (_, number) => Buffer.alloc(128 * 1024 - 16, number));

describe('one flipped bit in a segment of 1 GiB', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fastqueue-soak-'));

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('is repaired with less than 1 MiB written, in less than a second once it is located', async () => {
    const disk = new NodeFileSystem({ map: false });
    const written = { bytes: 0 };
    const counted = (handle: FileHandle): FileHandle => {
      const write = handle.write.bind(handle);
      return Object.assign(handle, {
        write: (source: Uint8Array, position: number) => {
          written.bytes += source.length;
          return write(source, position);
        },
      });
    };
    const open = disk.open.bind(disk);
    const fileSystem: FileSystem = Object.assign(disk, {
      open: (path: string, mode: Parameters<FileSystem['open']>[1]) => counted(open(path, mode)),
    });
    const data = openDataDirectory(directory, { fileSystem });
    const topic = await data.openTopic('t', { mode: 'append', create: {} });
    for (
      let bytes = 0;
      bytes + BATCH.length * 128 * 1024 <= SEGMENT_BYTES;
      bytes += BATCH.length * 128 * 1024
    )
      await topic.append(BATCH);
    await topic.close();
    const position = 700 * 1024 * 1024 + 12_345;
    flip(join(directory, 't', '00000000000000000000.store'), position);

    written.bytes = 0;
    let locatedAtMs = 0;
    const report = await recoverTopic(data.context('t'), {
      dryRun: false,
      tryBitFlip: false,
      lockTimeoutMs: 10_000,
      onBytes: () => {
        locatedAtMs = performance.now();
      },
    });
    const repairMs = performance.now() - locatedAtMs;
    const { bytes: writtenBytes } = written;
    // The damaged record itself is copied to quarantine.
    const keptBytes = [...report.repairs][0]?.bytes ?? 0;
    console.log(
      `        repaired in ${repairMs.toFixed(0)} ms once located; ${writtenBytes} bytes written, ${keptBytes} of them the copy in quarantine`,
    );
    expect([...report.lost]).to.deep.equal([{ from: 5600, to: 5601 }]);
    expect(writtenBytes).to.be.lessThan(1024 * 1024);
    expect(repairMs).to.be.lessThan(1000);
  });
});

function flip(path: string, position: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, position);
  byte[0] = (byte[0] as number) ^ 8;
  writeSync(file, byte, 0, 1, position);
  closeSync(file);
}
