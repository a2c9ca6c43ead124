/**
 * Settings as a table: what is in force and where it came from.
 */
import { alignColumns } from './columns.ts';

/** One line a setting. */
export function settingsTable(
  settings: readonly { readonly name: string; readonly text: string; readonly source: string }[],
): string {
  return alignColumns(
    settings.map(({ name, text, source }) => [name, text, source]),
    { right: [] },
  );
}
