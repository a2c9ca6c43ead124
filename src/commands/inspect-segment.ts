/**
 * `fastqueue inspect-segment`: what is in a store or index, read-only, wherever the file lies.
 */
import { string as argument } from '@oclif/core/args';
import { boolean, option } from '@oclif/core/flags';
import { BaseCommand } from '../cli/base-command.ts';
import { EXIT } from '../cli/exit-status.ts';
import { countFlag, valueFlag } from '../cli/flags.ts';
import { inspect, type Range } from '../cli/inspect/inspect.ts';
import { stdout } from '../cli/output.ts';
import { CHECKSUM_NAMES, FastQueueError } from '../engine/index.ts';

const EVERYTHING: Range = { from: 0, to: Infinity };

export default class InspectSegment extends BaseCommand {
  static override summary =
    'Show what is in a .store or .index file, or in a directory of them; changes nothing.';
  static override description =
    'Takes no lock and goes on after damage (exit 3). Works on copies under any name: the first offset of a renamed store is solved for from its checksums.';
  static override strict = false;
  static override args = {
    file: argument({ required: true, ignoreStdin: true, description: 'A .store, an .index or a directory.' }),
  };
  static override flags = {
    list: boolean({ char: 'l', summary: 'One line a frame.' }),
    payload: boolean({ char: 'p', summary: 'With the payload of each record (implies --list).' }),
    hexdump: boolean({
      summary: 'With the payload as hexadecimal bytes (implies --list).',
      exclusive: ['payload'],
    }),
    offset: valueFlag('offset', parseRange, { summary: 'Only these offsets; B excluded.', valueName: 'A:B' }),
    position: valueFlag('position', parseRange, {
      summary: 'Only frames that begin at these bytes; B excluded.',
      valueName: 'A:B',
    }),
    count: countFlag('count', { char: 'n', summary: 'At most so many lines (implies --list).' }),
    index: boolean({ summary: 'Every entry of the index against the store.' }),
    at: countFlag('at', { summary: 'The byte to explain.' }),
    explain: boolean({ summary: 'Say what stands at --at, and why it is no frame.', dependsOn: ['at'] }),
    checksum: option({
      options: CHECKSUM_NAMES,
      default: 'crc32' as const,
      summary: 'xor8 reads files of the Java FastQueue2.',
    })(),
    redact: boolean({ summary: 'Structure without payloads, to send to somebody.' }),
  };

  async run(): Promise<void> {
    const { argv, flags } = await this.parse(InspectSegment);
    if (flags.at !== undefined && !flags.explain)
      throw new FastQueueError(
        'invalid_argument',
        '--at needs --explain: it says which byte is to be explained.',
      );
    const isNarrowed =
      flags.offset !== undefined || flags.position !== undefined || flags.count !== undefined;
    const withPayload = flags.payload ? 'text' : 'none';
    const metDamage = await inspect({
      paths: argv as string[],
      checksum: flags.checksum,
      isListing: flags.list || flags.payload || flags.hexdump || isNarrowed,
      form: {
        isJson: flags.json,
        payload: flags.hexdump ? 'hex' : withPayload,
        isRedacted: flags.redact,
      },
      offsets: flags.offset ?? EVERYTHING,
      positions: flags.position ?? EVERYTHING,
      maxCount: flags.count ?? Infinity,
      withIndex: flags.index,
      explainAt: flags.at,
      output: stdout(),
    });
    if (metDamage) process.exitCode = EXIT.damage;
  }
}

/** `A:B`, `A:`, `:B`, or `A` alone for one. */
function parseRange(text: string): Range {
  const [, from = '', colon = '', to = ''] = /^(\d{0,16})(:?)(\d{0,16})$/.exec(text) ?? [];
  const range = { from: Number(from), to: to === '' ? Infinity : Number(to) };
  if (from + to === '' || range.to < range.from)
    throw new FastQueueError(
      'invalid_argument',
      `${JSON.stringify(text)} is not a range: write A:B, A: or :B, with B not before A.`,
    );
  return colon === '' ? { from: range.from, to: range.from + 1 } : range;
}
