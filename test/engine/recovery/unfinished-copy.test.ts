/**
 * recover --out, ended at every one of its changes of the disk: by a full disk, by a kill, by a power cut. What bears the
 * topic's name is whole and repaired, nothing that was there is replaced, and the same command again does the rest.
 */
import { expect } from 'chai';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDataDirectory } from '../../../src/engine/data-directory.ts';
import { FastQueueError } from '../../../src/engine/errors.ts';
import type { FileHandle, FileSystem, OpenMode } from '../../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import { recoverTopic, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import { endAnywhere, POWER_CUTS } from '../../support/ended-anywhere.ts';
import { FaultyFileSystem, type Fault } from '../../support/faulty-file-system.ts';
import { ForgetfulFileSystem } from '../../support/forgetful-file-system.ts';
import { RecoveryScene, snapshotOf, storesOf, type Snapshot } from '../../support/recovery-scene.ts';

const SEALED = '00000000000000000003.store';
const UNFINISHED = '.recovering-t';
describe('recover --out, ended anywhere', () => {
  const scene = new RecoveryScene();
  /** The data directory that the copy goes to. */
  let out: string;
  let source: Snapshot;
  let repaired: ReadonlyMap<string, string>;

  before(async () => {
    await scene.fill([[2, 1], [1, 1, 2], [3]], {
      payload: (offset) => Buffer.alloc(40 + offset, 65 + offset),
    });
    const damaged = Buffer.from(scene.healthy.get(SEALED) as Buffer);
    damaged[20] = 0;
    scene.reset(new Map([[SEALED, damaged]]));
    source = snapshotOf(scene.directory);
  });

  beforeEach(async () => {
    out = mkdtempSync(join(tmpdir(), 'fastqueue-test-'));
    await recover(scene.fileSystem);
    repaired = storesOf(snapshotOf(join(out, 't')));
    reset();
  });

  afterEach(() => {
    expect(snapshotOf(scene.directory)).to.deep.equal(source);
    rmSync(out, { recursive: true, force: true });
  });

  after(() => {
    scene.remove();
  });

  const reset = (): void => {
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
  };

  const recover = (fileSystem: FileSystem): Promise<RecoverReport> =>
    recoverTopic(scene.scratch.context(fileSystem), {
      dryRun: false,
      tryBitFlip: false,
      lockTimeoutMs: 1000,
      out,
    });

  const refusalOf = async (fileSystem: FileSystem = new NodeFileSystem()): Promise<FastQueueError> => {
    const error: unknown = await recover(fileSystem).then(
      () => new Error('it was not refused'),
      (refusal: unknown) => refusal,
    );
    if (error instanceof FastQueueError) return error;
    throw error;
  };

  /** The whole, repaired copy and nothing beside it. */
  function expectCopied(): void {
    expect(readdirSync(out)).to.deep.equal(['t']);
    expect(storesOf(snapshotOf(join(out, 't')))).to.deep.equal(repaired);
  }

  /** Ends it at every change of the disk, each in an empty directory. */
  async function everyEnd(
    fault: Omit<Fault, 'at'>,
    check: (error: FastQueueError | undefined, title: string) => Promise<void>,
  ): Promise<number> {
    for (let at = 1; ; at++) {
      const disk = new FaultyFileSystem({ ...fault, at });
      const error = await recover(disk).then(
        () => undefined,
        (failure: unknown) => failure as FastQueueError,
      );
      if (disk.changeCount < at) return at - 1;
      expect(disk.openCount, disk.changes[at - 1]).to.equal(0);
      await check(error, `${at}: ${disk.changes[at - 1] ?? ''}`);
      reset();
    }
  }

  it('leaves nothing where the disk was full, says so, and copies when it is run again', async () => {
    let wholeCount = 0;
    const count = await everyEnd({ type: 'fail', errno: 'ENOSPC' }, async (error, title) => {
      // Neither a holder nor an index is worth an error, and the last directories are synced behind the rename.
      const isWhole = error === undefined || error.message.includes('is whole');
      if (isWhole) wholeCount += 1;
      else {
        expect(error.code, title).to.equal('disk_full');
        const isBegun = !/create .*(recovering-t|holder): ENOSPC\.$/.test(error.message);
        if (isBegun) expect(error.message, title).to.match(/ENOSPC\. The unfinished copy was removed\.$/);
        expect(readdirSync(out), title).to.deep.equal([]);
        await recover(scene.fileSystem);
      }
      expectCopied();
    });
    expect(wholeCount).to.be.lessThan(10);
    expect(count).to.be.greaterThan(30);
  });

  it('leaves no topic where it was killed, and replaces what is left when it is run again', async () => {
    let leftCount = 0;
    await everyEnd({ type: 'die' }, async (error, title) => {
      expect(error?.details.errno, title).to.equal('EIO');
      if (existsSync(join(out, 't'))) {
        expect(error?.message, title).to.include(`The copy in ${join(out, 't')} is whole`);
      } else {
        expect(openDataDirectory(out).listTopics(), title).to.deep.equal([]);
        if (readdirSync(out).length > 0) {
          leftCount += 1;
          if (existsSync(join(out, UNFINISHED, SEALED)))
            expect(error?.message, title).to.include(
              `An unfinished copy is left in ${join(out, UNFINISHED)}`,
            );
        }
        await recover(scene.fileSystem);
      }
      expectCopied();
    });
    expect(leftCount).to.be.greaterThan(30);
  });

  it('has given the name to nothing but a whole and repaired copy, whenever the power is cut', async () => {
    const files = new Map([...source].map(([name, bytes]) => [join(scene.directory, name), bytes]));
    const healthyCount = { before: 0, after: 0 };
    await endAnywhere(['failed', ...POWER_CUTS], {
      prepare: () => Promise.resolve(ForgetfulFileSystem.holding(files)),
      run: recover,
      check: async (left) => {
        const isNamed = left.list(join(out, 't')) !== undefined;
        healthyCount[isNamed ? 'after' : 'before'] += 1;
        if (!isNamed) await recover(left);
        const context = openDataDirectory(out, { fileSystem: left }).context('t');
        const { findings, nextOffset } = await verifyTopic(context, {
          quick: false,
          onBytes: () => undefined,
        });
        const errors = [...findings].filter(({ severity }) => severity === 'error');
        expect(errors).to.deep.equal([]);
        expect(nextOffset).to.equal(10);
      },
    });
    expect(healthyCount.before).to.be.greaterThan(healthyCount.after);
    expect(healthyCount.after).to.be.greaterThan(0);
  });

  it('names the files that it repaired where they are once it is done', async () => {
    const report = await recover(scene.fileSystem);
    const paths = [...report.repairs, ...report.runs].map(({ path }) => path);
    expect(paths)
      .to.include(join(out, 't', SEALED))
      .and.to.have.length.greaterThan(1);
    for (const path of paths) expect(existsSync(path), path).to.equal(true);
  });

  it('refuses while another process copies to the same place, and touches nothing of it', async () => {
    const unfinished = join(out, UNFINISHED);
    mkdirSync(unfinished);
    writeFileSync(join(unfinished, SEALED), 'being copied');
    const holder = new NodeFileSystem().open(join(unfinished, 'holder'), 'create');
    expect(holder.tryLock()).to.equal(true);
    const before = snapshotOf(out);
    const refused = await refusalOf();
    expect(refused).to.include({ code: 'locked' });
    expect(refused.message).to.include(`Another process is recovering into ${join(out, 't')}`);
    expect(snapshotOf(out)).to.deep.equal(before);
    holder.close();
    await recover(scene.fileSystem);
    expectCopied();
  });

  for (const [when, isBefore] of [
    ['opened', true],
    ['locked', false],
  ] as const)
    it(`makes its directory anew where another process is done with it before its holder is ${when}`, async () => {
      class Meanwhile extends FaultyFileSystem {
        #isDone = false;

        override open(path: string, mode: OpenMode): FileHandle {
          const isFirst = path === join(out, UNFINISHED, 'holder') && !this.#isDone;
          const take = (): void => {
            rmSync(join(out, UNFINISHED), { recursive: true });
          };
          if (isFirst) this.#isDone = true;
          if (isFirst && isBefore) take();
          const file = super.open(path, mode);
          if (isFirst && !isBefore) take();
          return file;
        }
      }
      const disk = new Meanwhile();
      await recover(disk);
      expectCopied();
      expect(disk.openCount).to.equal(0);
    });

  it('refuses where something else bears the name of an unfinished copy', async () => {
    mkdirSync(join(out, UNFINISHED));
    writeFileSync(join(out, UNFINISHED, 'letters'), 'mine');
    const refused = await refusalOf();
    expect(refused).to.include({ code: 'condition_failed' });
    expect(refused.message).to.include(`There is a ${join(out, UNFINISHED)} already`);
    expect(readdirSync(out)).to.deep.equal([UNFINISHED]);
    expect(readFileSync(join(out, UNFINISHED, 'letters'), 'utf8')).to.equal('mine');
  });

  it('takes its copy away where something got the name meanwhile, and leaves that as it is', async () => {
    const target = join(out, 't');
    class Meanwhile extends FaultyFileSystem {
      override open(path: string, mode: OpenMode): FileHandle {
        if (path === join(out, UNFINISHED, SEALED) && mode === 'create-new') mkdirSync(target);
        return super.open(path, mode);
      }
    }
    const refused = await refusalOf(new Meanwhile());
    expect(refused).to.include({ code: 'condition_failed' });
    expect(refused.message).to.include(`There is a ${target} already`).and.to.include('copy was removed');
    expect(readdirSync(out)).to.deep.equal(['t']);
    expect(readdirSync(target)).to.deep.equal([]);
  });
});
