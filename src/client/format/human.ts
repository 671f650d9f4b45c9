/** Ages, ids and times as docker shows them. */
import { humanDuration } from '#pkg/units/duration.ts';

export function ago(seconds: number, nowMs: number): string {
  return `${humanDuration(nowMs - seconds * 1000)} ago`;
}

/** First twelve digits of an id, with or without its algorithm. */
export function shortId(id: string): string {
  return id.slice(id.indexOf(':') + 1, id.indexOf(':') + 13);
}

/** Go's `ellipsis`: at most `limit` characters, the last of them `…` when something was cut. */
export function ellipsis(text: string, limit: number): string {
  const points = Array.from(text);
  return points.length <= limit ? text : `${points.slice(0, limit - 1).join('')}…`;
}

/** `2026-11-22 17:01:48 +0000 UTC` of seconds since the epoch, in this machine's zone. */
export function goTime(seconds: number): string {
  const at = new Date(seconds * 1000);
  const pad = (n: number) => String(n).padStart(2, '0');
  const offset = -at.getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const zone = `${sign}${pad(Math.trunc(Math.abs(offset) / 60))}${pad(Math.abs(offset) % 60)}`;
  const name =
    offset === 0
      ? 'UTC'
      : (new Intl.DateTimeFormat('en', { timeZoneName: 'short' })
          .formatToParts(at)
          .find((p) => p.type === 'timeZoneName')?.value ?? zone);
  const date = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${date} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())} ${zone} ${name}`;
}

/** RFC 3339 in this machine's zone, seconds only (`2026-11-22T17:01:48Z`). */
export function rfc3339(seconds: number): string {
  const [date = '', time = '', zone = ''] = goTime(seconds).split(' ');
  return `${date}T${time}${zone === '+0000' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(3)}`}`;
}

// as: ES2026's JSON.rawJSON, which Bun has and the compiler's library does not know yet.
const rawJson = Reflect.get(JSON, 'rawJSON') as (text: string) => unknown;

/** What docker's client writes by Go's json encoder, which it tells not to escape `<`, `>` and `&`; a bigint is a number with all its digits. */
export function goJson(value: unknown, indent = ''): string {
  const whole = (_: string, held: unknown): unknown => (typeof held === 'bigint' ? rawJson(String(held)) : held);
  return JSON.stringify(value, whole, indent).replace(
    /[\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** RFC 3339 with nine decimals. */
export function localNanoseconds(seconds: number, nanoseconds: bigint): string {
  const fraction = nanoseconds === 0n ? 0n : nanoseconds - BigInt(seconds) * 1_000_000_000n;
  return rfc3339(seconds).replace(/(Z|[+-]\d\d:\d\d)$/, `.${String(fraction).padStart(9, '0')}$1`);
}
