/** Samples per metric and engine, and what is told of them: median, range, ratio to the peer. */

export type Unit = 'ms' | 'µs' | '%' | 'MB/s' | 'MB' | 'req/s' | '/s' | 'times';

const higherIsBetter = new Set<Unit>(['MB/s', 'req/s', '/s', 'times']);

interface Metric {
  readonly unit: Unit;
  readonly samples: Map<string, number[]>;
}

export interface Row {
  readonly metric: string;
  readonly unit: Unit;
  readonly engines: Readonly<
    Record<string, { median: number; min: number; max: number; samples: readonly number[]; timesBetter?: number }>
  >;
}

export class Recorder {
  readonly #metrics = new Map<string, Metric>();
  readonly #failures = new Map<string, number>();
  /** Samples of warm-up rounds are dropped. */
  recording = true;

  add(metric: string, engine: string, value: number, unit: Unit): void {
    const known = this.#metrics.get(metric) ?? { unit, samples: new Map<string, number[]>() };
    this.#metrics.set(metric, known);
    if (!this.recording) return;
    const samples = known.samples.get(engine) ?? [];
    known.samples.set(engine, samples);
    samples.push(value);
  }

  fail(engine: string, what: string): void {
    const key = `${engine}: ${what}`;
    this.#failures.set(key, (this.#failures.get(key) ?? 0) + 1);
  }

  /** `peer` is what the others are compared with. */
  rows(peer: string | undefined): Row[] {
    return [...this.#metrics].map(([metric, { unit, samples }]) => {
      const base = peer === undefined ? undefined : samples.get(peer);
      const engines: Record<string, Row['engines'][string]> = {};
      for (const [engine, values] of samples) {
        if (values.length === 0) continue;
        const own = median(values);
        const ratio = base === undefined || base.length === 0 || engine === peer ? undefined : median(base) / own;
        engines[engine] = {
          median: own,
          min: Math.min(...values),
          max: Math.max(...values),
          samples: values,
          ...(ratio === undefined ? {} : { timesBetter: higherIsBetter.has(unit) ? 1 / ratio : ratio }),
        };
      }
      return { metric, unit, engines };
    });
  }

  get failures(): string[] {
    return [...this.#failures].map(([what, count]) => (count === 1 ? what : `${what} (${count} times)`));
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A Markdown table: median (min–max), and in bold how many times better than the peer. */
export function table(rows: readonly Row[], engines: readonly string[]): string {
  const lines = [`| work | unit | ${engines.join(' | ')} |`, `|---|---|${engines.map(() => '---|').join('')}`];
  for (const { metric, unit, engines: results } of rows) {
    const cells = engines.map((engine) => {
      const result = results[engine];
      if (result === undefined) return '–';
      const better = result.timesBetter === undefined ? '' : ` **×${short(result.timesBetter)}**`;
      return `${short(result.median)} (${short(result.min)}–${short(result.max)})${better}`;
    });
    lines.push(`| ${metric} | ${unit} | ${cells.join(' | ')} |`);
  }
  return lines.join('\n');
}
