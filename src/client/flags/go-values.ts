/**
 * Go's readings of booleans, integers and durations, with the words of its errors: scripts and tests compare them, and
 * a flag must accept here what it accepts in docker.
 */
import { parseDuration as parseGoDuration } from '#pkg/units/duration.ts';
import { parseBytes } from '#pkg/units/size.ts';

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

export function parseBool(text: string): boolean {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  throw new Error(`strconv.ParseBool: parsing "${text}": invalid syntax`);
}

const INTEGER = /^[+-]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)$/;
const INT64_MAX = 2n ** 63n - 1n;

function toBigInt(text: string): bigint | undefined {
  if (!INTEGER.test(text)) return undefined;
  const negative = text.startsWith('-');
  const digits = text.replace(/^[+-]/, '');
  // Go reads a leading zero as octal; BigInt wants 0o.
  const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return negative ? -value : value;
}

export function parseInteger(text: string): number {
  const value = toBigInt(text);
  if (value === undefined) throw new Error(`strconv.ParseInt: parsing "${text}": invalid syntax`);
  if (value > INT64_MAX || value < -INT64_MAX - 1n) {
    throw new Error(`strconv.ParseInt: parsing "${text}": value out of range`);
  }
  return Number(value);
}

export function parseUnsigned(text: string, bits: number): number {
  const value = text.startsWith('+') ? undefined : toBigInt(text);
  if (value === undefined || text.startsWith('-')) {
    throw new Error(`strconv.ParseUint: parsing "${text}": invalid syntax`);
  }
  if (value >= 1n << BigInt(bits)) throw new Error(`strconv.ParseUint: parsing "${text}": value out of range`);
  return Number(value);
}

/** Nanoseconds of a Go duration such as `1h2m3.5s`. */
export function parseDuration(text: string): number {
  if (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) && Number(text) !== 0) {
    throw new Error(`time: missing unit in duration "${text}"`);
  }
  return Number(parseGoDuration(text));
}

/** `64m`, `1.5g`, `512`: bytes, by powers of 1024. */
export function parseRamBytes(text: string): number {
  if (!text.startsWith('-')) {
    try {
      return parseBytes(text);
    } catch {
      // Told below, in the words of docker's own flag.
    }
  }
  const suffix = /^[\d.]+ ?([a-z]+)$/i.exec(text)?.[1]?.toLowerCase();
  throw new Error(suffix === undefined ? `invalid size: '${text}'` : `invalid suffix: '${suffix}'`);
}

/** `--cpus`: a rational number in units of 1e-9. */
export function parseDecimal(text: string): number {
  const fraction = /^([+-]?\d+)\/(\d+)$/.exec(text);
  const value = fraction !== null ? Number(fraction[1]) / Number(fraction[2]) : Number(text);
  if (text.trim() !== text || text === '' || !Number.isFinite(value) || /^[+-]?0[xob]/i.test(text)) {
    throw new Error(`failed to parse ${text} as a rational number`);
  }
  const nanos = value * 1e9;
  if (Math.abs(nanos - Math.round(nanos)) > 1e-3) throw new Error('value is too precise');
  return Math.round(nanos);
}
