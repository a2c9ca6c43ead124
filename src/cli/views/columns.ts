/**
 * Text in columns, as `ls -l` has it: no frames, so that `cut` and `awk` can read it.
 */

/** One line a row, two spaces between columns; those in `right` (from 0) are aligned to the right. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  options: { right: readonly number[] },
): string {
  const columnCount = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columnCount }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const lines = rows.map((row) =>
    row
      .map((text, column) => {
        const width = widths[column] ?? 0;
        return options.right.includes(column) ? text.padStart(width) : text.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
  return lines.join('\n');
}

/** How wide a terminal is; undefined where there is none, or it does not say. */
export const widthOf = (stream: { readonly columns?: number }): number | undefined =>
  stream.columns === 0 ? undefined : stream.columns;

/** Stands for a blank at which nothing is broken. */
const UNBROKEN = '\u0000';

/**
 * A sentence in lines that fit a terminal, broken between words only; one line where there is no terminal. A command
 * that it quotes stays in one piece: a copy of a broken one would be carried out in halves.
 */
export function wrapWords(
  sentence: string,
  options: { indent: string; hanging?: string; columns?: number | undefined },
): string[] {
  const { columns = Infinity, hanging = options.indent } = options;
  if (columns === Infinity) return [options.indent + sentence];
  const lines: string[] = [];
  let line = options.indent;
  let isEmpty = true;
  const whole = sentence.replace(/"fastqueue [^"]*"/g, (command) => command.replaceAll(' ', UNBROKEN));
  for (const part of whole.split(' ')) {
    const word = part.replaceAll(UNBROKEN, ' ');
    const longer = isEmpty ? line + word : `${line} ${word}`;
    if (longer.length > columns && !isEmpty) {
      lines.push(line);
      line = hanging + word;
    } else line = longer;
    isEmpty = false;
  }
  return [...lines, line];
}
