/**
 * What long reading commands have in common: how many threads they use, and how much there is to read.
 */
import { availableParallelism } from 'node:os';
import { MAX_DEFAULT_JOBS, storeBytesOf, type DataDirectory } from '../engine/index.ts';

/** One thread a processor, and no more than a disk gains from. */
export const defaultJobs = (): number => Math.min(MAX_DEFAULT_JOBS, availableParallelism());

/** Bytes of all stores of the topics, for progress. */
export const storeBytes = (directory: DataDirectory, topics: readonly string[]): number =>
  topics.reduce((sum, topic) => sum + storeBytesOf(directory.context(topic)), 0);
