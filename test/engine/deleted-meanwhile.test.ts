/**
 * A topic that is deleted, or deleted and made anew, while somebody opens and reads it: before each file that the reader
 * opens, up to each step of the deletion. It is told the records of one life or that there is no such topic, and never of
 * a disk error or damage.
 */
import { expect } from 'chai';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FastQueueError } from '../../src/engine/errors.ts';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  MARK_FLAG,
} from '../../src/engine/format/high-watermark.ts';
import { NodeFileSystem } from '../../src/engine/io/node-file-system.ts';
import { ScratchTopic, TOPIC } from '../support/scratch-topic.ts';

const COUNT = 12;

/** The steps of a deletion, each with all before it; at last there is another topic of that name, of other stores or of such as these. */
const STEPS = ['flagged', 'renamed', 'removed', 'made anew', 'made alike'] as const;

const recordsOf = (letter: string): string[] =>
  Array.from({ length: COUNT }, (_, offset) => `${offset}:`.padEnd(200, letter));

describe('a topic that is deleted while somebody reads it', () => {
  let scratch: ScratchTopic;
  let before: string;
  let after: string;
  let alike: string;

  beforeEach(async () => {
    scratch = new ScratchTopic();
    const data = scratch.dataDirectory();
    before = join(scratch.directory, '.kept-before');
    after = join(scratch.directory, '.kept-after');
    await scratch.fill(COUNT, { segmentBytes: 1024 });
    cpSync(data.context(TOPIC).directory, before, { recursive: true });
    await data.deleteTopic(TOPIC);
    const topic = await scratch.open();
    await topic.append([Buffer.from('another life')]);
    await topic.close();
    renameSync(data.context(TOPIC).directory, after);
    alike = join(scratch.directory, '.kept-alike');
    const other = await scratch.open({ segmentBytes: 1024 });
    for (const record of recordsOf('y')) await other.append([Buffer.from(record)]);
    await other.close();
    renameSync(data.context(TOPIC).directory, alike);
  });

  afterEach(() => {
    scratch.remove();
  });

  function deleteUpTo(step: (typeof STEPS)[number]): void {
    const directory = join(scratch.directory, TOPIC);
    const markPath = join(directory, 'high-watermark');
    const mark = decodeHighWatermark(readFileSync(markPath))!;
    // In place: a reader may have it open.
    writeFileSync(markPath, encodeHighWatermark({ ...mark, flags: mark.flags | MARK_FLAG.deleted }), {
      flag: 'r+',
    });
    if (step === 'flagged') return;
    const deleted = join(scratch.directory, '.deleted-01234567-89ab-4def-8123-456789abcdef');
    renameSync(directory, deleted);
    if (step === 'renamed') return;
    rmSync(deleted, { recursive: true });
    if (step === 'removed') return;
    cpSync(step === 'made anew' ? after : alike, directory, { recursive: true });
  }

  /** What one reader gets from the beginning to the end, or the code of its refusal. */
  async function readAll(fileSystem: NodeFileSystem): Promise<string[]> {
    const seen: string[] = [];
    try {
      const topic = await scratch.dataDirectory(fileSystem).openTopic(TOPIC, { mode: 'read' });
      for await (const entry of topic.records())
        seen.push(entry.type === 'record' ? entry.payload.toString().trim() : 'gap');
      await topic.close();
    } catch (error) {
      if (!(error instanceof FastQueueError)) throw error;
      // What came before is of one life, too.
      const lives = new Set(seen.map((record) => record.at(-1)));
      return lives.size > 1 ? seen : [error.code];
    }
    return seen;
  }

  /** The second record of the life that is being read. */
  function damage(): void {
    const path = join(scratch.directory, TOPIC, '00000000000000000000.store');
    const bytes = readFileSync(path);
    bytes[316]! ^= 1;
    writeFileSync(path, bytes);
  }

  const cases = [false, true].flatMap((isDamaged) => STEPS.map((step) => ({ step, isDamaged })));
  for (const { step, isDamaged } of cases) {
    const title = isDamaged ? 'or found damaged' : 'or not found';
    it(`is read in one life ${title}, ${step} before any file that the reader opens`, async () => {
      const directory = join(scratch.directory, TOPIC);
      let isReached = true;
      let at = 1;
      for (; isReached; at++) {
        rmSync(directory, { recursive: true, force: true });
        rmSync(join(scratch.directory, '.deleted-01234567-89ab-4def-8123-456789abcdef'), {
          recursive: true,
          force: true,
        });
        mkdirSync(directory);
        cpSync(before, directory, { recursive: true });
        if (isDamaged) damage();
        let openCount = 0;
        isReached = false;
        const disk = new NodeFileSystem({ map: false });
        const open = disk.open.bind(disk);
        const fileSystem = Object.assign(disk, {
          open: (...request: Parameters<typeof open>) => {
            openCount += 1;
            if (openCount === at) {
              deleteUpTo(step);
              isReached = true;
            }
            return open(...request);
          },
        });
        expect(await readAll(fileSystem), `${step} before open ${at}`).to.be.deep.oneOf([
          isDamaged ? ['damaged'] : recordsOf('x'),
          ['another life'],
          recordsOf('y'),
          ['topic_not_found'],
        ]);
      }
      expect(at, 'files opened').to.be.greaterThan(4);
    });
  }
});
