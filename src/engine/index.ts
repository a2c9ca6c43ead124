/**
 * The one door to the engine: commands, views, the server and the library import this and nothing behind it.
 */
export {
  errnoOf,
  ERROR_TABLE,
  FastQueueError,
  fromSystemError,
  type ErrorCode,
  type ErrorDetails,
} from './errors.ts';
export * from './limits.ts';
export { nearestName } from './nearest-name.ts';
export { formatDuration, formatSize, formatTime, parseDuration, parseSize, parseTime } from './quantities.ts';
