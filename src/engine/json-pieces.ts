/** JSON in pieces: what a report or a manifest lists may be more than is wanted in one text. */

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
