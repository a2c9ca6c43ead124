/** A file system that is seen otherwise than it is, which nobody may change by mistake. */
import { expect } from 'chai';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import { readOnlyView } from '../../../src/engine/recovery/read-only-view.ts';
import { ScratchTopic } from '../../support/scratch-topic.ts';

describe('readOnlyView', () => {
  const scratch = ScratchTopic.forEach(1);

  it('answers otherwise what it is told to, all else as the disk does, and changes nothing', () => {
    const disk = new NodeFileSystem({ map: false });
    const view = readOnlyView(disk, { open: (path) => disk.open(path, 'read'), list: () => ['seen'] });
    const path = scratch.path('high-watermark');
    const before = scratch.files();
    expect(view.list(scratch.directory)).to.deep.equal(['seen']);
    expect(view.status(path)).to.deep.equal(disk.status(path));
    expect(view.isWritable(scratch.directory)).to.equal(false);
    const changes = [
      () => view.unlink(path),
      () => {
        view.rename(path, `${path}.moved`);
      },
      () => view.makeDirectory(scratch.path('new')),
      () => {
        view.removeDirectory(scratch.directory);
      },
      () => view.syncDirectory(scratch.directory),
    ];
    for (const change of changes) expect(change).to.throw(TypeError, 'only read');
    const file = view.open(path, 'update');
    expect(() => file.write(Buffer.from('x'), 0)).to.throw('EBADF');
    file.close();
    expect(scratch.files()).to.deep.equal(before);
  });
});
