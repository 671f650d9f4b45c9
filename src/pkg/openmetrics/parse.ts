/** Reads OpenMetrics text as strictly as the standard asks, for tests: what breaks a rule is refused with its line. */

export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ParsedFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: ParsedSample[];
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total'],
  gauge: [''],
  info: ['_info'],
  histogram: ['_bucket', '_count', '_sum'],
};

/** Errors: Error naming the line. */
export function parseOpenMetrics(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('# EOF\n')) throw new Error('the text has no end');
  const families = new Map<string, ParsedFamily>();
  const seen = new Set<string>();
  let current: { name: string; family: ParsedFamily } | undefined;
  let pendingType: { name: string; type: string } | undefined;
  for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
    const comment = /^# (TYPE|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind = '', name = '', rest = ''] = comment;
      if (kind === 'TYPE') {
        if (families.has(name)) throw new Error(`a family twice: ${line}`);
        pendingType = { name, type: rest };
      } else {
        if (pendingType?.name !== name) throw new Error(`help without a type: ${line}`);
        const family = { type: pendingType.type, help: rest, samples: [] };
        families.set(name, family);
        current = { name, family };
      }
      continue;
    }
    if (current === undefined) throw new Error(`a sample without a family: ${line}`);
    const sample = parseSample(line);
    const suffix = sample.name.slice(current.name.length);
    if (!sample.name.startsWith(current.name) || SUFFIXES[current.family.type]?.includes(suffix) !== true) {
      throw new Error(`a sample that is not its family's: ${line}`);
    }
    const key = line.slice(0, line.lastIndexOf(' '));
    if (seen.has(key)) throw new Error(`a sample twice: ${line}`);
    seen.add(key);
    if (suffix === '_total' && sample.value < 0) throw new Error(`a count below zero: ${line}`);
    current.family.samples.push(sample);
  }
  for (const [name, { type, samples }] of families) if (type === 'histogram') checkBuckets(name, samples);
  return families;
}

function parseSample(line: string): ParsedSample {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$/.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  const [, name = '', pairs = '', value = ''] = match;
  const labels: Record<string, string> = {};
  let rest = pairs;
  while (rest !== '') {
    const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest);
    const [whole, key, raw] = pair ?? [];
    if (whole === undefined || key === undefined || raw === undefined || key in labels) {
      throw new Error(`labels that cannot be read: ${line}`);
    }
    labels[key] = raw.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one));
    rest = rest.slice(whole.length);
  }
  const number = Number(value.replace('Inf', 'Infinity'));
  return { name, labels, value: number };
}

/** Buckets grow, and the last has all. */
function checkBuckets(name: string, samples: readonly ParsedSample[]): void {
  let below = 0;
  let last: ParsedSample | undefined;
  for (const sample of samples) {
    if (sample.name === `${name}_bucket`) {
      if (sample.value < below) throw new Error(`buckets of ${name} go down`);
      below = sample.value;
      last = sample;
    } else if (sample.name === `${name}_count`) {
      if (last?.labels['le'] !== '+Inf' || last.value !== sample.value)
        throw new Error(`buckets of ${name} have no end`);
      below = 0;
    }
  }
}
