/**
 * Items that are made anew whenever somebody goes through them: what is found in a log may be more than memory should
 * hold, all at once and in words. Pure.
 */

/** An array is one. */
export interface Sequence<T> extends Iterable<T> {
  readonly length: number;
}

/** As many, each made of the one in its place. */
export function mapped<T, U>(items: Sequence<T>, make: (item: T) => U): Sequence<U> {
  return sequence(items.length, function* () {
    for (const item of items) yield make(item);
  });
}

/** Those that are wanted; counted now. */
export function filtered<T>(items: Sequence<T>, isWanted: (item: T) => boolean): Sequence<T> {
  let length = 0;
  for (const item of items) if (isWanted(item)) length += 1;
  return sequence(length, function* () {
    for (const item of items) if (isWanted(item)) yield item;
  });
}

/** One behind the other. */
export function joined<T>(parts: readonly Sequence<T>[]): Sequence<T> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return sequence(length, function* () {
    for (const part of parts) yield* part;
  });
}

/** Whether it holds of any. */
export function some<T>(items: Iterable<T>, holds: (item: T) => boolean): boolean {
  for (const item of items) if (holds(item)) return true;
  return false;
}

/** @param items begins at the first whenever it is called */
export const sequence = <T>(length: number, items: () => Iterator<T>): Sequence<T> => ({
  length,
  [Symbol.iterator]: items,
});
