/** What the real command must say of each damage, as it stands in expected.json. */

/** A range of offsets, the second excluded. */
export type Range = readonly [number, number];

export interface ExpectedFinding {
  readonly code: string;
  /** In the topic's directory. */
  readonly file: string;
  readonly position: number | null;
  readonly bytes: number | null;
  readonly lost: readonly Range[];
}

/** expected.json of a damaged data directory. */
export interface Expected {
  readonly description: string;
  readonly verify: { readonly exitStatus: number; readonly findings: readonly ExpectedFinding[] };
  readonly recover: { readonly exitStatus: number; readonly lost: readonly Range[] };
  /** Exit status and finding codes of inspect-segment for the topic's directory. */
  readonly inspect: { readonly exitStatus: number; readonly codes: readonly string[] };
}

/** expected.json of the files of the Java FastQueue2. */
export interface ExpectedJava {
  readonly description: string;
  readonly inspect: readonly {
    readonly file: string;
    readonly exitStatus: number;
    readonly baseOffset: number;
    readonly records: number;
    readonly codes: readonly string[];
    readonly index: Readonly<Record<string, number>> | null;
  }[];
}

/** What verify says of a damage, and what follows from it for the other commands. */
export interface Findings {
  readonly description: string;
  readonly findings: readonly ExpectedFinding[];
  /** Findings of inspect-segment where they are not those of stores above. */
  readonly inspected?: readonly string[];
}

/** Findings that are no damage. */
const NOTES = new Set([
  'torn_tail',
  'index_missing',
  'index_unsound',
  'index_contradicts',
  'unknown_file',
  'leftover',
]);

function joined(ranges: readonly Range[]): Range[] {
  const all: [number, number][] = [];
  for (const [from, to] of ranges) {
    const last = all.at(-1);
    if (last?.[1] === from) last[1] = to;
    else all.push([from, to]);
  }
  return all;
}

export function expectedOf({ description, findings, inspected }: Findings): Expected {
  const errors = findings.filter(({ code }) => !NOTES.has(code));
  const lost = joined(findings.flatMap((each) => each.lost));
  const stores = findings.filter(({ code, file }) => file.endsWith('.store') && code !== 'leftover');
  const codes = inspected ?? stores.map(({ code }) => code).filter((code) => !NOTES.has(code));
  const isDamaged = codes.some((code) => code !== 'torn_tail' && code !== 'incomplete_frame');
  return {
    description,
    verify: { exitStatus: errors.length > 0 ? 3 : 0, findings },
    recover: { exitStatus: lost.length > 0 ? 4 : 0, lost },
    inspect: { exitStatus: isDamaged ? 3 : 0, codes },
  };
}
