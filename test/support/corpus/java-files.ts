/** Files as the Java FastQueue2 left them, which only inspect-segment reads. */
import { writeInt64 } from '../../../src/engine/format/big-endian.ts';
import { INDEX_ENTRY_BYTES } from '../../../src/engine/format/index-entry.ts';
import { flip } from './damages.ts';
import type { ExpectedJava } from './expected.ts';
import { at, FIRST_TIME, nameOf, positionsOf } from './healthy-log.ts';

/** A frame as the Java FastQueue2 writes it: the checksum is the XOR of the payload's sign-extended bytes. */
function javaFrame(text: string, timestamp: number): Buffer {
  const payload = Buffer.from(text, 'latin1');
  const frame = Buffer.alloc(16 + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  writeInt64(frame, timestamp, 4);
  let sum = 0;
  for (let byte = 0; byte < payload.length; byte++) sum ^= payload.readInt8(byte);
  frame.writeInt32BE(sum, 12);
  payload.copy(frame, 16);
  return frame;
}

/** Zeros first and last, as that version left them, and one entry a frame in between. */
function javaIndex(base: number, list: readonly Buffer[]): Buffer {
  const entries = list.map((frame, number) => {
    const entry = Buffer.alloc(INDEX_ENTRY_BYTES);
    writeInt64(entry, base + number, 0);
    writeInt64(entry, at(positionsOf(list), number), 8);
    entry.writeUInt32BE(frame.length - 16, 16);
    return entry;
  });
  const zeros = Buffer.alloc(INDEX_ENTRY_BYTES);
  return Buffer.concat([zeros, ...entries, zeros]);
}

/** Every file, by its name, and what must be said of each. */
export function javaFiles(): { files: Map<string, Buffer>; expected: ExpectedJava } {
  const made = new Map<string, Buffer>();
  const texts = ['the first', 'the second, with ÿ and \u0080', '', 'a longer one '.repeat(9), 'the last'];
  const list = texts.map((text, number) => javaFrame(text, FIRST_TIME + number));
  const damaged = flip(at(positionsOf(list), 1) + 18, 1)(Buffer.concat(list));
  const files: [name: string, bytes: Buffer, base: number, codes: string[]][] = [
    ['segment-3.store', Buffer.concat(list), 3, []],
    [nameOf(8, 'store'), Buffer.concat(list), 8, []],
    [nameOf(13, 'log'), Buffer.concat(list), 13, []],
    ['segment-18.store', damaged, 18, ['bad_checksum']],
  ];
  const inspect = files.map(([file, bytes, baseOffset, codes]) => {
    made.set(file, bytes);
    made.set(file.replace(/\.\w+$/, '.index'), javaIndex(baseOffset, list));
    return {
      file,
      exitStatus: codes.length > 0 ? 3 : 0,
      baseOffset,
      records: texts.length - codes.length,
      codes,
      index: { sound: texts.length, zero: 2 },
    };
  });
  const description = 'Files of the Java FastQueue2, read with inspect-segment --checksum xor8.';
  return { files: made, expected: { description, inspect } };
}
