/**
 * Offsets that have no record, as consume tells them to people.
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
