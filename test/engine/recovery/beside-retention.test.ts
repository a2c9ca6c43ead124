/** recover beside retention: a segment that is taken while the log is being looked at is neither missing nor an error. */
import { expect } from 'chai';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openDataDirectory } from '../../../src/engine/data-directory.ts';
import { FastQueueError } from '../../../src/engine/errors.ts';
import type { FileHandle, OpenMode } from '../../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import { peekMark, writeMark } from '../../../src/engine/mark-file.ts';
import { applyPlan } from '../../../src/engine/recovery/apply.ts';
import { listDamage } from '../../../src/engine/recovery/damage-list.ts';
import { withRecoveryLock } from '../../../src/engine/recovery/lock.ts';
import { planRecovery } from '../../../src/engine/recovery/plan.ts';
import {
  recoverTopic,
  type RecoverOptions,
  type RecoverReport,
} from '../../../src/engine/recovery/recover.ts';
import { openSegmentReaders } from '../../../src/engine/recovery/segment-readers.ts';
import type { HighWatermark } from '../../../src/engine/format/high-watermark.ts';
import { FaultyFileSystem } from '../../support/faulty-file-system.ts';
import { ScratchTopic } from '../../support/scratch-topic.ts';

/** The real disk, on which something happens the moment before the n-th file is opened or directory listed. */
class MeanwhileFileSystem extends FaultyFileSystem {
  readonly #at: number;
  readonly #happen: () => void;
  lookCount = 0;

  constructor(at: number, happen: () => void) {
    super();
    this.#at = at;
    this.#happen = happen;
  }

  override open(path: string, mode: OpenMode): FileHandle {
    this.#look();
    return super.open(path, mode);
  }

  override list(path: string): string[] | undefined {
    this.#look();
    return super.list(path);
  }

  #look(): void {
    this.lookCount += 1;
    if (this.lookCount === this.#at) this.#happen();
  }
}

describe('recover beside retention', () => {
  let scratch: ScratchTopic;

  beforeEach(async () => {
    scratch = new ScratchTopic();
    await scratch.fill(12, { segmentBytes: 1024 });
  });

  afterEach(() => {
    scratch.remove();
  });

  /** As retention does it: the mark first, then the files of the first segments. */
  function takeSegments(count: number): void {
    const stores = scratch.files('.store');
    const file = new NodeFileSystem().open(scratch.path('high-watermark'), 'update');
    writeMark(file, {
      ...(peekMark(file) as HighWatermark),
      startOffset: parseInt(stores[count] as string, 10),
    });
    file.close();
    for (const store of stores.slice(0, count)) {
      unlinkSync(scratch.path(store.replace('.store', '.index')));
      unlinkSync(scratch.path(store));
    }
  }

  /** In the third record. */
  function damage(store: string): void {
    const bytes = readFileSync(scratch.path(store));
    bytes[500]! ^= 1;
    writeFileSync(scratch.path(store), bytes);
  }

  const takeFirstSegment = (): void => {
    takeSegments(1);
  };

  /** Runs it once for each of its looks at the disk, before which something happens, each on a log of its own. */
  async function everyMoment(
    happen: () => void,
    run: (fileSystem: MeanwhileFileSystem, at: number) => Promise<void>,
  ): Promise<void> {
    for (let at = 1; ; at++) {
      const fileSystem = new MeanwhileFileSystem(at, happen);
      await run(fileSystem, at);
      if (fileSystem.lookCount < at) return;
      scratch.remove();
      scratch = new ScratchTopic();
      await scratch.fill(12, { segmentBytes: 1024 });
    }
  }

  for (const dryRun of [false, true]) {
    it(`finds nothing to do wherever retention comes in between${dryRun ? ', in a dry run' : ''}`, async () => {
      await everyMoment(takeFirstSegment, async (fileSystem, at) => {
        const options = { dryRun, tryBitFlip: false, lockTimeoutMs: 1000 };
        const report = await recoverTopic(scratch.context(fileSystem), options);
        expect([...report.repairs], `before look ${at}`).to.deep.equal([]);
        expect([...report.lost]).to.deep.equal([]);
      });
    });
  }

  for (const dryRun of [false, true]) {
    it(`reads the log once where retention takes a segment each time that it is read${dryRun ? ', in a dry run' : ''}`, async () => {
      scratch.remove();
      scratch = new ScratchTopic();
      await scratch.fill(200, { segmentBytes: 1024 });
      const sealed = scratch.files('.store').at(-2) as string;
      // Of the first, which is taken by then, nothing is to be told.
      for (const store of [scratch.files('.store')[0] as string, sealed]) damage(store);
      let readings = 0;
      const report = await recoverTopic(scratch.context(), {
        dryRun,
        tryBitFlip: false,
        lockTimeoutMs: 1000,
        onBytes: (byteCount) => {
          // Less than none: all is read again.
          if (readings > 0 && byteCount >= 0) return;
          readings += 1;
          takeFirstSegment();
        },
      });
      expect(readings).to.equal(1);
      expect([...report.repairs].map(({ path }) => basename(path))).to.deep.equal([sealed]);
      const offset = parseInt(sealed, 10) + 2;
      expect([...report.lost]).to.deep.equal([{ from: offset, to: offset + 1 }]);
      const again = await recoverTopic(scratch.context(), { dryRun, tryBitFlip: false, lockTimeoutMs: 1000 });
      expect([...again.repairs].length).to.equal(dryRun ? 1 : 0);
    });
  }

  it('repairs what is left of the log when retention has taken segments between its plan and the lock', async () => {
    await scratch.fill(12);
    const [, second] = scratch.files('.store') as [string, string];
    const sealed = scratch.files('.store').at(-2) as string;
    for (const store of [second, sealed]) damage(store);
    let retention: Promise<void> | undefined;
    const report = await recoverTopic(scratch.context(), {
      dryRun: false,
      tryBitFlip: false,
      lockTimeoutMs: 10_000,
      onBytes: () => {
        // It has the lock before the plan is made, and lets go of it long after.
        retention ??= withRecoveryLock(scratch.context(), 1000, async () => {
          await delay(300);
          takeSegments(2);
        });
      },
    });
    await retention;
    expect([...report.repairs].map(({ path }) => basename(path))).to.deep.equal([sealed]);
    expect([...report.lost].length).to.equal(1);
  });

  /** The second store can be listed and not opened, though nobody has taken it. */
  class LosingFileSystem extends FaultyFileSystem {
    override open(path: string, mode: OpenMode): FileHandle {
      if (path.endsWith(scratch.files('.store')[1] as string))
        throw new FastQueueError('io_error', `There is no ${path}.`, { path, errno: 'ENOENT' });
      return super.open(path, mode);
    }
  }

  const refusalOf = (
    options: Pick<RecoverOptions, 'dryRun' | 'out'>,
    fileSystem?: FaultyFileSystem,
  ): Promise<FastQueueError | undefined> =>
    recoverTopic(scratch.context(fileSystem), { ...options, tryBitFlip: false, lockTimeoutMs: 1000 }).then(
      () => undefined,
      (error: unknown) => error as FastQueueError,
    );

  it('tells of a store that cannot be found as of that, where nobody has taken anything', async () => {
    const out = join(scratch.directory, 'out');
    for (const options of [{ dryRun: true }, { dryRun: false, out }]) {
      const refusal = await refusalOf(options, new LosingFileSystem());
      expect(refusal?.details.errno).to.equal('ENOENT');
    }
    expect(existsSync(join(out, 't'))).to.equal(false);
  });

  it('refuses the log of a newer FastQueue before it looks any further, and copies none of it', async () => {
    const file = new NodeFileSystem().open(scratch.path('high-watermark'), 'update');
    writeMark(file, { ...(peekMark(file) as HighWatermark), flags: 1 << 30 });
    file.close();
    const out = join(scratch.directory, 'out');
    for (const options of [{ dryRun: true }, { dryRun: false, out }]) {
      const refusal = await refusalOf(options);
      expect(refusal?.code).to.equal('newer_format');
    }
    expect(existsSync(out) ? readdirSync(out) : []).to.deep.equal([]);
  });

  const copyOn = (
    fileSystem: MeanwhileFileSystem,
    onBytes?: (byteCount: number) => void,
  ): Promise<RecoverReport> =>
    recoverTopic(scratch.context(fileSystem), {
      dryRun: false,
      tryBitFlip: false,
      lockTimeoutMs: 1000,
      out: join(scratch.directory, 'out'),
      ...(onBytes === undefined ? {} : { onBytes }),
    });

  it('copies the log as it is before or after, and nothing else, wherever retention comes between recover --out', async () => {
    const starts = new Set<number>();
    // The second of them may be gone when the first is copied.
    const takeTwo = (): void => {
      takeSegments(2);
    };
    await everyMoment(takeTwo, async (fileSystem, at) => {
      let copiedBytes = 0;
      const report = await copyOn(fileSystem, (byteCount) => {
        copiedBytes += byteCount;
      });
      expect([...report.lost], `before look ${at}`).to.deep.equal([]);
      expect([...report.repairs]).to.deep.equal([]);
      const out = openDataDirectory(join(scratch.directory, 'out'), { map: false });
      const copy = await out.openTopic('t', { mode: 'read' });
      const offsets: number[] = [];
      for await (const entry of copy.records()) {
        expect(entry.type).to.equal('record');
        offsets.push(entry.offset);
      }
      await copy.close();
      const [start = 12] = offsets;
      expect(offsets, `before look ${at}`).to.deep.equal(
        Array.from({ length: 12 - start }, (_, nth) => start + nth),
      );
      expect(readdirSync(join(scratch.directory, 'out'))).to.deep.equal(['t']);
      const bytes = readdirSync(join(scratch.directory, 'out', 't'))
        .filter((name) => name.endsWith('.store'))
        .reduce((sum, name) => sum + statSync(join(scratch.directory, 'out', 't', name)).size, 0);
      // Once copied, once looked through for damage; what was copied in vain is not counted.
      expect(copiedBytes, `before look ${at}`).to.equal(2 * bytes);
      starts.add(start);
    });
    expect(starts.size).to.equal(2);
  });

  it('says that there is no such topic where it is deleted before recover --out is done with it', async () => {
    const refusals = new Set<string>();
    const remove = (): void => {
      renameSync(scratch.path(''), join(scratch.directory, '.deleted-00000000-0000-0000-0000-000000000000'));
    };
    await everyMoment(remove, async (fileSystem, at) => {
      try {
        await copyOn(fileSystem);
      } catch (error) {
        expect(error, `before look ${at}: ${String(error)}`).to.have.property('code', 'topic_not_found');
        refusals.add('topic_not_found');
        expect(readdirSync(scratch.directory)).not.to.include('t');
        const out = join(scratch.directory, 'out');
        expect(existsSync(out) ? readdirSync(out) : []).to.deep.equal([]);
      }
    });
    expect(refusals.size).to.equal(1);
  });

  it('refuses a plan that was made before the log began elsewhere', async () => {
    const [, second] = scratch.files('.store') as [string, string];
    unlinkSync(scratch.path(second));
    const context = scratch.context();
    const file = context.fileSystem.open(scratch.path('high-watermark'), 'read');
    const mark = peekMark(file) as HighWatermark;
    file.close();
    const readers = openSegmentReaders(context, undefined);
    const list = await listDamage(context, mark, { readers, tryBitFlip: false, onBytes: () => undefined });
    await readers.close();
    takeFirstSegment();
    const refused: unknown = await withRecoveryLock(context, 1000, (hold) =>
      applyPlan(context, hold, planRecovery(list)),
    ).catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'condition_failed');
    expect(scratch.files('.store')).to.not.include(second);
  });
});
