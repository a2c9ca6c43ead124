/** Records on their way to a reader who has room for some of them, or for none. */
import { expect } from 'chai';
import { RecordOutput } from '../../src/cli/consume/record-output.ts';
import type { Output } from '../../src/cli/output.ts';

/** Has room for the next number of bytes each time that it is asked, and takes what is written a turn later. */
class SlowReader implements Output {
  readonly isClosed = false;
  readonly isSynchronous = false;
  readonly rooms: number[];
  readonly taken: number[] = [];
  #isWriting = false;

  constructor(...rooms: number[]) {
    this.rooms = rooms;
  }

  takeAtOnce(bytes: Uint8Array): number {
    expect(this.#isWriting, 'asked while others wait').to.equal(false);
    const count = Math.min(this.rooms.shift() ?? 0, bytes.length);
    this.taken.push(...bytes.subarray(0, count));
    return count;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#isWriting = true;
    await new Promise(setImmediate);
    this.taken.push(...chunk);
    this.#isWriting = false;
  }
}

/** Writes so many stretches of ten bytes, each from the same buffer, changed as soon as it may be. */
async function writeStretches(output: RecordOutput, count: number): Promise<void> {
  const bytes = Buffer.alloc(10);
  for (let number = 0; number < count; number++) {
    bytes.fill(number);
    const written = output.write(bytes);
    bytes.fill(255);
    await written;
  }
  await output.drain();
}

const stretches = (count: number): number[] =>
  Array.from({ length: 10 * count }, (_, at) => Math.floor(at / 10));

describe('RecordOutput', () => {
  for (const rooms of [[], [10, 10, 10, 10, 10, 10], [3, 10, 0, 7], [10, 0, 10, 0, 10, 0], [0, 1, 2, 3]]) {
    it(`passes on every byte in order to a reader with room for ${rooms.join(', ') || 'none'}`, async () => {
      const reader = new SlowReader(...rooms);
      await writeStretches(new RecordOutput(reader), 6);
      expect(reader.taken).to.deep.equal(stretches(6));
    });
  }

  it('makes the next stretch wait for no more than the one before', async () => {
    const reader = new SlowReader();
    const output = new RecordOutput(reader);
    await output.write(Buffer.alloc(10));
    expect(reader.taken).to.deep.equal([]);
    await output.write(Buffer.alloc(10));
    expect(reader.taken.length).to.equal(10);
    await output.drain();
    expect(reader.taken.length).to.equal(20);
  });

  it('tells whoever writes next, and whoever waits for the end, of what could not be written', async () => {
    const failure = new Error('no space');
    const reader = new SlowReader();
    reader.write = () => Promise.reject(failure);
    const output = new RecordOutput(reader);
    await output.write(Buffer.alloc(10));
    const next: unknown = await output.write(Buffer.alloc(10)).catch((error: unknown) => error);
    expect(next).to.equal(failure);
    const end: unknown = await output.drain().catch((error: unknown) => error);
    expect(end).to.equal(failure);
  });
});
