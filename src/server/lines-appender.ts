/**
 * Appends bodies of many lines. One at a time is framed ahead, in a memory of its own, and written from there on another
 * thread while the next request is read. What comes meanwhile is framed when it has the lock of its topic, in the memory
 * that all share: nobody waits for a topic that is held elsewhere but those who post to it.
 */
import {
  createKernel,
  frameLinesAhead,
  LinesSource,
  type Ack,
  type AppendOptions,
  type Kernel,
  type Topic,
} from '../engine/index.ts';
import { wholeOf, type RequestBody } from './request-body.ts';

export class LinesAppender {
  #kernel: Kernel | undefined;
  /** The frames of a body stand in the kernel's memory, to be written. */
  #isTaken = false;

  /** @throws FastQueueError as `Topic.appendFramed`, `frameLinesAhead` and LinesSource do */
  async append(topic: Topic, body: RequestBody, condition: AppendOptions): Promise<Ack> {
    if (this.#isTaken) return topic.appendSource(new LinesSource(wholeOf(body)), condition);
    this.#isTaken = true;
    try {
      return await this.#appendAhead(topic, body, condition);
    } finally {
      this.#isTaken = false;
    }
  }

  #appendAhead(topic: Topic, body: RequestBody, condition: AppendOptions): Promise<Ack> {
    this.#kernel ??= createKernel();
    const stamp = { firstOffset: topic.expectedNextOffset, timestamp: Date.now() };
    const batch = frameLinesAhead(this.#kernel, body.chunks, stamp);
    return topic.appendFramed(batch, condition);
  }
}
