/**
 * Which of the forms that an answer can take the client likes best (`Accept`), and what a media type names.
 */
import { FastQueueError } from '../engine/index.ts';

interface AcceptedRange {
  readonly type: string;
  readonly quality: number;
}

/**
 * The offered type that the header likes best; where it likes several as much, the one that it names most exactly, then
 * the one it names first, then the one offered first. Without a header, or with an empty one, the first.
 *
 * @throws FastQueueError `not_acceptable`, naming what is offered
 */
export function negotiate<Type extends string>(
  accept: string | undefined,
  offered: readonly [Type, ...Type[]],
): Type {
  if (accept === undefined || accept === '' || accept === '*/*' || accept === offered[0]) return offered[0];
  const ranges = accept.split(',').map(parseRange);
  let best: { type: Type; quality: number; exactness: number; place: number } | undefined;
  for (const type of offered) {
    const match = bestRange(type, ranges);
    if (match === undefined || match.quality === 0) continue;
    const isBetter =
      best === undefined ||
      match.quality > best.quality ||
      (match.quality === best.quality &&
        (match.exactness > best.exactness ||
          (match.exactness === best.exactness && match.place < best.place)));
    if (isBetter) best = { type, ...match };
  }
  if (best !== undefined) return best.type;
  throw new FastQueueError('not_acceptable', `The answer can be given as ${offered.join(', ')}.`);
}

/** The most exact range that covers the type says how much it is liked. */
function bestRange(
  type: string,
  ranges: readonly AcceptedRange[],
): { quality: number; exactness: number; place: number } | undefined {
  const group = `${type.slice(0, type.indexOf('/'))}/*`;
  let best: { quality: number; exactness: number; place: number } | undefined;
  for (const [place, range] of ranges.entries()) {
    const exactness = [`*/*`, group, type].indexOf(range.type);
    if (exactness !== -1 && exactness > (best?.exactness ?? -1)) {
      best = { quality: range.quality, exactness, place };
    }
  }
  return best;
}

function parseRange(text: string): AcceptedRange {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => parameter.startsWith('q='));
  const value = quality === undefined ? 1 : Number(quality.slice(2));
  return { type, quality: value >= 0 && value <= 1 ? value : 0 };
}

/** `text/plain; charset=utf-8` → `text/plain`; undefined where there is no header. */
export function mediaTypeOf(contentType: string | undefined): string | undefined {
  if (contentType === undefined) return undefined;
  const semicolon = contentType.indexOf(';');
  return (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}
