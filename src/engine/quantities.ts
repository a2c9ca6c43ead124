/**
 * Sizes, durations and times as people write them. The whole text must match: `64k` is never silently 64.
 */
import { FastQueueError } from './errors.ts';

const SIZE_FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  k: 1024,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
};

const DURATION_FACTORS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `64k 10MB 1GiB 4096` as bytes. @throws FastQueueError `invalid_argument` */
export function parseSize(text: string, what = 'size'): number {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(text);
  const factor = match === null ? undefined : SIZE_FACTORS[match[2] as string];
  const bytes = factor === undefined ? NaN : Math.round(Number(match?.[1]) * factor);
  if (!Number.isSafeInteger(bytes)) {
    throw invalid(
      `${JSON.stringify(text)} is not a ${what}: write bytes, or a number with k, M, G, KiB, MiB, GiB (1024) or kB, MB, GB (1000), like 64k or 1GiB.`,
    );
  }
  return bytes;
}

/** `500ms 10s 5m 2h 7d`, or `0`, as milliseconds. @throws FastQueueError `invalid_argument` */
export function parseDuration(text: string, what = 'duration'): number {
  if (text === '0') return 0;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  const durationMs =
    match === null ? NaN : Math.round(Number(match[1]) * (DURATION_FACTORS_MS[match[2] as string] as number));
  if (!Number.isSafeInteger(durationMs)) {
    throw invalid(
      `${JSON.stringify(text)} is not a ${what}: write a number with ms, s, m, h or d, like 500ms, 10s or 7d.`,
    );
  }
  return durationMs;
}

/**
 * RFC 3339, `YYYY-MM-DD` (UTC), 10 digits (seconds), 13 digits (milliseconds), or `-2h` (that long ago), as
 * milliseconds since 1970.
 *
 * @param nowMs the clock that `-2h` counts from
 * @throws FastQueueError `invalid_argument`
 */
export function parseTime(text: string, nowMs: number): number {
  if (/^\d{13}$/.test(text)) return Number(text);
  if (/^\d{10}$/.test(text)) return Number(text) * 1000;
  if (/^-\d/.test(text)) return nowMs - parseDuration(text.slice(1), 'time ago');
  const date = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d))?$/.exec(text);
  const timestamp = date === null ? NaN : Date.parse(text.replace(' ', 'T').toUpperCase());
  // Date.parse takes February 30th for March 1st: the day must be one that the month has.
  const daysInMonth =
    date === null ? 0 : new Date(Date.UTC(Number(date[1]), Number(date[2]), 0)).getUTCDate();
  if (Number.isNaN(timestamp) || Number(date?.[3]) > daysInMonth) {
    throw invalid(
      `${JSON.stringify(text)} is not a time: write 2026-01-31T12:00:00Z, 2026-01-31, seconds (10 digits), milliseconds (13 digits) or -2h.`,
    );
  }
  return timestamp;
}

const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Bytes as people read them, rounded where they are no whole number of tenths: `64 KiB`, `1.5 MiB`, `1000 B`. */
export function formatSize(bytes: number): string {
  const unit = unitOf(bytes);
  const value = bytes / 1024 ** unit;
  const digits = Number.isInteger(value) ? String(value) : value.toFixed(1);
  return `${digits} ${SIZE_UNITS[unit] as string}`;
}

/** Bytes as people read them where nothing is lost by it, else their number: a limit must not be rounded. */
export function formatExactSize(bytes: number): string {
  const tenths = (bytes / 1024 ** unitOf(bytes)) * 10;
  return Number.isInteger(tenths) ? formatSize(bytes) : `${bytes} B`;
}

/** The largest unit that leaves at least one, as a power of 1024. */
function unitOf(bytes: number): number {
  let unit = 0;
  while (bytes >= 1024 ** (unit + 1) && unit < SIZE_UNITS.length - 1) unit += 1;
  return unit;
}

/** Milliseconds in the largest unit that is exact: `7d`, `10s`, `250ms`. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return '0';
  const unit =
    ['d', 'h', 'm', 's'].find((name) => durationMs % (DURATION_FACTORS_MS[name] as number) === 0) ?? 'ms';
  return `${durationMs / (DURATION_FACTORS_MS[unit] as number)}${unit}`;
}

/** Milliseconds since 1970 as RFC 3339; one that no calendar can show is its number. */
export function formatTime(timestampMs: number): string {
  const date = new Date(timestampMs);
  return Number.isNaN(date.getTime()) || date.getUTCFullYear() > 9999 || date.getUTCFullYear() < 0
    ? String(timestampMs)
    : date.toISOString();
}

function invalid(message: string): FastQueueError {
  return new FastQueueError('invalid_argument', message);
}
