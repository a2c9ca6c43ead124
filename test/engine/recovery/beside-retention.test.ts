/** recover beside retention: a segment that is taken while the log is being looked at is neither missing nor an error. */
import { expect } from 'chai';
import { unlinkSync } from 'node:fs';
import type { FileHandle, OpenMode } from '../../../src/engine/io/file-system.ts';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import { peekMark, writeMark } from '../../../src/engine/mark-file.ts';
import { applyPlan } from '../../../src/engine/recovery/apply.ts';
import { listDamage } from '../../../src/engine/recovery/damage-list.ts';
import { withRecoveryLock } from '../../../src/engine/recovery/lock.ts';
import { planRecovery } from '../../../src/engine/recovery/plan.ts';
import { recoverTopic } from '../../../src/engine/recovery/recover.ts';
import { openSegmentReaders } from '../../../src/engine/recovery/segment-readers.ts';
import type { HighWatermark } from '../../../src/engine/format/high-watermark.ts';
import { FaultyFileSystem } from '../../support/faulty-file-system.ts';
import { ScratchTopic } from '../../support/scratch-topic.ts';

/** The real disk, on which something happens the moment before the n-th file is opened. */
class MeanwhileFileSystem extends FaultyFileSystem {
  readonly #at: number;
  readonly #happen: () => void;
  opened = 0;

  constructor(at: number, happen: () => void) {
    super();
    this.#at = at;
    this.#happen = happen;
  }

  override open(path: string, mode: OpenMode): FileHandle {
    this.opened += 1;
    if (this.opened === this.#at) this.#happen();
    return super.open(path, mode);
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

  /** As retention does it: the mark first, then the files of the first segment. */
  function takeFirstSegment(): void {
    const [first, second] = scratch.files('.store') as [string, string];
    const file = new NodeFileSystem().open(scratch.path('high-watermark'), 'update');
    writeMark(file, { ...(peekMark(file) as HighWatermark), startOffset: parseInt(second, 10) });
    file.close();
    unlinkSync(scratch.path(first.replace('.store', '.index')));
    unlinkSync(scratch.path(first));
  }

  for (const dryRun of [false, true]) {
    it(`finds nothing to do wherever retention comes in between${dryRun ? ', in a dry run' : ''}`, async () => {
      for (let at = 1; ; at++) {
        const fileSystem = new MeanwhileFileSystem(at, takeFirstSegment);
        const options = { dryRun, tryBitFlip: false, lockTimeoutMs: 1000 };
        const report = await recoverTopic(scratch.context(fileSystem), options);
        if (fileSystem.opened < at) break;
        expect(report.repairs, `before opening ${at}`).to.deep.equal([]);
        expect(report.lost).to.deep.equal([]);
        scratch.remove();
        scratch = new ScratchTopic();
        await scratch.fill(12, { segmentBytes: 1024 });
      }
    });
  }

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
