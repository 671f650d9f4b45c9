/**
 * PAX extended headers: `LENGTH KEY=VALUE\n` records. Values are bytes (extended attributes are binary). Bounded: a
 * record's length is checked against what is there before anything is copied.
 */
import type { BerthError } from '#errdefs/errors.ts';
import type { ByteString } from './entry.ts';
import { invalidHeader } from './header.ts';

export interface PaxRecord {
  readonly key: ByteString;
  readonly value: Buffer;
}

/** Repeated keys stay, in order: GNU's sparse format 0.0 needs them; for all else the last one counts. */
export function parsePax(bytes: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    if (space < 0 || space - at > 10) throw bad();
    const digits = bytes.toString('latin1', at, space);
    if (!/^[0-9]+$/.test(digits)) throw bad();
    const end = at + Number(digits);
    if (end > bytes.length || end < space + 3 || bytes[end - 1] !== 0x0a) throw bad();
    const equals = bytes.indexOf(0x3d, space + 1);
    if (equals <= space + 1 || equals >= end) throw bad();
    const key = bytes.toString('latin1', space + 1, equals);
    if (key.includes('\0')) throw bad();
    records.push({ key, value: Buffer.from(bytes.subarray(equals + 1, end - 1)) });
    at = end;
  }
  return records;
}

/** In the given order; callers sort for determinism. */
export function formatPax(records: readonly { readonly key: ByteString; readonly value: Uint8Array }[]): Buffer {
  return Buffer.concat(
    records.map(({ key, value }) => {
      // The length counts its own digits: add until it agrees with itself.
      const rest = key.length + value.length + 3;
      let length = rest + String(rest).length;
      if (rest + String(length).length !== length) length = rest + String(length).length;
      return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n')]);
    }),
  );
}

/** A decimal number of a PAX record. */
export function paxInteger(value: Buffer, key: string): number {
  const text = value.toString('latin1');
  const parsed = Number(text);
  if (!/^-?[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(parsed)) throw invalidHeader(key);
  return parsed;
}

/** `SECONDS[.FRACTION]`; nanoseconds are always counted forward. */
export function paxTime(value: Buffer, key: string): { seconds: number; nanoseconds: number } {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value.toString('latin1'));
  if (match === null) throw invalidHeader(key);
  const [, sign, whole = '0', fraction = ''] = match;
  const seconds = Number(whole);
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (sign !== '-') return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

const bad = (): BerthError => invalidHeader('PAX record');
