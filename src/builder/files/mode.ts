/** `--chmod`: octal, or chmod's symbolic clauses (`u=rwX,go=rX`, `+x`). */
import { invalidParameter } from '#errdefs/errors.ts';
import { S_IF } from '#sys/numbers.ts';
import type { ModeChange, ModeClause } from './jobs.ts';

/** Errors: invalid-parameter naming the value. */
export function parseMode(text: string): ModeChange {
  if (/^[0-7]{1,5}$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode <= 0o7777) return mode;
  }
  const clauses: ModeClause[] = [];
  for (const part of text.split(',')) {
    const match = /^([ugoa]*)((?:[+=-][rwxXst]*)+)$/.exec(part);
    if (match === null)
      throw invalidParameter(`invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`);
    const who = match[1] === '' || match[1]?.includes('a') === true ? 'ugo' : (match[1] ?? '');
    for (const [, operator, permissions = ''] of (match[2] ?? '').matchAll(/([+=-])([rwxXst]*)/g)) {
      if (operator === '+' || operator === '-' || operator === '=') clauses.push({ who, operator, permissions });
    }
  }
  return clauses;
}

const shifts: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

/** The permissions of a file that has `mode` (with its type). */
export function changedMode(change: ModeChange, mode: number): number {
  if (typeof change === 'number') return change;
  const directory = (mode & S_IF.MT) === S_IF.DIR;
  let now = mode & 0o7777;
  for (const { who, operator, permissions } of change) {
    const mask = maskOf(who, permissions, directory || (now & 0o111) !== 0);
    if (operator === '+') now |= mask;
    else if (operator === '-') now &= ~mask;
    else now = (now & ~maskOf(who, 'rwxst', true)) | mask;
  }
  return now;
}

function maskOf(who: string, permissions: string, executable: boolean): number {
  let mask = 0;
  for (const letter of who) {
    const shift = shifts[letter] ?? 0;
    if (permissions.includes('r')) mask |= 4 << shift;
    if (permissions.includes('w')) mask |= 2 << shift;
    if (permissions.includes('x') || (permissions.includes('X') && executable)) mask |= 1 << shift;
  }
  if (permissions.includes('s')) mask |= (who.includes('u') ? 0o4000 : 0) | (who.includes('g') ? 0o2000 : 0);
  if (permissions.includes('t') && who === 'ugo') mask |= 0o1000;
  return mask;
}
