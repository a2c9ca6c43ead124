/**
 * Rows of numbers, outside of the heap: of what there may be hundreds of thousands, an object each would take ten times
 * the memory. Plain data, as it may come from another thread. NaN stands for what is undefined.
 */
const BLOCK_ROWS = 256;

export interface NumberRows {
  readonly width: number;
  length: number;
  readonly blocks: Float64Array[];
}

export const numberRows = (width: number): NumberRows => ({ width, length: 0, blocks: [] });

/** Adds one behind the last; what is not given stays NaN. */
export function addRow(rows: NumberRows, values: readonly (number | undefined)[]): void {
  const at = rows.length % BLOCK_ROWS;
  if (at === 0) rows.blocks.push(new Float64Array(rows.width * BLOCK_ROWS).fill(NaN));
  rows.length += 1;
  const block = rows.blocks.at(-1) as Float64Array;
  for (let column = 0; column < values.length; column++)
    block[at * rows.width + column] = values[column] ?? NaN;
}

/** @returns undefined for NaN */
export function numberAt(rows: NumberRows, row: number, column: number): number | undefined {
  const block = rows.blocks[Math.floor(row / BLOCK_ROWS)] as Float64Array;
  const value = block[(row % BLOCK_ROWS) * rows.width + column];
  return Number.isNaN(value) ? undefined : value;
}
