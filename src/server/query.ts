/**
 * Parameters of a request's query: each is known and given once, or the request is refused naming the right ones.
 */
import { FastQueueError, nearestName } from '../engine/index.ts';

export type Query<Name extends string> = Readonly<Partial<Record<Name, string>>>;

/** @throws FastQueueError `invalid_argument` */
export function parseQuery<Name extends string>(
  search: string | undefined,
  names: readonly Name[],
): Query<Name> {
  const query: Partial<Record<Name, string>> = {};
  if (search === undefined || search === '') return query;
  // A plus is no space here: nothing that is asked for holds one, and times have a plus in their offset.
  for (const [given, value] of new URLSearchParams(search.replaceAll('+', '%2B'))) {
    const name = names.find((known) => known === given);
    if (name === undefined) throw unknownParameter(given, names);
    if (query[name] !== undefined) throw invalid(`The parameter ${name} is given twice.`);
    query[name] = value;
  }
  return query;
}

/** A whole number. @throws FastQueueError `invalid_argument`, naming the bounds */
export function parseCount(name: string, text: string, bounds: { min: number; max: number }): number {
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  if (count >= bounds.min && count <= bounds.max) return count;
  throw invalid(
    `${name} must be a whole number from ${bounds.min} to ${bounds.max}; ${JSON.stringify(text)} is not.`,
  );
}

/** Seconds as milliseconds; a fraction is allowed. @throws FastQueueError `invalid_argument` */
export function parseSeconds(name: string, text: string, maxSeconds: number): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (seconds <= maxSeconds) return Math.round(seconds * 1000);
  throw invalid(`${name} must be seconds from 0 to ${maxSeconds}; ${JSON.stringify(text)} is not.`);
}

/** @throws FastQueueError `invalid_argument` */
export function parseFlag(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false;
  if (text === 'true') return true;
  throw invalid(`${name} must be true or false; ${JSON.stringify(text)} is not.`);
}

function unknownParameter(given: string, names: readonly string[]): FastQueueError {
  const nearest = nearestName(given, names);
  const known = names.length === 0 ? 'It takes none.' : `There are: ${names.join(', ')}.`;
  return invalid(
    `There is no parameter ${JSON.stringify(given)} here. ${nearest === undefined ? known : `Did you mean ${nearest}?`}`,
  );
}

export function invalid(sentence: string): FastQueueError {
  return new FastQueueError('invalid_argument', sentence);
}
