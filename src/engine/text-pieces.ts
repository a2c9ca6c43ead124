/** Text in pieces: what a report or a manifest lists may be more than memory should hold at once. Pure. */

/**
 * An object and a newline. A member that can be gone through is a list.
 *
 * @param between stands before each member and each item of a list
 */
export function* jsonPieces(value: object, between: '' | '\n' = ''): Generator<string, void, undefined> {
  let before = '{';
  for (const [name, member] of Object.entries(value) as [string, unknown][]) {
    if (member === undefined) continue;
    yield `${before}${between}${JSON.stringify(name)}:`;
    if (isList(member)) yield* listPieces(member, between);
    else yield JSON.stringify(member);
    before = ',';
  }
  yield before === '{' ? '{}\n' : '}\n';
}

function* listPieces(items: Iterable<unknown>, between: string): Generator<string, void, undefined> {
  let before = '[';
  for (const item of items) {
    yield before + between + JSON.stringify(item);
    before = ',';
  }
  yield before === '[' ? '[]' : ']';
}

const isList = (value: unknown): value is Iterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.iterator in value;

/** Written together. */
const GATHERED_BYTES = 64 * 1024;

/** Gathers pieces into bytes that are worth a write. What is yielded is overwritten by the next. */
export function* gathered(pieces: Iterable<string>): Generator<Buffer, void, undefined> {
  // Bytes at once: strings that are put together keep all the parts that they were made of.
  const buffer = Buffer.allocUnsafe(GATHERED_BYTES);
  let filledBytes = 0;
  for (const piece of pieces) {
    const byteCount = Buffer.byteLength(piece);
    if (filledBytes + byteCount > GATHERED_BYTES) {
      yield buffer.subarray(0, filledBytes);
      filledBytes = 0;
    }
    if (byteCount > GATHERED_BYTES) yield Buffer.from(piece);
    else filledBytes += buffer.write(piece, filledBytes);
  }
  yield buffer.subarray(0, filledBytes);
}
