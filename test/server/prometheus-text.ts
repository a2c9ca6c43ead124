/**
 * A reader of the Prometheus text format 0.0.4 that refuses what a scraper would refuse, and more: a sample before its
 * type, a family in two places, a series twice, a histogram whose buckets do not add up.
 */
export interface MetricFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: (-?\d+))?$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/;
const TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
};

/** @throws Error naming the line that breaks a rule */
export function parsePrometheusText(text: string): Map<string, MetricFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line has no newline');
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  const series = new Set<string>();
  let helped: { name: string; help: string } | undefined;
  let current: string | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue;
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (\w+)$/.exec(line);
    if (help !== null) {
      helped = { name: help[1]!, help: help[2]! };
    } else if (type !== null) {
      const name = type[1]!;
      if (helped?.name !== name) throw new Error(`no help before: ${line}`);
      if (families.has(name)) throw new Error(`a family twice: ${line}`);
      if (!TYPES.includes(type[2]!)) throw new Error(`no such type: ${line}`);
      families.set(name, { type: type[2]!, help: helped.help, samples: [] });
      current = name;
    } else if (line.startsWith('#')) {
      throw new Error(`neither help nor type: ${line}`);
    } else {
      const sample = parseSample(line);
      const family = current === undefined ? undefined : families.get(current);
      const names = (SUFFIXES[family?.type ?? ''] ?? ['']).map((suffix) => `${current ?? ''}${suffix}`);
      if (family === undefined || !names.includes(sample.name))
        throw new Error(`a sample outside its family: ${line}`);
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      if (series.has(key)) throw new Error(`a series twice: ${line}`);
      series.add(key);
      if (family.type === 'counter' && !(sample.value >= 0)) throw new Error(`a counter below 0: ${line}`);
      family.samples.push(sample);
    }
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family);
  return families;
}

function parseSample(line: string): Sample {
  const match = SAMPLE.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  for (let rest = match[2] ?? ''; rest !== '';) {
    const label = LABEL.exec(rest);
    if (label === null) throw new Error(`no label: ${line}`);
    if (label[1]! in labels) throw new Error(`a label twice: ${line}`);
    labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_, escaped: string) =>
      escaped === 'n' ? '\n' : escaped,
    );
    rest = rest.slice(label[0].length);
  }
  const value = match[3] === '+Inf' ? Infinity : match[3] === '-Inf' ? -Infinity : Number(match[3]);
  // Scrapers read it in any case.
  if (Number.isNaN(value) && match[3]!.toLowerCase() !== 'nan') throw new Error(`no value: ${line}`);
  return { name: match[1]!, labels, value };
}

function checkHistogram(name: string, { samples }: MetricFamily): void {
  const groups = new Map<string, { buckets: Sample[]; count?: number; sum?: number }>();
  for (const sample of samples) {
    const others = Object.entries(sample.labels).filter(([label]) => label !== 'le');
    const key = JSON.stringify(others.sort());
    const group = groups.get(key) ?? { buckets: [] };
    groups.set(key, group);
    if (sample.name.endsWith('_bucket')) group.buckets.push(sample);
    else if (sample.name.endsWith('_count')) group.count = sample.value;
    else group.sum = sample.value;
  }
  for (const [key, { buckets, count, sum }] of groups) {
    const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])));
    const rises = (values: readonly number[], may: (a: number, b: number) => boolean): boolean =>
      values.every((value, at) => at === 0 || may(values[at - 1]!, value));
    if (!rises(bounds, (a, b) => a < b) || bounds.at(-1) !== Infinity)
      throw new Error(`${name} ${key}: bounds ${bounds.join()}`);
    const values = buckets.map(({ value }) => value);
    if (!rises(values, (a, b) => a <= b)) throw new Error(`${name} ${key}: buckets fall: ${values.join()}`);
    if (count === undefined || sum === undefined || values.at(-1) !== count)
      throw new Error(`${name} ${key}: the last bucket is not the count`);
  }
}
