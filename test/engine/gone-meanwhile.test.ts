/** What the disk says between two looks of one piece of work: files that go, and errors at a bad moment. */
import { expect } from 'chai';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { FastQueueError } from '../../src/engine/errors.ts';
import { MARK_FLAG } from '../../src/engine/format/high-watermark.ts';
import type { FileHandle, FileStatus, OpenMode } from '../../src/engine/io/file-system.ts';
import { peekMark, writeMark } from '../../src/engine/mark-file.ts';
import { ReaderMark } from '../../src/engine/reader-mark.ts';
import { readTopicSettings } from '../../src/engine/topic-settings.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

/** The real disk, on which topic.json goes between a look at it and its opening. */
class SettingsGoneFileSystem extends FaultyFileSystem {
  override open(path: string, mode: OpenMode): FileHandle {
    if (path.endsWith('topic.json'))
      throw new FastQueueError('io_error', `Could not open ${path}.`, { path, errno: 'ENOENT' });
    return super.open(path, mode);
  }
}

/** The real disk, on which stores can be opened, but not be read. */
class UnreadableFileSystem extends FaultyFileSystem {
  override open(path: string, mode: OpenMode): FileHandle {
    const file = super.open(path, mode);
    if (path.endsWith('.store'))
      file.read = () => {
        throw new FastQueueError('io_error', `Could not read ${path}.`, { path, errno: 'EIO' });
      };
    return file;
  }
}

/** The real disk, on which somebody else finishes the deletion of the topic the moment before it is locked for that. */
class FasterDeleter extends FaultyFileSystem {
  readonly #directory: string;
  #isDone = false;

  constructor(directory: string) {
    super();
    this.#directory = directory;
  }

  override status(path: string): FileStatus | undefined {
    if (path === join(this.#directory, TOPIC) && !this.#isDone) {
      this.#isDone = true;
      renameSync(path, join(this.#directory, '.deleted-00000000-0000-0000-0000-000000000000'));
    }
    return super.status(path);
  }
}

/** The real disk, on which a mark is met once while it is being rewritten. */
class TornMarkFileSystem extends FaultyFileSystem {
  isTorn = false;

  override open(path: string, mode: OpenMode): FileHandle {
    const file = super.open(path, mode);
    const read = file.read.bind(file);
    file.read = (target, position) => {
      const byteCount = read(target, position);
      if (this.isTorn) target.fill(0, 0, 8);
      this.isTorn = false;
      return byteCount;
    };
    return file;
  }
}

describe('a disk that changes its mind', () => {
  const scratch = ScratchTopic.forEach(3);

  it('leaves no file of a reader open that met an error where it looked for its place', async () => {
    const fileSystem = new UnreadableFileSystem();
    const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
    const reader = await topic.openReader({ from: 2 });
    expect(() => reader.skim({ maxBytes: 1, maxRecords: 1, untilOffset: 3 })).to.throw(FastQueueError);
    reader.close();
    await topic.close();
    expect(fileSystem.openCount).to.equal(0);
  });

  it('has a sound mark for a reader that met it half written', async () => {
    const fileSystem = new TornMarkFileSystem();
    const mark = await ReaderMark.open(scratch.context(fileSystem), {
      onDamage: 'stop',
      settle: () => Promise.resolve(),
    });
    fileSystem.isTorn = true;
    expect(mark.peek()).to.deep.equal(mark.value);
    expect(fileSystem.isTorn).to.equal(false);
    mark.close();
  });

  it('has no settings where topic.json went between a look at it and its opening', () => {
    const context = scratch.context(new SettingsGoneFileSystem());
    expect(readTopicSettings(context)).to.equal(undefined);
  });

  it('lets a topic be made anew whose deletion somebody else has finished meanwhile', async () => {
    const file = scratch.context().fileSystem.open(scratch.path('high-watermark'), 'update');
    const mark = peekMark(file);
    if (mark === undefined) throw new Error('the mark is unsound');
    writeMark(file, { ...mark, flags: MARK_FLAG.deleted });
    file.close();
    const data = scratch.dataDirectory(new FasterDeleter(scratch.directory));
    const topic = await data.openTopic(TOPIC, { mode: 'append', create: {} });
    expect((await topic.append([Buffer.from('new')])).offset).to.equal(0);
    await topic.close();
  });
});
