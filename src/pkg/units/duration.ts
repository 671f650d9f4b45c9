/**
 * Durations and points in time as Docker reads and shows them: Go's `1h30m`, the rough `About an hour` of `ps` and
 * `images`, and what `since` and `until` accept.
 */
import { invalidParameter } from '#errdefs/errors.ts';

const unitNs: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go's time.ParseDuration, in nanoseconds. Errors: invalid-parameter `time: invalid duration "…"`. */
export function parseDuration(text: string): bigint {
  const invalid = () => invalidParameter(`time: invalid duration ${JSON.stringify(text)}`);
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text);
  if (match === null) throw invalid();
  let total = 0n;
  for (const [, whole = '', fraction = '', unit = ''] of text.matchAll(/(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g)) {
    const size = BigInt(unitNs[unit] ?? 0);
    total += BigInt(whole === '' ? '0' : whole) * size;
    if (fraction !== '') total += (BigInt(fraction) * size) / 10n ** BigInt(fraction.length);
  }
  if (total > 2n ** 63n - 1n) throw invalid();
  return match[1] === '-' ? -total : total;
}

/** Go's Duration.String. */
export function formatDuration(ns: bigint): string {
  if (ns === 0n) return '0s';
  const sign = ns < 0n ? '-' : '';
  const abs = ns < 0n ? -ns : ns;
  if (abs < 1_000_000_000n) {
    const [unit, size]: [string, bigint] =
      abs < 1000n ? ['ns', 1n] : abs < 1_000_000n ? ['µs', 1000n] : ['ms', 1_000_000n];
    return `${sign}${withFraction(abs, size)}${unit}`;
  }
  const hours = abs / 3_600_000_000_000n;
  const minutes = (abs / 60_000_000_000n) % 60n;
  const seconds = withFraction(abs % 60_000_000_000n, 1_000_000_000n);
  return `${sign}${hours > 0n ? `${hours}h` : ''}${hours > 0n || minutes > 0n ? `${minutes}m` : ''}${seconds}s`;
}

function withFraction(value: bigint, unit: bigint): string {
  const rest = value % unit;
  if (rest === 0n) return String(value / unit);
  const digits = String(unit).length - 1;
  return `${value / unit}.${String(rest).padStart(digits, '0').replace(/0+$/, '')}`;
}

/** go-units' HumanDuration: `Less than a second`, `About a minute`, `3 weeks`. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  // Go rounds: int(d.Hours() + 0.5).
  const hours = Math.trunc(ms / 3_600_000 + 0.5);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  // Years alone are not rounded: int(d.Hours())/24/365.
  return `${Math.trunc(ms / 3_600_000 / 24 / 365)} years`;
}

/**
 * `since` and `until` of the API: seconds since the epoch with a fraction, RFC 3339 with less precision allowed, a
 * date, or a Go duration before `now`. Answer in nanoseconds. Errors: invalid-parameter.
 */
export function parseTimestamp(text: string, now: Date): bigint {
  const unix = /^(-?\d+)(?:\.(\d{1,9}))?$/.exec(text);
  if (unix !== null) {
    const [, seconds = '0', fraction = ''] = unix;
    return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
  }
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  if (match === null) {
    try {
      return BigInt(now.getTime()) * 1_000_000n - parseDuration(text);
    } catch {
      throw invalidParameter(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
    }
  }
  const [, date = '', hour = '00', minute = '00', second = '00', fraction = '', zone = ''] = match;
  // Without a zone Date reads this form as local time, which is what Docker does.
  const ms = new Date(`${date}T${hour}:${minute}:${second}${zone}`).getTime();
  if (Number.isNaN(ms)) throw invalidParameter(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
