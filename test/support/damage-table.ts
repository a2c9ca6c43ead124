/**
 * Every small damage that can be done to a log of several segments: verify finds just that, what recover says is lost is
 * lost, and nothing else; and undo gives back the stores byte for byte. The suite takes a part of the long rows, the soak
 * all of them.
 */
import { expect } from 'chai';
import { decodeHighWatermark, encodeHighWatermark } from '../../src/engine/format/high-watermark.ts';
import type { HighWatermark } from '../../src/engine/format/high-watermark.ts';
import { undoRecovery } from '../../src/engine/recovery/recover.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';
import { framePositions, lostOffsets, RecoveryScene, snapshotOf } from './recovery-scene.ts';

const storeName = (baseOffset: number): string => `${String(baseOffset).padStart(20, '0')}.store`;

interface Expected {
  /** Offsets that are lost. */
  readonly lost: readonly number[];
  /** Codes of the errors that verify finds, in order. */
  readonly codes: readonly string[];
}

interface Store {
  readonly name: string;
  readonly baseOffset: number;
  readonly bytes: Buffer;
  /** Where each frame begins, and where the last one ends. */
  readonly frames: readonly number[];
}

const DAMAGED_INDEX: Expected = { lost: [], codes: [] };

/**
 * Defines the table's tests.
 *
 * @param stride of the rows that have thousands of cases, only every so many-th is tried
 */
export function describeDamageTable(stride: number): void {
  const scene = new RecoveryScene();
  let stores: Store[] = [];

  before(async () => {
    await scene.fill(
      [
        [2, 1],
        [1, 1, 2],
        [3, 1],
      ],
      {
        payload: (offset) => Buffer.from(`record ${offset} `.padEnd(10 + ((offset * 7) % 23), '.')),
      },
    );
    stores = [...scene.healthy]
      .filter(([name]) => name.endsWith('.store'))
      .map(([name, bytes]) => ({
        name,
        baseOffset: Number.parseInt(name, 10),
        bytes,
        frames: framePositions(bytes),
      }));
    expect(stores.length).to.be.greaterThan(2);
  });

  after(() => {
    scene.remove();
  });

  const failures: string[] = [];
  let cases = 0;

  async function verify(): Promise<Awaited<ReturnType<typeof verifyTopic>>> {
    const options = { quick: false, onBytes: () => undefined };
    return verifyTopic(scene.scratch.context(scene.fileSystem), options);
  }

  /** A log that was recovered has nothing left to find. */
  async function expectVerified(title: string): Promise<void> {
    const verified = await verify();
    // Unsound entries at the end of an index are what a power cut leaves: the next append goes over them.
    const [finding] = [...verified.findings].filter(
      ({ code }) => code !== 'leftover' && code !== 'index_unsound',
    );
    if (finding !== undefined) failures.push(`${title}: verify found ${finding.code}: ${finding.message}`);
  }

  /** Damage, verify, recover, compare, verify and recover again, undo, compare. */
  async function check(
    title: string,
    changes: ReadonlyMap<string, Buffer | undefined>,
    expected: Expected,
    options: { tryBitFlip?: boolean } = {},
  ): Promise<void> {
    cases += 1;
    scene.reset(changes);
    try {
      const damaged = scene.stores();
      const seen = await verify();
      const errors = [...seen.findings].filter(({ severity }) => severity === 'error');
      if (errors.map(({ code }) => code).join() !== expected.codes.join())
        failures.push(
          `${title}: verify found ${errors.map(({ code }) => code).join() || 'nothing'}, expected ${expected.codes.join()}`,
        );
      const report = await scene.recover(options);
      const lost = lostOffsets(report);
      if (options.tryBitFlip !== true && [...lostOffsets(seen)].join() !== [...lost].join())
        failures.push(
          `${title}: verify says ${[...lostOffsets(seen)].join()} are lost, recover ${[...lost].join()}`,
        );
      if ([...lost].join() !== expected.lost.join())
        failures.push(`${title}: lost ${[...lost].join()}, expected ${expected.lost.join()}`);
      const differences = await scene.differences(lost);
      if (differences.length > 0) failures.push(`${title}: ${differences.join('; ')}`);
      const repaired = snapshotOf(scene.directory);
      await expectVerified(title);
      const again = await scene.recover();
      if (again.repairs.length > 0)
        failures.push(`${title}: a second recover found ${[...again.repairs][0]?.code ?? ''}`);
      expect(snapshotOf(scene.directory), 'after a second recover').to.deep.equal(repaired);
      for (const { run } of [...report.runs].reverse()) {
        await undoRecovery(scene.scratch.context(scene.fileSystem), { run, lockTimeoutMs: 2000 });
      }
      const undone = scene.stores();
      for (const name of new Set([...damaged.keys(), ...undone.keys()])) {
        if ((undone.get(name) ?? '') !== (damaged.get(name) ?? ''))
          failures.push(`${title}: undo did not give back ${name}`);
      }
    } catch (error) {
      failures.push(`${title}: ${String(error)}`);
    }
  }

  const isActive = (name: string): boolean => name === stores.at(-1)?.name;
  /** What verify calls a hole that reaches the end of a store. */
  const endCode = (name: string): string => (isActive(name) ? 'missing_tail' : 'bad_length');

  function finish(what: string): void {
    const shown = failures.splice(0);
    const count = cases;
    cases = 0;
    expect(shown.slice(0, 8), `${shown.length} failures in ${count} cases of ${what}`).to.deep.equal([]);
    expect(count).to.be.greaterThan(0);
    console.log(`        ${count} cases`);
  }

  /** The bytes of a store with one bit flipped, the number of the frame that it is in, and what verify calls that. */
  function flipOf(
    { name, bytes, frames }: Store,
    bit: number,
  ): { flipped: Buffer; number: number; code: string } {
    const flipped = Buffer.from(bytes);
    flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
    const number = frames.findLastIndex((position) => position <= bit >>> 3);
    const at = (bit >>> 3) - (frames[number] as number);
    // The low 28 bits of a frame say where it ends.
    const isLength = at < 4 && !(at === 0 && (bit & 7) >= 4);
    const lengthCode = number === frames.length - 2 ? endCode(name) : 'bad_length';
    return { flipped, number, code: isLength ? lengthCode : 'bad_checksum' };
  }

  it('loses the record that a flipped bit hit, and no other, whichever bit it was', async () => {
    for (const store of stores) {
      for (let bit = 0; bit < store.bytes.length * 8; bit += stride) {
        const { flipped, number, code } = flipOf(store, bit);
        const expected = { lost: [store.baseOffset + number], codes: [code] };
        await check(`${store.name} bit ${bit}`, new Map([[store.name, flipped]]), expected);
      }
    }
    finish('single-bit flips');
  });

  it('brings the record back with --try-bitflip, whichever bit it was', async () => {
    for (const store of stores) {
      for (let bit = 0; bit < store.bytes.length * 8; bit += 3 * stride) {
        const { flipped, code } = flipOf(store, bit);
        const expected = { lost: [], codes: [code] };
        await check(`${store.name} bit ${bit}`, new Map([[store.name, flipped]]), expected, {
          tryBitFlip: true,
        });
      }
    }
    finish('single-bit flips with --try-bitflip');
  });

  it('loses what stood behind a truncation, at every byte of every store', async () => {
    for (const { name, bytes, frames, baseOffset } of stores) {
      for (let size = 0; size < bytes.length; size += stride > 1 ? 3 : 1) {
        const first = frames.findLastIndex((position) => position <= size);
        const lost = frames.slice(first, -1).map((_, number) => baseOffset + first + number);
        const isAtFrame = frames.includes(size);
        const sealedCode = isAtFrame ? 'missing_segment' : 'bad_length';
        const codes = [isActive(name) ? 'missing_tail' : sealedCode];
        await check(`${name} cut to ${size}`, new Map([[name, bytes.subarray(0, size)]]), { lost, codes });
      }
    }
    finish('truncations');
  });

  it('loses the record of a frame that was removed', async () => {
    for (const { name, bytes, frames, baseOffset } of stores) {
      for (let number = 0; number + 1 < frames.length; number++) {
        const without = Buffer.concat([
          bytes.subarray(0, frames[number]),
          bytes.subarray(frames[number + 1]),
        ]);
        const isLast = number === frames.length - 2;
        const lastCode = isActive(name) ? 'missing_tail' : 'missing_segment';
        const expected = { lost: [baseOffset + number], codes: [isLast ? lastCode : 'bad_length'] };
        await check(`${name} frame ${number} removed`, new Map([[name, without]]), expected);
      }
    }
    finish('removed frames');
  });

  it('loses nothing where a frame was doubled', async () => {
    for (const { name, bytes, frames } of stores) {
      for (let number = 0; number + 1 < frames.length; number++) {
        const end = frames[number + 1];
        const twice = Buffer.concat([bytes.subarray(0, end), bytes.subarray(frames[number])]);
        await check(`${name} frame ${number} doubled`, new Map([[name, twice]]), {
          lost: [],
          codes: isActive(name) && end === bytes.length ? [] : ['foreign_bytes'],
        });
      }
    }
    finish('doubled frames');
  });

  it('puts swapped frames back and loses nothing', async () => {
    for (const { name, bytes, frames } of stores) {
      for (let number = 0; number + 2 < frames.length; number++) {
        const [start, middle, end] = frames.slice(number) as [number, number, number];
        const swapped = Buffer.concat([
          bytes.subarray(0, start),
          bytes.subarray(middle, end),
          bytes.subarray(start, middle),
          bytes.subarray(end),
        ]);
        await check(`${name} frames ${number} and ${number + 1} swapped`, new Map([[name, swapped]]), {
          lost: [],
          codes: ['misplaced_frames'],
        });
      }
    }
    finish('swapped frames');
  });

  it('loses the records of a store that was removed or emptied', async () => {
    for (const { name, frames, baseOffset } of stores) {
      const lost = frames.slice(0, -1).map((_, number) => baseOffset + number);
      const codes = ['missing_segment'];
      await check(`${name} removed`, new Map([[name, undefined]]), { lost, codes });
      await check(`${name} emptied`, new Map([[name, Buffer.alloc(0)]]), {
        lost,
        codes: isActive(name) ? ['missing_tail'] : codes,
      });
    }
    finish('removed and emptied stores');
  });

  it('loses nothing where stores were exchanged', async () => {
    for (const left of stores) {
      for (const right of stores) {
        if (left.baseOffset >= right.baseOffset) continue;
        const changes = new Map([
          [left.name, right.bytes],
          [right.name, left.bytes],
        ]);
        await check(`${left.name} and ${right.name} exchanged`, changes, {
          lost: [],
          codes: ['misplaced_frames', 'misplaced_frames'],
        });
      }
    }
    finish('exchanged stores');
  });

  it('loses nothing where a store was renamed', async () => {
    for (const { name, baseOffset, bytes, frames } of stores) {
      if (frames.length < 3) continue;
      const changes = new Map([
        [name, undefined],
        [storeName(baseOffset + 1), bytes],
      ]);
      await check(`${name} renamed`, changes, { lost: [], codes: ['misplaced_frames'] });
    }
    finish('renamed stores');
  });

  it('loses the records of every block of 16 bytes that reads as zeros, and no other', async () => {
    for (const { name, bytes, frames, baseOffset } of stores) {
      for (let start = 0; start < bytes.length; start += 8) {
        const zeroed = Buffer.from(bytes).fill(0, start, Math.min(start + 16, bytes.length));
        const lost = frames.slice(0, -1).flatMap((position, number) => {
          const end = frames[number + 1] as number;
          const isHit = !zeroed.subarray(position, end).equals(bytes.subarray(position, end));
          return isHit ? [baseOffset + number] : [];
        });
        // Where the bytes of one frame are zeros behind its Length, it is one frame that does not check out.
        const first = frames.findLastIndex((position) => position <= start);
        const hasLength = start - (frames[first] as number) >= 4;
        const reachesEnd = lost.includes(baseOffset + frames.length - 2);
        const code = reachesEnd ? endCode(name) : 'bad_length';
        const codes = lost.length === 0 ? [] : [lost.length === 1 && hasLength ? 'bad_checksum' : code];
        await check(`${name} zeros at ${start}`, new Map([[name, zeroed]]), { lost, codes });
      }
    }
    finish('zeroed blocks');
  });

  it('loses nothing to foreign bytes between frames, however many', async () => {
    for (const { name, bytes, frames } of stores) {
      for (const [number, position] of frames.entries()) {
        for (const count of [1, 7, 15, 16, 17, 40]) {
          const more = Buffer.concat([
            bytes.subarray(0, position),
            Buffer.alloc(count, 0xa5),
            bytes.subarray(position),
          ]);
          await check(`${name} ${count} bytes before frame ${number}`, new Map([[name, more]]), {
            lost: [],
            // Behind the mark they are a torn tail.
            codes: isActive(name) && position === bytes.length ? [] : ['foreign_bytes'],
          });
        }
      }
    }
    finish('foreign bytes');
  });

  it('loses nothing where the mark is damaged, missing or empty, or topic.json is', async () => {
    const mark = scene.healthy.get('high-watermark') as Buffer;
    const unsound = { lost: [], codes: ['mark_unsound'] };
    const settings = { lost: [], codes: ['topic_settings'] };
    for (let at = 0; at < mark.length; at++) {
      const damaged = Buffer.from(mark);
      damaged[at] = (damaged[at] as number) ^ 0x10;
      await check(`mark byte ${at}`, new Map([['high-watermark', damaged]]), unsound);
    }
    await check('mark missing', new Map([['high-watermark', undefined]]), unsound);
    await check('mark empty', new Map([['high-watermark', Buffer.alloc(0)]]), unsound);
    await check('topic.json missing', new Map([['topic.json', undefined]]), settings);
    await check('topic.json cut', new Map([['topic.json', Buffer.from('{"format":')]]), settings);
    finish('marks and settings');
  });

  const markBytes = (change: Partial<HighWatermark>): Map<string, Buffer> => {
    const mark = decodeHighWatermark(scene.healthy.get('high-watermark') as Buffer) as HighWatermark;
    return new Map([['high-watermark', encodeHighWatermark({ ...mark, ...change })]]);
  };

  /** The mark as it was once, the time of its last record included. */
  const staleMark = (
    nextOffset: number,
    place: { baseOffset?: number; position: number },
  ): Map<string, Buffer> => {
    const timestamp = Number.parseInt(scene.seen.get(nextOffset - 1) ?? '0', 10);
    return markBytes({ ...place, nextOffset, timestamp });
  };

  it('loses nothing to a mark that is stale, by a record, a segment or all of the log', async () => {
    const active = stores.at(-1)!;
    for (const [number, position] of active.frames.slice(0, -1).entries())
      await check(
        `mark before frame ${number}`,
        staleMark(active.baseOffset + number, { position }),
        DAMAGED_INDEX,
      );
    for (const { baseOffset, frames } of stores.slice(0, -1))
      for (const [number, position] of frames.entries())
        await check(
          `mark at ${position} of the segment ${baseOffset}`,
          staleMark(baseOffset + number, { baseOffset, position }),
          DAMAGED_INDEX,
        );
    finish('stale marks');
  });

  it('names as lost what a mark ahead of the log says was there', async () => {
    const end = stores.at(-1)!.baseOffset + stores.at(-1)!.frames.length - 1;
    for (const count of [1, 2, 1000])
      for (const bytes of [1, 16, 4096]) {
        const position = stores.at(-1)!.bytes.length + bytes;
        const lost = Array.from({ length: count }, (_, number) => end + number);
        await check(`mark ${count} records ahead`, markBytes({ nextOffset: end + count, position }), {
          lost,
          codes: ['missing_tail'],
        });
      }
    finish('marks ahead');
  });

  it("makes an index anew that is damaged, missing or another segment's, and loses nothing", async () => {
    const indexes = [...scene.healthy].filter(([name]) => name.endsWith('.index'));
    for (const [name, bytes] of indexes) {
      for (let at = 0; at < bytes.length; at += stride > 1 ? 5 : 1) {
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] as number) ^ 2;
        await check(`${name} byte ${at}`, new Map([[name, flipped]]), DAMAGED_INDEX);
      }
      await check(`${name} missing`, new Map([[name, undefined]]), DAMAGED_INDEX);
      await check(`${name} empty`, new Map([[name, Buffer.alloc(0)]]), DAMAGED_INDEX);
      await check(`${name} zeros`, new Map([[name, Buffer.alloc(bytes.length)]]), DAMAGED_INDEX);
      for (const [other, others] of indexes)
        if (other !== name) await check(`${name} is ${other}`, new Map([[name, others]]), DAMAGED_INDEX);
    }
    finish('indexes');
  });

  it('names a store as its offset', () => {
    expect(stores[0]?.name).to.equal(storeName(0));
  });
}
