/**
 * Sizes as Docker reads and shows them (go-units): what a user gives is binary (`1k` is 1024), what is shown is decimal
 * with four significant digits (`1.234MB`), except memory (`512MiB`).
 */
import { invalidParameter } from '#errdefs/errors.ts';

const exponents: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

/** `64m`, `1.5GiB`, `1024`, `-1`: bytes. Errors: invalid-parameter `invalid size: "…"`. */
export function parseBytes(text: string): number {
  return parse(text, 1024);
}

/** As `parseBytes`, with k = 1000 (log sizes, disk sizes). */
export function parseDecimalBytes(text: string): number {
  return parse(text, 1000);
}

function parse(text: string, base: number): number {
  const match = /^(-?\d+(?:\.\d+)?) ?(?:([kmgtp])?i?b?)$/i.exec(text);
  const exponent = exponents[(match?.[2] ?? '').toLowerCase()];
  if (match === null || exponent === undefined) throw invalidParameter(`invalid size: "${text}"`);
  const value = Math.trunc(Number(match[1]) * base ** exponent);
  if (value === -1) return -1;
  if (value < 0 || !Number.isSafeInteger(value)) throw invalidParameter(`invalid size: "${text}"`);
  return value;
}

/** `0B`, `4.26MB`: decimal; `digits` significant digits. */
export function humanSize(bytes: number, digits = 4): string {
  return scaled(bytes, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB'], digits);
}

/** `512MiB`: binary. */
export function binarySize(bytes: number, digits = 4): string {
  return scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB'], digits);
}

function scaled(bytes: number, base: number, names: readonly string[], digits: number): string {
  let size = bytes;
  let index = 0;
  while (size >= base && index < names.length - 1) {
    size /= base;
    index += 1;
  }
  // Number() drops the trailing zeros, as Go's %.4g does.
  return `${Number(size.toPrecision(digits))}${names[index] ?? ''}`;
}
