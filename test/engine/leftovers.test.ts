import { expect } from 'chai';
import { join } from 'node:path';
import { removeLeftovers } from '../../src/engine/leftovers.ts';
import { openMark, peekMark, writeMark } from '../../src/engine/mark-file.ts';
import { ForgetfulFileSystem } from '../support/forgetful-file-system.ts';
import { snapshotOf } from '../support/recovery-scene.ts';
import { ScratchTopic } from '../support/scratch-topic.ts';

describe('removeLeftovers', () => {
  const scratch = ScratchTopic.forEach(3);

  it('has the mark that makes them superfluous durable first, where a sync of it has failed before', async () => {
    const files = new Map<string, Buffer>();
    for (const [name, bytes] of snapshotOf(scratch.directory))
      files.set(join(scratch.directory, name), bytes);
    const disk = ForgetfulFileSystem.holding(files);
    const context = scratch.context(disk);
    const markFile = openMark(context, 'update');
    const mark = peekMark(markFile);
    if (mark === undefined) throw new Error('no mark');
    const moved = { ...mark, startOffset: 2 };
    writeMark(markFile, moved);
    disk.fault = { at: disk.changeCount + 1, type: 'fail' };
    expect(
      await markFile.datasync().then(
        () => 'synced',
        () => 'failed',
      ),
    ).to.equal('failed');
    disk.fault = undefined;
    const path = join(context.directory, 'left');
    disk.open(path, 'create-new').close();
    await removeLeftovers(context, { markFile }, [{ path, bytes: 0 }]);
    const left = disk.afterCrash('forgotten');
    expect([...left.files().keys()]).not.to.include(path);
    expect(peekMark(openMark(scratch.context(left), 'read'))).to.deep.equal(moved);
  });
});
