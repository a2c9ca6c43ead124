/**
 * Every limit of the server that no setting changes, with its unit and its reason.
 */

/** Records of one answer: as many as anybody can look at, and few enough that an answer ends. */
export const MAX_LIMIT = 10_000;
export const DEFAULT_LIMIT = 100;

/** Bytes in the store of one answer unless it is asked for more. */
export const DEFAULT_MAX_BYTES = 1024 * 1024;

/** Seconds that an answer may be waited for: less than what stands between gives a connection. */
export const MAX_WAIT_SECONDS = 60;

/** A stream that has nothing to say says so this often, so that what stands between knows that it lives. */
export const COMMENT_INTERVAL_MS = 15_000;

/** Headers of a request, all together. */
export const MAX_HEADER_BYTES = 16 * 1024;
export const MAX_HEADER_COUNT = 100;

/** The head of a request is small: who needs longer for it is no client. */
export const HEADERS_TIMEOUT_MS = 10_000;

export const MAX_CONNECTIONS = 1024;

/** Requests that one client may send ahead of its answers; of more, no more is read than has come. */
export const MAX_REQUESTS_AHEAD = 100;

/** Settings of a topic, as JSON: there are a handful of them. */
export const MAX_SETTINGS_BYTES = 64 * 1024;

/** A connection without a request is kept for so long. */
export const KEEP_ALIVE_MS = 60_000;

/** What is in flight when the server is told to stop may take so long. */
export const GRACE_MS = 10_000;

/** Retention runs this often. */
export const MAINTENANCE_INTERVAL_MS = 60_000;

/** Topics that are open for append at once: each holds a few descriptors. */
export const MAX_OPEN_TOPICS = 128;

/** A post opens its topic anew where that was deleted meanwhile: so often, and then the client may try again. */
export const MAX_APPEND_ATTEMPTS = 5;

/** Bodies up to this size are read at once; connections are limited in number. */
export const SMALL_BODY_BYTES = 64 * 1024;

/** Of a document of records, what may stand before its array: the name of the array, and blanks. */
export const MAX_DOCUMENT_HEAD_BYTES = 64 * 1024;

/** Parsed at a time of such a document, or one record. */
export const DOCUMENT_PIECE_BYTES = 64 * 1024;

/** Commas and levels within one of its records. One has no more than a dozen members, and nothing below them. */
export const MAX_RECORD_COMMAS = 100;
export const MAX_RECORD_DEPTH = 10;

/** Larger bodies in memory, all together: twice what one may have, so that one can always come to its end. */
export const BODIES_BYTES = 64 * 1024 * 1024;

/** They take it by so much at a time. */
export const BODY_STEP_BYTES = 1024 * 1024;

/** How long what still comes of a refused body is dropped, so that the client reads the answer before a reset. */
export const LINGER_MS = 2000;
