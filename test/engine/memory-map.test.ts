/** The maps of index files: made once, for a file and not for its name. */
import { expect } from 'chai';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';

const BYTES = Buffer.from('bytes of one file');
const OTHER = Buffer.from('bytes of another');

describe('a memory map', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fastqueue-map-'));
  const path = join(directory, 'a');
  const disk = new NodeFileSystem();
  /** False where the optional package is missing or switched off. */
  let isToBeHad: boolean;

  beforeEach(() => {
    writeFileSync(path, BYTES);
    isToBeHad = mapOf(path) !== undefined;
  });

  after(() => {
    rmSync(directory, { recursive: true });
  });

  function mapOf(ofPath: string, byteCount = BYTES.length): Buffer | undefined {
    const file = disk.open(ofPath, 'read');
    try {
      return file.map(byteCount);
    } finally {
      file.close();
    }
  }

  /** What the map would be: the bytes, or undefined everywhere. */
  const expected = (bytes: Buffer): Buffer | undefined => (isToBeHad ? bytes : undefined);

  it('is there where the package is, unless it is switched off', () => {
    expect(isToBeHad).to.equal(process.env['FASTQUEUE_NO_MMAP'] !== '1' && isInstalled());
    expect(mapOf(path)?.toString()).to.equal(expected(BYTES)?.toString());
  });

  it('is made once for all who open the file', () => {
    expect(mapOf(path)).to.equal(mapOf(path));
  });

  it('is another one for a file that has grown, or that took its name', () => {
    const before = mapOf(path);
    appendFileSync(path, OTHER);
    expect(mapOf(path, BYTES.length + OTHER.length)?.toString()).to.equal(
      expected(Buffer.concat([BYTES, OTHER]))?.toString(),
    );
    writeFileSync(`${path}.new`, OTHER);
    renameSync(`${path}.new`, path);
    expect(mapOf(path, OTHER.length)?.toString()).to.equal(expected(OTHER)?.toString());
    expect(before?.toString()).to.equal(expected(BYTES)?.toString());
  });

  it('is kept for the two files that were asked for last', () => {
    const [first, second, third] = ['1', '2', '3'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    for (const each of [first, second, third]) writeFileSync(each, BYTES);
    const kept = mapOf(first);
    const dropped = mapOf(second);
    expect(mapOf(first)).to.equal(kept);
    mapOf(third);
    expect(mapOf(first)).to.equal(kept);
    if (isToBeHad) expect(mapOf(second)).to.not.equal(dropped);
  });
});

/** The package needs a compiler, and does not compile for every Node. */
function isInstalled(): boolean {
  try {
    createRequire(import.meta.url)('mmap-io');
    return true;
  } catch {
    return false;
  }
}
