/** Names below a driver's directory, and the small things both drivers do with them. */
import { randomBytes } from 'node:crypto';
import assert from 'node:assert/strict';

export const TEMPORARY_PREFIX = 'tmp-';
/** Directories of the drivers' own beside the ids. */
export const TRASH = 'trash';
export const LINKS = 'l';
export const EMPTY = 'empty';
export const SPARE = 'spare';

/** Ids come from us, never from a client; a wrong one would be a path. */
export function assertId(id: string): void {
  assert(/^[0-9a-f]{64}(?:-init)?$/.test(id), `"${id}" is no layer id`);
}

export function isId(name: string): boolean {
  return /^[0-9a-f]{64}(?:-init)?$/.test(name);
}

export function temporaryName(id: string): string {
  return `${TEMPORARY_PREFIX}${id}-${randomBytes(4).toString('hex')}`;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** A name for a short link: 80 random bits. */
export function shortName(): string {
  let name = '';
  for (const byte of randomBytes(16)) name += alphabet.charAt(byte & 31);
  return name;
}
