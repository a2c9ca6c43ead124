/**
 * Offsets that have no record, as consume tells them: a sentence for people, a line of JSON for programs.
 */
import { GAP_REASON, type DamageStep, type GapStep } from '../../engine/index.ts';

/** `offsets 1041..1043 were lost to damage` */
export function missingAsSentence(missing: GapStep | DamageStep): string {
  if (missing.type === 'damage') return missing.error.message;
  const { offset, count } = missing;
  const isOne = count === 1;
  const offsets = isOne ? `offset ${offset} was` : `offsets ${offset}..${offset + count - 1} were`;
  switch (missing.reason) {
    case 'retention':
      return `${offsets} removed by retention`;
    case GAP_REASON.damage:
      return `${offsets} lost to damage`;
    case GAP_REASON.compaction:
      return `${offsets} removed by compaction`;
    default:
      return `${offsets} left without records, for reason ${missing.reason}`;
  }
}

/** The same as an object; damage that was stepped over is a gap that recovery has not recorded yet. */
export function missingAsJson(topic: string, missing: GapStep | DamageStep): object {
  if (missing.type === 'damage') {
    const { offset, nextReadable, error } = missing;
    const { path, position } = error.details;
    return { type: 'gap', topic, offset, count: nextReadable - offset, reason: 'unreadable', path, position };
  }
  return {
    type: 'gap',
    topic,
    offset: missing.offset,
    count: missing.count,
    reason: reasonName(missing.reason),
  };
}

function reasonName(reason: GapStep['reason']): string | number {
  if (reason === GAP_REASON.damage) return 'damage';
  return reason === GAP_REASON.compaction ? 'compaction' : reason;
}
