/**
 * The small pieces that the description is made of: references, contents, kinds of values.
 */
import { JSON_MEDIA_TYPE } from '../media-types.ts';

export type Json = Readonly<Record<string, unknown>>;

const ref = (kind: string, name: string): Json => ({ $ref: `#/components/${kind}/${name}` });
export const schema = (name: string): Json => ref('schemas', name);
export const json = (content: Json, mediaType: string = JSON_MEDIA_TYPE): Json => ({
  [mediaType]: { schema: content },
});
export const offset = (description: string): Json => ({
  type: 'integer',
  minimum: 0,
  format: 'int64',
  description,
});
export const timestamp = (description: string): Json => ({
  type: ['integer', 'null'],
  format: 'int64',
  description: `${description}, in milliseconds since 1970`,
});

export const query = (name: string, description: string, content: Json): Json => ({
  name,
  in: 'query',
  description,
  schema: content,
});

export const object = (properties: Json, optional: readonly string[] = []): Json => ({
  type: 'object',
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
});
