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
export { refuseUnfit } from './append-errors.ts';
export { commandLine, dataDirectorySuffix, shellWord, type CommandPlace } from './command-line.ts';
export * from './limits.ts';
export { monotonicMs } from './monotonic.ts';
export { nearestName } from './nearest-name.ts';
export { formatDuration, formatSize, formatTime, parseDuration, parseSize, parseTime } from './quantities.ts';
export type { ConsumerGroup, GroupStatus } from './consumer-group.ts';
export {
  openDataDirectory,
  type DataDirectory,
  type DataDirectoryOptions,
  type MaintenanceReport,
  type OpenTopicOptions,
} from './data-directory.ts';
export { compactTopic, type CompactOptions, type CompactReport } from './compaction/compact.ts';
export { FRAME_HEADER_BYTES, GAP_REASON, MAX_RECORD_BYTES } from './format/frame.ts';
export { frameLinesAhead } from './framed-lines.ts';
export { LinesSource, PackedSource, PayloadsSource, type RecordSource } from './record-sources.ts';
export { createKernel, KERNEL_INPUT, KERNEL_OUTPUT } from './kernel/index.ts';
export type { FrameLinesResult, Kernel, RecordTextForm, Region } from './kernel/kernel.ts';
export {
  briefJson,
  missingAsJson,
  NotAPayload,
  payloadFromJson,
  PRINTED_BESIDE_PAYLOAD,
} from './json-records.ts';
export { lineForm } from './record-text.ts';
export type { Ack, FramedBatch } from './append-queue.ts';
export type { AppendOptions, BatchReport } from './log.ts';
export type {
  BytesStep,
  DamageStep,
  EmitStep,
  EndStep,
  GapStep,
  ReadLimits,
  RecordsStep,
  RunStep,
  TextStep,
} from './read-steps.ts';
export type { LogReader } from './log-reader.ts';
export type { RecordEntry } from './segment-cursor.ts';
export type { HighWatermark } from './format/high-watermark.ts';
export {
  parseOffsetSpec,
  resolveOffset,
  type OffsetBounds,
  type OffsetPoint,
  type OffsetRange,
} from './offset-spec.ts';
export { resolveRange, type ConsumeRange } from './offset-range.ts';
export {
  listRecoveryRuns,
  purgeRecovery,
  recoverTopic,
  undoRecovery,
  type RecoverOptions,
  type RecoverReport,
} from './recovery/recover.ts';
export type { LostOffsets } from './recovery/plan.ts';
export type { RecoveryRun } from './recovery/runs.ts';
export type { UndoReport } from './recovery/undo.ts';
export type { RetentionPolicy, RetentionReport } from './retention.ts';
export {
  formatSettingValue,
  parseSetting,
  settingNamed,
  SETTINGS,
  TOPIC_SETTING_NAMES,
  type Setting,
  type SettingName,
  type TopicSettings,
} from './settings.ts';
export { topicReport, type TopicReport } from './topic-report.ts';
export type { GapEntry, RecordsOptions, Topic, TopicStatus } from './topic.ts';
export { checkTopicSettings as parseTopicSettings, parseVariable } from './topic-settings.ts';
export type { Finding, FindingCode, OffsetRange as FindingOffsets } from './verification/findings.ts';
export { gathered, jsonPieces } from './text-pieces.ts';
export { storeBytesOf } from './segment-list.ts';
export { mapped, some, type Sequence } from './sequence.ts';
export { verifyTopic, type SegmentReport, type VerifyReport } from './verification/verify.ts';
export {
  inspectablePaths,
  StoreInspection,
  type InspectFinding,
  type InspectOptions,
  type StoreReport,
} from './inspection/inspect.ts';
export { CHECKSUM_NAMES, type ChecksumName } from './inspection/checks.ts';
export { explainPosition, type Explanation } from './inspection/explain.ts';
export { inspectIndex, type InspectedEntry } from './inspection/index-entries.ts';
export type { HoleStep, InspectedFrame } from './inspection/walk.ts';
