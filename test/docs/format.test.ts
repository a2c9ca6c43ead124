import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import {
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  GAP_REASON,
  MAX_RECORD_BYTES,
} from '../../src/engine/format/frame.ts';
import { GROUP_POSITION_BYTES } from '../../src/engine/format/group-position.ts';
import { HIGH_WATERMARK_BYTES, MARK_FLAG } from '../../src/engine/format/high-watermark.ts';
import { INDEX_ENTRY_BYTES } from '../../src/engine/format/index-entry.ts';
import { MAX_BATCH_BYTES, MAX_PAYLOAD_FIELD } from '../../src/engine/limits.ts';

const page = readFileSync(new URL('../../docs/FORMAT.md', import.meta.url), 'utf8');
/** Without the padding that aligns tables. */
const prose = page.replace(/ +\|/g, ' |').replace(/\s+/g, ' ');
const WIDTHS: Record<string, number> = { u32: 4, u64: 8, i64: 8, '8': 8 };

/** The byte rulers: the positions above the boxes and the widths below them. */
function rulers(): { section: string; positions: number[]; widths: number[] }[] {
  return page.split(/^## /m).flatMap((section) => {
    const ruler = /^```\n(0 +[\d +n]+)\n\|[^\n]+\|\n( +[^\n]+)\n```/m.exec(section);
    if (ruler === null) return [];
    const positions = ruler[1]!
      .trim()
      .split(/ +/)
      .filter((text) => /^\d+$/.test(text))
      .map(Number);
    const widths = [...ruler[2]!.matchAll(/u32|u64|i64|8(?= B)/g)].map(([width]) => WIDTHS[width]!);
    return [{ section: section.split('\n')[0]!, positions, widths }];
  });
}

describe('docs/FORMAT.md', () => {
  it('draws every ruler with fields that add up', () => {
    const found = rulers();
    expect(found.map(({ section }) => section)).to.deep.equal(['Store', 'Index', 'High-water mark', 'Group']);
    for (const { section, positions, widths } of found) {
      let end = 0;
      const ends = [0, ...widths.map((width) => (end += width))];
      expect(ends, section).to.deep.equal(positions);
    }
  });

  it('gives the sizes that the code has', () => {
    const sizes = Object.fromEntries(rulers().map(({ section, positions }) => [section, positions.at(-1)]));
    expect(sizes).to.deep.equal({
      Store: FRAME_HEADER_BYTES,
      Index: INDEX_ENTRY_BYTES,
      'High-water mark': HIGH_WATERMARK_BYTES,
      Group: GROUP_POSITION_BYTES,
    });
    expect(prose).to.include(`at most ${MAX_RECORD_BYTES} of them`);
    expect(prose).to.include(`at most ${MAX_BATCH_BYTES} framed bytes`);
    expect(MAX_PAYLOAD_FIELD + FRAME_HEADER_BYTES, '2^28 + 15').to.equal(2 ** 28 + 15);
  });

  it('numbers kinds, reasons and flags as the code does', () => {
    for (const [name, kind] of Object.entries(FRAME_KIND)) expect(prose).to.include(`| ${kind} | ${name} |`);
    expect(prose).to.include(
      `${GAP_REASON.damage} lost to damage, ${GAP_REASON.compaction} removed by compaction`,
    );
    for (const [name, bit] of Object.entries(MARK_FLAG)) expect(prose).to.include(`${bit} \`${name}\``);
  });
});
