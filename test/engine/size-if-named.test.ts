/** Whether a path still leads to the file that is open: what every writer asks before it writes. */
import { expect } from 'chai';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileHandle } from '../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';

const SMALL_NAME = 'a';

describe('NodeFileSystem sizeIfNamed', () => {
  let directory: string;
  let path: string;
  let file: FileHandle;

  beforeEach(() => {
    directory = fs.mkdtempSync(join(tmpdir(), 'fastqueue-named-'));
    path = join(directory, SMALL_NAME);
    fs.writeFileSync(path, 'five.');
    file = new NodeFileSystem().open(path, 'update');
  });

  afterEach(() => {
    file.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  it('is the size as it is now, also where a link of that name leads to the file', () => {
    expect(file.sizeIfNamed()).to.equal(5);
    fs.appendFileSync(path, 'more');
    expect(file.sizeIfNamed()).to.equal(9);
    fs.renameSync(path, `${path}.moved`);
    fs.symlinkSync(`${path}.moved`, path);
    expect(file.sizeIfNamed()).to.equal(9);
  });

  it('is that of the file where another path leads to it, and not where it leads to another', () => {
    fs.linkSync(path, `${path}.linked`);
    fs.writeFileSync(`${path}.other`, 'five.');
    expect(file.sizeIfNamed(`${path}.linked`)).to.equal(5);
    expect(file.sizeIfNamed(`${path}.other`)).to.equal(undefined);
  });

  const others: readonly (readonly [string, () => void])[] = [
    [
      'another file',
      () => {
        fs.writeFileSync(path, 'five.');
      },
    ],
    ['no file', () => undefined],
    [
      'a directory',
      () => {
        fs.mkdirSync(path);
      },
    ],
    [
      'a link to nothing',
      () => {
        fs.symlinkSync('nothing', path);
      },
    ],
    [
      'a link to itself',
      () => {
        fs.symlinkSync(SMALL_NAME, path);
      },
    ],
  ];
  for (const [what, make] of others) {
    it(`is undefined once the name is that of ${what}`, () => {
      fs.renameSync(path, `${path}.moved`);
      make();
      expect(file.sizeIfNamed()).to.equal(undefined);
      fs.rmSync(path, { recursive: true, force: true });
      fs.renameSync(`${path}.moved`, path);
      expect(file.sizeIfNamed()).to.equal(5);
    });
  }

  it('is undefined while the directory has another name', () => {
    fs.renameSync(directory, `${directory}.moved`);
    expect(file.sizeIfNamed()).to.equal(undefined);
    fs.renameSync(`${directory}.moved`, directory);
    expect(file.sizeIfNamed()).to.equal(5);
  });

  it('says what keeps it from looking', () => {
    const tooLong = join(directory, 'x'.repeat(300));
    Object.defineProperty(file, 'path', { value: tooLong });
    expect(() => file.sizeIfNamed()).to.throw(`Could not look at ${tooLong}`);
  });
});

describe('NodeFileSystem sizeIfNamed where inodes pass 2^53', () => {
  const { statSync, fstatSync } = fs;
  const directory = fs.mkdtempSync(join(tmpdir(), 'fastqueue-inodes-'));
  const path = join(directory, 'a');
  /** What is told as a number is rounded, as the real thing is: neighbours are one. */
  const base = 2n ** 60n;

  before(() => {
    const enlarge = (stats: fs.Stats | fs.BigIntStats | undefined): typeof stats => {
      if (stats === undefined) return undefined;
      if (typeof stats.ino === 'bigint') stats.ino += base;
      else stats.ino = Number(BigInt(stats.ino) + base);
      return stats;
    };
    Object.assign(fs, {
      statSync: (...given: Parameters<typeof statSync>) => enlarge(statSync(...given)),
      fstatSync: (...given: Parameters<typeof fstatSync>) => enlarge(fstatSync(...given)),
    });
    syncBuiltinESMExports();
  });

  after(() => {
    Object.assign(fs, { statSync, fstatSync });
    syncBuiltinESMExports();
    fs.rmSync(directory, { recursive: true });
  });

  it('is told apart from a file whose number is the same when rounded', () => {
    fs.writeFileSync(path, 'one');
    fs.writeFileSync(`${path}.other`, 'other');
    expect(fs.statSync(path).ino).to.equal(fs.statSync(`${path}.other`).ino);
    const file = new NodeFileSystem().open(path, 'read');
    expect(file.sizeIfNamed()).to.equal(3);
    fs.renameSync(`${path}.other`, path);
    expect(file.sizeIfNamed()).to.equal(undefined);
    file.close();
  });
});
