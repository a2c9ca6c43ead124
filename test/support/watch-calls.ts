/** Watches calls of a method, whoever makes them. */

/**
 * @param note told what each call returned
 * @returns what puts the method back
 */
export function watchCalls(owner: object, name: string, note: (result: unknown) => void): () => void {
  const original = Object.getOwnPropertyDescriptor(owner, name) as PropertyDescriptor;
  const call = original.value as (...parameters: unknown[]) => unknown;
  Object.defineProperty(owner, name, {
    ...original,
    value(this: unknown, ...parameters: unknown[]) {
      const result = Reflect.apply(call, this, parameters);
      note(result);
      return result;
    },
  });
  return () => {
    Object.defineProperty(owner, name, original);
  };
}
