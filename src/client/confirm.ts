/** Asks before something is deleted, as docker asks. */
import { readSync } from 'node:fs';
import type { Io } from './terminal/io.ts';

/** True for 'y' and 'Y'; the end of the input is a no. */
export function confirmed(io: Io, warning: string): boolean {
  io.out(`${warning}\nAre you sure you want to continue? [y/N] `);
  const answer = readLine().trim().toLowerCase();
  return answer === 'y';
}

function readLine(): string {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (readSync(0, one) === 1 && one[0] !== 10) bytes.push(one[0] ?? 0);
  return Buffer.from(bytes).toString();
}
