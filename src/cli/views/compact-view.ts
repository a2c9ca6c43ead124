/**
 * What retention and compact did, or would do, as text and as JSON.
 */
import { formatSize, type RetentionReport } from '../../engine/index.ts';

/** One line: what retention deleted. */
export function retentionSentence(topic: string, report: RetentionReport): string {
  const { before, after } = report.startOffset;
  return (
    `retention deleted ${counted(report.segments, 'segment')} of ${topic} (${formatSize(report.bytes)}, ` +
    `offsets ${before}..${after - 1}); it begins at offset ${after} now`
  );
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
