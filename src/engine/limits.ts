/**
 * Every limit and default of the engine, each with its unit and its reason. Nothing else defines one.
 * The settings a user may change are in settings.ts, which takes its defaults and bounds from here.
 */

/** Largest batch in framed bytes, headers included. A constant of the format: a torn tail never reaches further back. */
export const MAX_BATCH_BYTES = 32 * 1024 * 1024;

/** Offsets end at 2^53 − 1, the last integer a JavaScript number holds exactly. */
export const MAX_OFFSET = Number.MAX_SAFE_INTEGER;

/** Frames of kinds 1 and 3 have 28 bits of length and may use them all. */
export const MAX_PAYLOAD_FIELD = 2 ** 28 - 1;

/** A store rolls when the next batch would take it past this many bytes. */
export const DEFAULT_SEGMENT_BYTES = 1024 * 1024 * 1024;

/** An index entry is written for the first frame this many store bytes behind the last entry. */
export const DEFAULT_INDEX_INTERVAL_BYTES = 1024;

/** Records older than this are removed by retention: 7 days. */
export const DEFAULT_RETENTION_AGE_MS = 7 * 24 * 60 * 60 * 1000;

/** A clock further behind the last record than this rolls the log and goes on from the clock. */
export const CLOCK_STEP_BACK_MS = 60_000;

/** The mark is synced at most this long after it moved, outside the acknowledgement. */
export const MARK_SYNC_DELAY_MS = 1000;

/** compact merges neighbouring segments smaller than this: then no run of it writes much more than it frees files. */
export const DEFAULT_MERGE_BELOW_BYTES = 64 * 1024 * 1024;

/** How long a command waits for the lock of a topic. */
export const DEFAULT_LOCK_TIMEOUT_MS = 10_000;

/** Framed bytes of one batch of `produce`: large enough that the disk, not the sync, is the limit (docs/PERFORMANCE.md). */
export const DEFAULT_BATCH_BYTES = 4 * 1024 * 1024;

/** Largest record that `produce` takes unless it is told otherwise. */
export const DEFAULT_MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** How long `serve` waits for the lock of a topic: a client waits behind it. */
export const SERVE_LOCK_TIMEOUT_MS = 5000;

/** A request of `serve` must have come wholly within this time, and a reader take something of its answer. */
export const DEFAULT_REQUEST_TIMEOUT_MS = 60_000;

/** A reader asks the disk for this much at a time; one frame may still be up to MAX_BATCH_BYTES. */
export const READ_CHUNK_BYTES = 1024 * 1024;

/** Less where each record becomes an object: those of one stretch are there together, and die before they grow old. */
export const RECORDS_CHUNK_BYTES = 128 * 1024;

/** A log of fewer bytes is verified by one thread: others take longer to start than this takes to read. */
export const PARALLEL_MIN_BYTES = 64 * 1024 * 1024;

/** Segments that are verified at a time where nobody says how many; a disk gains nothing from more. */
export const MAX_DEFAULT_JOBS = 4;

/** Most that may be asked for. */
export const MAX_JOBS = 64;

/** A follower looks this often even when no notification came: fs.watch is silent on some file systems. */
export const FOLLOW_POLL_MS = 250;

/** The same where fs.watch cannot be had at all (the 129th inotify instance of a user). */
export const FOLLOW_POLL_UNWATCHED_MS = 20;

/** A reader whose copy of the mark fails its checksum has met a rewrite and reads again: so often, so far apart. */
export const MARK_REREAD_COUNT = 3;
export const MARK_REREAD_DELAY_MS = 1;

/** The same where no lock can be had to settle the question. */
export const MARK_REREAD_COUNT_UNLOCKED = 50;
export const MARK_REREAD_DELAY_UNLOCKED_MS = 20;

/** Longest topic or group name. */
export const MAX_NAME_LENGTH = 200;
