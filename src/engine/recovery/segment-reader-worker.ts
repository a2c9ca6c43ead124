/**
 * A thread that reads segments for segment-readers.ts: one task at a time, its answer as plain data.
 */
import { parentPort } from 'node:worker_threads';
import { FastQueueError } from '../errors.ts';
import { NodeFileSystem } from '../io/node-file-system.ts';
import { sharedKernel } from '../kernel/index.ts';
import type { ReaderAnswer, ReaderTask } from './segment-readers.ts';
import { readSegment } from './segment-reading.ts';

/** A message for every chunk would be more than anybody looks at. */
const TELL_BYTES = 8 * 1024 * 1024;

const fileSystem = new NodeFileSystem({ map: false });

const answer = (message: ReaderAnswer): void => {
  parentPort?.postMessage(message);
};

parentPort?.on('message', ({ directory, topic, request }: ReaderTask) => {
  let untoldBytes = 0;
  const tell = (): void => {
    answer({ type: 'bytes', byteCount: untoldBytes });
    untoldBytes = 0;
  };
  try {
    const context = { fileSystem, kernel: sharedKernel(), directory, topic };
    const reading = readSegment(context, request, (byteCount) => {
      untoldBytes += byteCount;
      if (untoldBytes >= TELL_BYTES) tell();
    });
    tell();
    answer({ type: 'reading', reading });
  } catch (error) {
    if (error instanceof FastQueueError) {
      // What the system threw underneath does not go through as it is.
      const details = { ...error.details, cause: undefined };
      answer({ type: 'error', code: error.code, message: error.message, details });
    } else answer({ type: 'error', code: undefined, message: String(error), details: {} });
  }
});
