/**
 * The forms that bodies and answers have.
 */
export const JSON_MEDIA_TYPE = 'application/json';
export const NDJSON_MEDIA_TYPE = 'application/x-ndjson';
export const RECORDS_MEDIA_TYPE = 'application/vnd.fastqueue.records+json';
export const EVENT_STREAM_MEDIA_TYPE = 'text/event-stream';
export const OCTETS_MEDIA_TYPE = 'application/octet-stream';
export const PROBLEM_MEDIA_TYPE = 'application/problem+json';
