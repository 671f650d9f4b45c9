/** HEALTHCHECK: NONE, or CMD with its times. */
import { parseDuration } from '#pkg/units/duration.ts';
import { type FlagTable, Flags } from './flags.ts';
import type { HealthcheckInstruction } from './instructions.ts';
import { type Reading, texts } from './reading.ts';
import { Fault } from './source.ts';
import { jsonWords } from './words.ts';

const table: FlagTable = {
  interval: 'string',
  timeout: 'string',
  'start-period': 'string',
  'start-interval': 'string',
  retries: 'string',
};

const INTERVAL_NS_MIN = 1_000_000n;

export function healthcheck({ split, node }: Reading): HealthcheckInstruction {
  const match = /^(\S+)\s*([\s\S]*)$/.exec(split.rest.text);
  if (match === null) throw new Fault('HEALTHCHECK requires at least one argument');
  const [, type = '', rest = ''] = match;
  const none = type.toUpperCase() === 'NONE';
  if (none && rest !== '') throw new Fault('HEALTHCHECK NONE takes no arguments');
  const flags = Flags.parse(table, split.flags);
  return {
    ...node,
    keyword: 'HEALTHCHECK',
    test: none ? ['NONE'] : testOf(type, rest, split.rest.offset),
    intervalNs: duration(flags, 'interval'),
    timeoutNs: duration(flags, 'timeout'),
    startPeriodNs: duration(flags, 'start-period'),
    startIntervalNs: duration(flags, 'start-interval'),
    retries: retriesOf(flags),
  };
}

function testOf(type: string, rest: string, offset: number): readonly string[] {
  if (type.toUpperCase() !== 'CMD') {
    throw new Fault(`Unknown type ${JSON.stringify(type.toUpperCase())} in HEALTHCHECK (try CMD)`, { offset });
  }
  const words = jsonWords({ text: rest, offset });
  if (rest === '' || words?.length === 0) throw new Fault('Missing command after HEALTHCHECK CMD', { offset });
  return words === undefined ? ['CMD-SHELL', rest] : ['CMD', ...texts(words)];
}

/** Zero and what is not given are the engine's default. */
function duration(flags: Flags, name: string): bigint | undefined {
  const value = flags.string(name);
  if (value === undefined) return undefined;
  const at = { offset: flags.offsetOf(name) ?? 0 };
  let parsed: bigint;
  try {
    parsed = parseDuration(value);
  } catch {
    throw new Fault(`time: invalid duration ${JSON.stringify(value)}`, at);
  }
  if (parsed === 0n) return undefined;
  if (parsed < INTERVAL_NS_MIN) throw new Fault(`Interval ${JSON.stringify(name)} cannot be less than 1ms`, at);
  return parsed;
}

function retriesOf(flags: Flags): number | undefined {
  const value = flags.string('retries');
  if (value === undefined) return undefined;
  const at = { offset: flags.offsetOf('retries') ?? 0 };
  const number = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(Math.abs(number) <= 0x7fff_ffff)) {
    throw new Fault(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`, at);
  }
  if (number < 0) throw new Fault(`--retries cannot be negative (${number})`, at);
  return number;
}
