/** The index beside writers that fail, die or drop it: what it names is there, and it is the file of its name. */
import { expect } from 'chai';
import { appendFileSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  MARK_FLAG,
} from '../../src/engine/format/high-watermark.ts';
import {
  decodeIndexEntry,
  encodeIndexEntry,
  INDEX_ENTRY_BYTES,
} from '../../src/engine/format/index-entry.ts';
import { FaultyFileSystem } from '../support/faulty-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const STORE = '00000000000000000000.store';
const INDEX = '00000000000000000000.index';

describe('the index of the active segment', () => {
  let scratch: ScratchTopic;

  beforeEach(() => {
    scratch = new ScratchTopic();
  });

  afterEach(() => {
    scratch.remove();
  });

  const lastPosition = (): number | undefined => {
    const bytes = existsSync(scratch.path(INDEX)) ? readFileSync(scratch.path(INDEX)) : Buffer.alloc(0);
    if (bytes.length === 0) return undefined;
    return decodeIndexEntry(bytes, bytes.length - INDEX_ENTRY_BYTES)?.position;
  };
  const storeBytes = (): number => readFileSync(scratch.path(STORE)).length;
  const forgeEntry = (position: number): void => {
    const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
    encodeIndexEntry(entry, 0, { offset: 1000, position, lengthField: 10 });
    appendFileSync(scratch.path(INDEX), entry);
  };

  /** Whoever dies in between must not leave an index that names what is no longer there. */
  const expectDroppedBeforeCut = ({ changes }: FaultyFileSystem): void => {
    const dropped = changes.indexOf(`remove ${INDEX}`);
    expect(dropped).to.not.equal(-1);
    expect(changes.indexOf(`truncate ${STORE}`)).to.be.greaterThan(dropped);
  };

  it('is not written where a link bears its name, whatever that leads to', async () => {
    await scratch.fill(10);
    for (const name of [STORE, 'topic.json']) {
      rmSync(scratch.path(INDEX));
      symlinkSync(name, scratch.path(INDEX));
      const before = readFileSync(scratch.path(name));
      await scratch.fill(10);
      const now = readFileSync(scratch.path(name));
      expect(now.subarray(0, before.length).equals(before), name).to.equal(true);
    }
    expect((await scratch.everyOffset()).size).to.equal(30);
  });

  it('is begun anew by a writer when another one had to drop it', async () => {
    const [one, other] = [await scratch.open(), await scratch.open()];
    await one.append([Buffer.alloc(2000)]);
    await other.append([Buffer.alloc(2000)]);
    rmSync(scratch.path(INDEX));
    const position = storeBytes();
    await one.append([Buffer.alloc(2000)]);
    expect(lastPosition()).to.equal(position);
    await one.close();
    await other.close();
  });

  it('names nothing at or behind the place that the store is cut at after a failed write', async () => {
    await scratch.fill(5);
    forgeEntry(storeBytes());
    const fileSystem = new FaultyFileSystem();
    const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append' });
    fileSystem.failNext('write to', STORE);
    const error: unknown = await topic.append([Buffer.alloc(50)]).catch((caught: unknown) => caught);
    expect(error).to.include({ code: 'io_error' });
    expect(lastPosition() ?? 0).to.be.lessThan(storeBytes());
    expectDroppedBeforeCut(fileSystem);
    await topic.close();
  });

  it('names nothing at or behind the place that a tail is cut at which nobody may believe', async () => {
    await scratch.fill(5);
    const position = storeBytes();
    appendFileSync(scratch.path(STORE), Buffer.alloc(100, 0x5a));
    forgeEntry(position);
    const mark = decodeHighWatermark(readFileSync(scratch.path('high-watermark')))!;
    writeFileSync(scratch.path('high-watermark'), encodeHighWatermark({ ...mark, flags: MARK_FLAG.failed }));
    const fileSystem = new FaultyFileSystem();
    const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'append' });
    await topic.close();
    expect(storeBytes()).to.equal(position);
    expect(lastPosition() ?? 0).to.be.lessThan(position);
    expectDroppedBeforeCut(fileSystem);
  });
});
