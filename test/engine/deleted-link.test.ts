/** A topic that is deleted by a link to its directory, while it is deleted and made anew by its own name. */
import { expect } from 'chai';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { removeTree } from '../../src/engine/topic-lifecycle.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** The real disk, on which something happens before the n-th file is removed. */
class InterruptedFileSystem extends FaultyFileSystem {
  meanwhile: (() => void) | undefined;
  #left = 2;

  override status(path: string): ReturnType<FaultyFileSystem['status']> {
    if (this.meanwhile !== undefined && path.endsWith('link') && (this.#left -= 1) === 0) this.meanwhile();
    return super.status(path);
  }
}

describe('removing what a link led to', () => {
  const scratch = ScratchTopic.forEach(3);

  it('leaves alone what has the name by now, and removes the link', () => {
    const link = join(scratch.directory, 'link');
    symlinkSync(TOPIC, link);
    const fileSystem = new InterruptedFileSystem();
    const directory = join(scratch.directory, TOPIC);
    fileSystem.meanwhile = () => {
      fileSystem.rename(directory, join(scratch.directory, 'away'));
      fileSystem.makeDirectory(directory);
      fileSystem.open(join(directory, 'high-watermark'), 'create').close();
    };
    removeTree(fileSystem, link);
    expect(fileSystem.list(directory)).to.deep.equal(['high-watermark']);
    expect(fileSystem.list(scratch.directory)).to.deep.equal(['away', TOPIC]);
  });

  it('removes everything where it leads there still', () => {
    const link = join(scratch.directory, 'link');
    symlinkSync(TOPIC, link);
    const fileSystem = new FaultyFileSystem();
    removeTree(fileSystem, link);
    expect(fileSystem.list(join(scratch.directory, TOPIC))).to.deep.equal([]);
    expect(fileSystem.list(scratch.directory)).to.deep.equal([TOPIC]);
  });
});
