/**
 * OpenMetrics 1.0 as text. A family is written once, whole: its type and help, then its samples; names of families and
 * labels are the program's, values of labels are anybody's and escaped. The text ends with `# EOF`, so that a reader
 * knows that nothing is missing.
 */
import assert from 'node:assert/strict';

export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

export type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number | bigint;
}

/** Cumulative counts by upper bound, the last of them all. */
export interface HistogramSample {
  readonly labels: Labels;
  readonly buckets: readonly (readonly [bound: number, count: number])[];
  readonly count: number;
  readonly sum: number;
}

const NAME = /^[a-z][a-z0-9_]*$/;

export class MetricsText {
  readonly #names = new Set<string>();
  #text = '';

  /** Counts that only grow; `_total` is added to the name. */
  counter(name: string, help: string, samples: Iterable<Sample>): void {
    this.#family(name, 'counter', help);
    for (const { labels, value } of samples) this.#line(`${name}_total`, labels, value);
  }

  gauge(name: string, help: string, samples: Iterable<Sample>): void {
    this.#family(name, 'gauge', help);
    for (const { labels, value } of samples) this.#line(name, labels, value);
  }

  /** Facts as labels; `_info` is added to the name. */
  info(name: string, help: string, labels: Labels): void {
    this.#family(name, 'info', help);
    this.#line(`${name}_info`, labels, 1);
  }

  histogram(name: string, help: string, samples: Iterable<HistogramSample>): void {
    this.#family(name, 'histogram', help);
    for (const { labels, buckets, count, sum } of samples) {
      for (const [bound, below] of buckets) this.#line(`${name}_bucket`, { ...labels, le: floatText(bound) }, below);
      this.#line(`${name}_bucket`, { ...labels, le: '+Inf' }, count);
      this.#line(`${name}_count`, labels, count);
      this.#line(`${name}_sum`, labels, sum);
    }
  }

  end(): string {
    return `${this.#text}# EOF\n`;
  }

  #family(name: string, type: string, help: string): void {
    assert(NAME.test(name) && !this.#names.has(name), `"${name}" is a family of its own`);
    this.#names.add(name);
    this.#text += `# TYPE ${name} ${type}\n# HELP ${name} ${escaped(help)}\n`;
  }

  #line(name: string, labels: Labels, value: number | bigint): void {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    this.#text += `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${String(value)}\n`;
  }
}

/** Bounds are floats: `1.0`. */
const floatText = (value: number): string => (Number.isInteger(value) ? `${value}.0` : String(value));

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
