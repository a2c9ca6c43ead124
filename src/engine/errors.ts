/**
 * Everything that can go wrong in the world, as one class and one table.
 *
 * The table owns the stable codes and what each means to a program: exit status, HTTP status, whether trying again
 * can help, and whether anything may have been stored. docs/ERRORS.md and the problem+json answers are derived from it.
 * Programmers' errors are not here: they throw whatever JavaScript throws.
 */

interface ErrorEntry {
  /** Exit status of a command that ends with this error. */
  readonly exitCode: number;
  /** Status of an HTTP answer that carries this error. */
  readonly httpStatus: number;
  /** True when the same call may succeed later with nothing changed by the caller. */
  readonly retryable: boolean;
  /** A short title, the same for every occurrence. */
  readonly title: string;
}

export const ERROR_TABLE = {
  io_error: { exitCode: 1, httpStatus: 500, retryable: false, title: 'The disk reported an error' },
  disk_full: { exitCode: 1, httpStatus: 507, retryable: true, title: 'The disk is full' },
  permission_denied: { exitCode: 1, httpStatus: 500, retryable: false, title: 'Permission was denied' },
  too_many_open_files: { exitCode: 1, httpStatus: 503, retryable: true, title: 'Too many files are open' },
  outcome_unknown: {
    exitCode: 1,
    httpStatus: 500,
    retryable: false,
    title: 'It is unknown whether the records were stored',
  },
  record_too_large: { exitCode: 1, httpStatus: 413, retryable: false, title: 'A record is too large' },
  batch_too_large: { exitCode: 1, httpStatus: 413, retryable: false, title: 'The batch is too large' },
  offsets_exhausted: {
    exitCode: 1,
    httpStatus: 500,
    retryable: false,
    title: 'The topic has no offsets left',
  },
  malformed_input: {
    exitCode: 1,
    httpStatus: 400,
    retryable: false,
    title: 'The input is not in the format it was said to be',
  },
  no_records: { exitCode: 2, httpStatus: 400, retryable: false, title: 'The batch holds no records' },
  invalid_argument: { exitCode: 2, httpStatus: 400, retryable: false, title: 'An argument is not valid' },
  invalid_topic_name: {
    exitCode: 2,
    httpStatus: 400,
    retryable: false,
    title: 'The topic name is not valid',
  },
  damaged: { exitCode: 3, httpStatus: 500, retryable: false, title: 'The log is damaged' },
  newer_format: {
    exitCode: 1,
    httpStatus: 500,
    retryable: false,
    title: 'The data was written by a newer FastQueue',
  },
  offset_out_of_range: {
    exitCode: 1,
    httpStatus: 416,
    retryable: false,
    title: 'The offset is beyond the end of the topic',
  },
  offset_removed: {
    exitCode: 1,
    httpStatus: 410,
    retryable: false,
    title: 'The offset was removed by retention',
  },
  recovery_incomplete: {
    exitCode: 5,
    httpStatus: 500,
    retryable: false,
    title: 'Not everything could be recovered',
  },
  condition_failed: {
    exitCode: 6,
    httpStatus: 412,
    retryable: false,
    title: 'The expected condition did not hold',
  },
  topic_not_found: { exitCode: 10, httpStatus: 404, retryable: false, title: 'There is no such topic' },
  data_directory_not_found: {
    exitCode: 10,
    httpStatus: 500,
    retryable: false,
    title: 'There is no such data directory',
  },
  locked: { exitCode: 11, httpStatus: 503, retryable: true, title: 'Another process holds the topic' },
  locking_unavailable: {
    exitCode: 1,
    httpStatus: 500,
    retryable: false,
    title: 'This platform cannot lock files',
  },
  closed: { exitCode: 1, httpStatus: 503, retryable: true, title: 'The topic was closed' },
  gap: { exitCode: 1, httpStatus: 404, retryable: false, title: 'The offset has no record any more' },
  read_only: { exitCode: 1, httpStatus: 403, retryable: false, title: 'The server only reads' },
  stopping: { exitCode: 1, httpStatus: 503, retryable: true, title: 'The server is stopping' },
  address_unavailable: {
    exitCode: 1,
    httpStatus: 500,
    retryable: false,
    title: 'The address cannot be listened on',
  },
  malformed_request: { exitCode: 1, httpStatus: 400, retryable: false, title: 'The request is not HTTP' },
  unauthorized: { exitCode: 1, httpStatus: 401, retryable: false, title: 'A token is needed' },
  forbidden: { exitCode: 1, httpStatus: 403, retryable: false, title: 'The request comes from elsewhere' },
  no_such_resource: { exitCode: 1, httpStatus: 404, retryable: false, title: 'There is no such resource' },
  method_not_allowed: {
    exitCode: 1,
    httpStatus: 405,
    retryable: false,
    title: 'The resource does not take this method',
  },
  not_acceptable: {
    exitCode: 1,
    httpStatus: 406,
    retryable: false,
    title: 'The answer cannot be given in a form that was asked for',
  },
  request_timeout: { exitCode: 1, httpStatus: 408, retryable: true, title: 'The request came too slowly' },
  unsupported_media_type: {
    exitCode: 1,
    httpStatus: 415,
    retryable: false,
    title: 'The body is in a form that is not understood',
  },
  headers_too_large: { exitCode: 1, httpStatus: 431, retryable: false, title: 'The headers are too large' },
  internal_error: {
    exitCode: 1,
    httpStatus: 500,
    retryable: false,
    title: 'FastQueue met a case it does not know',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** Where and what, for programs: every field is optional and means the same in every code. */
export interface ErrorDetails {
  readonly topic?: string | undefined;
  /** The file or directory concerned. */
  readonly path?: string | undefined;
  /** Byte in the file at `path`. */
  readonly position?: number | undefined;
  /** The record offset concerned. */
  readonly offset?: number | undefined;
  /** First offset the topic still has. */
  readonly startOffset?: number | undefined;
  /** End of the topic, exclusive: the next offset that will be assigned. */
  readonly endOffset?: number | undefined;
  /** Next offset from which reading can go on, when `code` is `damaged`. */
  readonly nextReadable?: number | undefined;
  /** What the caller expected and what was found, when `code` is `condition_failed`. */
  readonly expectedOffset?: number | undefined;
  readonly actualOffset?: number | undefined;
  /** `errno` name of the system error underneath: ENOSPC, EIO, … */
  readonly errno?: string | undefined;
  /**
   * `none` only if the store was cut back to where it was and that cut is durable, or nothing was written.
   * Absent where nothing could have been stored by the failing call.
   */
  readonly sideEffects?: 'none' | 'unknown' | undefined;
  readonly cause?: unknown;
}

/** The one error class of FastQueue. `message` is a sentence for a person: what is wrong, where, and what to do. */
export class FastQueueError extends Error {
  override readonly name = 'FastQueueError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    this.details = details;
  }
}

const CODE_OF_ERRNO: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'disk_full',
  EDQUOT: 'disk_full',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  EROFS: 'permission_denied',
  EMFILE: 'too_many_open_files',
  ENFILE: 'too_many_open_files',
};

/** The errno name of a system error (`ENOENT`), or undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && 'syscall' in error
    ? error.code
    : undefined;
}

/**
 * A system error as FastQueue's own, said as itself (invariant 8: a disk error is not corruption).
 * FastQueue's errors and programmers' errors come back as they are.
 *
 * @param doing what was being attempted, to follow "Could not": `write to the store`.
 */
export function fromSystemError(error: unknown, doing: string, details: ErrorDetails = {}): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const where = details.path === undefined ? '' : ` ${details.path}`;
  return new FastQueueError(
    CODE_OF_ERRNO[errno] ?? 'io_error',
    `Could not ${doing}${where}: ${describeErrno(errno)}.`,
    { ...details, errno, cause: error },
  );
}

function describeErrno(errno: string): string {
  switch (errno) {
    case 'ENOSPC':
      return 'the disk is full (ENOSPC); free some space, then try again';
    case 'EDQUOT':
      return 'the disk quota is used up (EDQUOT); free some space, then try again';
    case 'EACCES':
    case 'EPERM':
      return `permission denied (${errno}); check who owns it and its mode`;
    case 'EROFS':
      return 'the file system is read-only (EROFS)';
    case 'EMFILE':
      return 'this process has too many files open (EMFILE); raise "ulimit -n"';
    case 'ENFILE':
      return 'the system has too many files open (ENFILE)';
    case 'EIO':
      return 'the disk reported an input/output error (EIO); look at the kernel log and consider replacing the disk';
    case 'ENOENT':
      return 'no such file or directory (ENOENT)';
    case 'ENOTDIR':
      return 'a part of the path is not a directory (ENOTDIR)';
    default:
      return `the system answered ${errno}`;
  }
}
