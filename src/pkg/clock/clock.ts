/**
 * Wall-clock time in nanoseconds, strictly increasing within the process: two events never have the same time and their
 * order is the order of their times, also when the host's clock is set back.
 */
let last = 0n;

/** Nanoseconds since the epoch. */
export function nowNs(): bigint {
  // The milliseconds are the host's, the rest is from the monotonic clock: finer, and right to a millisecond.
  const now = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  last = now > last ? now : last + 1n;
  return last;
}

/** '2026-01-02T03:04:05.123456789Z' */
export function rfc3339(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  const fraction = String(ns % 1_000_000_000n).padStart(9, '0');
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}

/** As `rfc3339` for a time known in milliseconds. */
export function rfc3339OfDate(date: Date): string {
  return rfc3339(BigInt(date.getTime()) * 1_000_000n);
}

/** The inverse of `rfc3339`. */
export function parseRfc3339(text: string): bigint {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/.exec(text);
  if (match === null) throw new RangeError(`not a time: "${text}"`);
  return BigInt(Date.parse(`${match[1]}Z`)) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}
