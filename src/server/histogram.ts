/**
 * A histogram that costs a few comparisons an observation. prom-client's own looks its labels up each time, which takes
 * longer than the rest of a small request; this one hands its counts over when it is asked for them.
 */

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  /** Upper bounds, ascending, without the infinite one. */
  readonly bounds: readonly number[];
}

interface MetricValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName: string;
}

/** What prom-client's registry asks of a metric. */
export interface CollectedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly MetricValue[];
}

class Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly counts: Float64Array;
  sum = 0;

  constructor(labels: Readonly<Record<string, string>>, boundCount: number) {
    this.labels = labels;
    this.counts = new Float64Array(boundCount + 1);
  }
}

export class Histogram {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Series>();

  constructor(options: HistogramOptions) {
    this.name = options.name;
    this.#help = options.help;
    this.#bounds = options.bounds;
  }

  /**
   * @param key names the series; the same key always comes with the same labels
   * @param labels made only when a series is new
   */
  observe(value: number, key: string, labels: () => Readonly<Record<string, string>>): void {
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new Series(labels(), this.#bounds.length);
      this.#series.set(key, series);
    }
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] as number)) bucket += 1;
    series.counts[bucket] = (series.counts[bucket] as number) + 1;
    series.sum += value;
  }

  forget(key: string): void {
    this.#series.delete(key);
  }

  /** Called by the registry. */
  get(): Promise<CollectedMetric> {
    return Promise.resolve({
      name: this.name,
      help: this.#help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...this.#series.values()].flatMap((series) => this.#valuesOf(series)),
    });
  }

  #valuesOf(series: Series): MetricValue[] {
    const values: MetricValue[] = [];
    let count = 0;
    for (const [bucket, bucketCount] of series.counts.entries()) {
      count += bucketCount;
      const bound = this.#bounds[bucket] ?? '+Inf';
      values.push({
        value: count,
        labels: { le: bound, ...series.labels },
        metricName: `${this.name}_bucket`,
      });
    }
    values.push({ value: series.sum, labels: series.labels, metricName: `${this.name}_sum` });
    values.push({ value: count, labels: series.labels, metricName: `${this.name}_count` });
    return values;
  }
}
