/**
 * The library: what `import … from 'fastqueue'` gives. The same engine as behind the commands, and nothing else of it.
 */
export {
  ERROR_TABLE,
  FastQueueError,
  GAP_REASON,
  MAX_BATCH_BYTES,
  MAX_OFFSET,
  MAX_RECORD_BYTES,
  openDataDirectory,
  type Ack,
  type AppendOptions,
  type ConsumerGroup,
  type DataDirectory,
  type DataDirectoryOptions,
  type ErrorCode,
  type ErrorDetails,
  type GapEntry,
  type GroupStatus,
  type OpenTopicOptions,
  type RecordEntry,
  type RecordsOptions,
  type Topic,
  type TopicSettings,
  type TopicStatus,
} from './engine/index.ts';
