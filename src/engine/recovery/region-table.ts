/**
 * The damaged regions of one store, in order. There may be hundreds of thousands: those that no frame is put into or
 * taken from are rows of numbers, the others stay as they are. Plain data, since segments may be read on other threads.
 */
import { addRow, numberAt, numberRows, type NumberRows } from '../number-rows.ts';
import type { FoundRegion } from './damaged-region.ts';

export interface RegionTable {
  readonly rows: NumberRows;
  /** Codes that the rows name by number. */
  readonly codes: string[];
  /** By the numbers of their rows, which are empty. */
  readonly others: Map<number, FoundRegion>;
}

/** Of a row, in order. The time of its gap is that of the frame before, or else behind. */
const COLUMNS = [
  'code',
  'baseOffset',
  'position',
  'endPosition',
  'offset',
  'nextOffset',
  'checksum',
  'storeBytes',
  'unexplainedCount',
  'timestampBefore',
  'timestampAfter',
  'flipPosition',
  'flipValue',
] as const;

export const regionTable = (): RegionTable => ({
  rows: numberRows(COLUMNS.length),
  codes: [],
  others: new Map(),
});

export function addRegion(table: RegionTable, region: FoundRegion): void {
  const { exchange, flip } = region;
  if (exchange === undefined || region.moved.length + exchange.moved.length + exchange.strays.length > 0) {
    table.others.set(table.rows.length, region);
    addRow(table.rows, []);
    return;
  }
  if (!table.codes.includes(region.code)) table.codes.push(region.code);
  const values: Record<(typeof COLUMNS)[number], number | undefined> = {
    ...region,
    ...exchange,
    code: table.codes.indexOf(region.code),
    flipPosition: flip?.position,
    flipValue: flip?.value,
  };
  addRow(
    table.rows,
    COLUMNS.map((column) => values[column]),
  );
}

/** Each as it was added. */
export function* regionsOf(table: RegionTable): Generator<FoundRegion, void, undefined> {
  for (let number = 0; number < table.rows.length; number++)
    yield table.others.get(number) ?? fromRow(table, number);
}

function fromRow(table: RegionTable, row: number): FoundRegion {
  const valueOf = (column: (typeof COLUMNS)[number]): number | undefined =>
    numberAt(table.rows, row, COLUMNS.indexOf(column));
  const numberOf = (column: (typeof COLUMNS)[number]): number => valueOf(column) ?? NaN;
  const [timestampBefore, timestampAfter] = [valueOf('timestampBefore'), valueOf('timestampAfter')];
  const [flipPosition, value] = [valueOf('flipPosition'), valueOf('flipValue')];
  const isFlipped = flipPosition !== undefined && value !== undefined;
  const unexplainedCount = numberOf('unexplainedCount');
  return {
    code: table.codes[numberOf('code')] as string,
    baseOffset: numberOf('baseOffset'),
    position: numberOf('position'),
    endPosition: numberOf('endPosition'),
    offset: numberOf('offset'),
    nextOffset: numberOf('nextOffset'),
    timestamp: timestampBefore ?? timestampAfter,
    moved: [],
    exchange: { moved: [], strays: [], unexplainedCount, timestampBefore, timestampAfter },
    checksum: numberOf('checksum'),
    storeBytes: numberOf('storeBytes'),
    flip: isFlipped ? { position: flipPosition, value } : undefined,
  };
}
