/** Questions on the terminal; of a secret nothing is shown. */
import { readSync } from 'node:fs';
import type { Io } from '../terminal/io.ts';
import { RawMode } from '../terminal/raw-mode.ts';

const ENTER = new Set([10, 13]);
const ERASE = new Set([8, 127]);
const INTERRUPT = 3;
const END = 4;
const EXIT_INTERRUPTED = 130;

export function askLine(io: Io, question: string): string {
  io.out(question);
  return readUntilEnter(() => undefined).trim();
}

export function askSecret(io: Io, question: string): string {
  io.out(question);
  let interrupted = false;
  let answer: string;
  {
    using _raw = RawMode.enter();
    answer = readUntilEnter(() => {
      interrupted = true;
    });
  }
  io.out('\n');
  if (interrupted) process.exit(EXIT_INTERRUPTED);
  return answer;
}

function readUntilEnter(interrupted: () => void): string {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (readSync(0, one) === 1) {
    const byte = one[0] ?? 0;
    if (ENTER.has(byte) || byte === END) break;
    if (byte === INTERRUPT) {
      interrupted();
      break;
    }
    if (ERASE.has(byte)) bytes.pop();
    else bytes.push(byte);
  }
  return Buffer.from(bytes).toString();
}
