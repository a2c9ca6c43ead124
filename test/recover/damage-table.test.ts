/**
 * Every small damage that can be done to a log of several segments: what recover says is lost is lost, and nothing else;
 * and undo gives back the stores byte for byte.
 */
import { expect } from 'chai';
import { undoRecovery } from '../../src/engine/recover.ts';
import { verifyTopic } from '../../src/engine/verify.ts';
import { framePositions, lostOffsets, RecoveryScene } from '../support/recovery-scene.ts';

const storeName = (baseOffset: number): string => `${String(baseOffset).padStart(20, '0')}.store`;

describe('recover, over every damage of a table', function () {
  this.timeout(240_000);
  const scene = new RecoveryScene();
  let stores: { name: string; baseOffset: number; bytes: Buffer; frames: number[] }[] = [];

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

  /** A log that was recovered has nothing left to find. */
  async function expectVerified(title: string): Promise<void> {
    const verified = await verifyTopic(scene.scratch.context(scene.fileSystem), {
      quick: false,
      onBytes: () => undefined,
    });
    // Unsound entries at the end of an index are what a power cut leaves: the next append goes over them.
    const [finding] = verified.findings.filter(({ code }) => code !== 'leftover' && code !== 'index_unsound');
    if (finding !== undefined) failures.push(`${title}: verify found ${finding.code}: ${finding.message}`);
  }

  /** Damage, recover, compare, recover again, undo, compare. */
  async function check(
    title: string,
    changes: ReadonlyMap<string, Buffer | undefined>,
    expectedLost: readonly number[] | undefined,
    options: { tryBitFlip?: boolean } = {},
  ): Promise<void> {
    cases += 1;
    scene.reset(changes);
    try {
      const damaged = scene.stores();
      const seen = await verifyTopic(scene.scratch.context(scene.fileSystem), {
        quick: false,
        onBytes: () => undefined,
      });
      const report = await scene.recover(options);
      const lost = lostOffsets(report);
      const found = seen.findings.filter(({ severity }) => severity === 'error').length;
      if (
        found === 0 &&
        report.repairs.some(({ code }) => code !== 'torn_tail' && !code.startsWith('index_'))
      )
        failures.push(`${title}: verify found nothing`);
      if (options.tryBitFlip !== true && [...lostOffsets(seen)].join() !== [...lost].join())
        failures.push(
          `${title}: verify says ${[...lostOffsets(seen)].join()} are lost, recover ${[...lost].join()}`,
        );
      if (expectedLost !== undefined && [...lost].join() !== expectedLost.join())
        failures.push(`${title}: lost ${[...lost].join()}, expected ${expectedLost.join()}`);
      const differences = await scene.differences(lost);
      if (differences.length > 0) failures.push(`${title}: ${differences.join('; ')}`);
      const repaired = scene.stores();
      // Of the thousands of single bits one in eight is enough: what recover makes of them is the same.
      if (cases < 500 || cases % 8 === 0) await expectVerified(title);
      const again = await scene.recover();
      if (again.repairs.length > 0)
        failures.push(`${title}: a second recover found ${again.repairs[0]?.code ?? ''}`);
      expect(scene.stores()).to.deep.equal(repaired);
      for (const { run } of [...report.runs].reverse()) {
        await undoRecovery(scene.scratch.context(scene.fileSystem), { run, lockTimeoutMs: 2000 });
      }
      const undone = scene.stores();
      for (const [name, bytes] of damaged) {
        if (undone.get(name) !== bytes && !(bytes === '' && undone.get(name) === undefined))
          failures.push(`${title}: undo did not give back ${name}`);
      }
    } catch (error) {
      failures.push(`${title}: ${String(error)}`);
    }
  }

  function finish(what: string): void {
    const shown = failures.splice(0);
    const count = cases;
    cases = 0;
    expect(shown.slice(0, 8), `${shown.length} failures in ${count} cases of ${what}`).to.deep.equal([]);
    expect(count).to.be.greaterThan(0);
    console.log(`        ${count} cases`);
  }

  it('loses the record that a flipped bit hit, and no other, whichever bit it was', async () => {
    for (const { name, bytes, frames, baseOffset } of stores) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = Buffer.from(bytes);
        flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
        const hit = baseOffset + frames.findLastIndex((position) => position <= bit >>> 3);
        await check(`${name} bit ${bit}`, new Map([[name, flipped]]), [hit]);
      }
    }
    finish('single-bit flips');
  });

  it('brings the record back with --try-bitflip, whichever bit it was', async () => {
    for (const { name, bytes } of stores) {
      for (let bit = 0; bit < bytes.length * 8; bit += 3) {
        const flipped = Buffer.from(bytes);
        flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
        await check(`${name} bit ${bit}`, new Map([[name, flipped]]), [], { tryBitFlip: true });
      }
    }
    finish('single-bit flips with --try-bitflip');
  });

  it('loses what stood behind a truncation, at every byte of every store', async () => {
    for (const { name, bytes, frames, baseOffset } of stores) {
      for (let size = 0; size < bytes.length; size++) {
        const first = frames.findLastIndex((position) => position <= size);
        const lost = frames.slice(first, -1).map((_, number) => baseOffset + first + number);
        await check(`${name} cut to ${size}`, new Map([[name, bytes.subarray(0, size)]]), lost);
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
        await check(`${name} frame ${number} removed`, new Map([[name, without]]), [baseOffset + number]);
      }
    }
    finish('removed frames');
  });

  it('loses nothing where a frame was doubled', async () => {
    for (const { name, bytes, frames } of stores) {
      for (let number = 0; number + 1 < frames.length; number++) {
        const end = frames[number + 1];
        const twice = Buffer.concat([bytes.subarray(0, end), bytes.subarray(frames[number])]);
        await check(`${name} frame ${number} doubled`, new Map([[name, twice]]), []);
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
        await check(`${name} frames ${number} and ${number + 1} swapped`, new Map([[name, swapped]]), []);
      }
    }
    finish('swapped frames');
  });

  it('loses the records of a store that was removed or emptied', async () => {
    for (const { name, frames, baseOffset } of stores) {
      const lost = frames.slice(0, -1).map((_, number) => baseOffset + number);
      await check(`${name} removed`, new Map([[name, undefined]]), lost);
      await check(`${name} emptied`, new Map([[name, Buffer.alloc(0)]]), lost);
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
        await check(`${left.name} and ${right.name} exchanged`, changes, []);
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
      await check(`${name} renamed`, changes, []);
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
        await check(`${name} zeros at ${start}`, new Map([[name, zeroed]]), lost);
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
          await check(`${name} ${count} bytes before frame ${number}`, new Map([[name, more]]), []);
        }
      }
    }
    finish('foreign bytes');
  });

  it('loses nothing where the mark is damaged, missing or empty, or topic.json is', async () => {
    const mark = scene.healthy.get('high-watermark') as Buffer;
    for (let at = 0; at < mark.length; at++) {
      const damaged = Buffer.from(mark);
      damaged[at] = (damaged[at] as number) ^ 0x10;
      await check(`mark byte ${at}`, new Map([['high-watermark', damaged]]), []);
    }
    await check('mark missing', new Map([['high-watermark', undefined]]), []);
    await check('mark empty', new Map([['high-watermark', Buffer.alloc(0)]]), []);
    await check('topic.json missing', new Map([['topic.json', undefined]]), []);
    await check('topic.json cut', new Map([['topic.json', Buffer.from('{"format":')]]), []);
    finish('marks and settings');
  });

  it("makes an index anew that is damaged, missing or another segment's, and loses nothing", async () => {
    const indexes = [...scene.healthy].filter(([name]) => name.endsWith('.index'));
    for (const [name, bytes] of indexes) {
      for (let at = 0; at < bytes.length; at += 5) {
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] as number) ^ 2;
        await check(`${name} byte ${at}`, new Map([[name, flipped]]), []);
      }
      await check(`${name} missing`, new Map([[name, undefined]]), []);
      await check(`${name} empty`, new Map([[name, Buffer.alloc(0)]]), []);
      await check(`${name} zeros`, new Map([[name, Buffer.alloc(bytes.length)]]), []);
      for (const [other, others] of indexes)
        if (other !== name) await check(`${name} is ${other}`, new Map([[name, others]]), []);
    }
    finish('indexes');
  });

  it('names a store as its offset', () => {
    expect(stores[0]?.name).to.equal(storeName(0));
  });
});
