/**
 * Appends bodies of many lines: framed whole, one after the other, in a memory of their own, and written from there on
 * another thread while the next request is read.
 */
import {
  createKernel,
  frameLinesAhead,
  type Ack,
  type AppendOptions,
  type Kernel,
  type Topic,
} from '../engine/index.ts';
import { OneAtATime } from './one-at-a-time.ts';
import type { RequestBody } from './request-body.ts';

export class LinesAppender {
  #kernel: Kernel | undefined;
  readonly #turns = new OneAtATime();

  /** @throws FastQueueError as `Topic.appendFramed` and `frameLinesAhead` do */
  append(topic: Topic, body: RequestBody, condition: AppendOptions): Promise<Ack> {
    return this.#turns.run(() => this.#append(topic, body, condition));
  }

  #append(topic: Topic, body: RequestBody, condition: AppendOptions): Promise<Ack> {
    this.#kernel ??= createKernel();
    const stamp = { firstOffset: topic.expectedNextOffset, timestamp: Date.now() };
    const batch = frameLinesAhead(this.#kernel, body.chunks, stamp);
    return topic.appendFramed(batch, condition);
  }
}
