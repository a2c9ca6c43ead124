/** What `consume` is asked for where a test says nothing else: every record, to the end. */
import type { ConsumeRequest } from '../../src/cli/consume/consume.ts';

export const consumeRequest = (
  request: Pick<ConsumeRequest, 'dataDirectory' | 'topic' | 'form' | 'output'> & Partial<ConsumeRequest>,
): ConsumeRequest => ({
  spec: {},
  group: undefined,
  isFollowing: false,
  maxCount: undefined,
  timeoutMs: undefined,
  clamp: false,
  onDamage: 'stop',
  onMissing: () => undefined,
  onWarning: () => undefined,
  progress: { doneBytes: 0 },
  listenForStop: () => new AbortController().signal,
  ...request,
});
