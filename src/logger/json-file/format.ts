/**
 * Docker's json-file format in readable TypeScript: what one line of a log looks like, byte for byte. The pump writes
 * with the accelerator in encoder.ts; this is the reference that the accelerator is tested against.
 *
 * A line: {"log":"TEXT\n","stream":"stdout","attrs":{…},"time":"2026-11-22T17:00:00.123456789Z"} and a newline; `attrs`
 * only when there are any. Text is escaped as moby does it: `\" \\ \n \r`, other bytes below 0x20 and `< > &` as \u00xx,
 * U+2028 and U+2029, and each byte that is no UTF-8 as \ufffd. Output without a newline is cut into pieces of 16,384
 * bytes (a character is never cut, so up to 3 more), which lack the final \n.
 */

export type LogStream = 'stdout' | 'stderr';

/** Bytes after which a line without a newline is written as a piece. */
export const PIECE_BYTES = 16_384;
/** So many bytes of an unfinished line must be there before a piece of it can be written: a character may overhang. */
export const PIECE_BYTES_READY = PIECE_BYTES + 3;

/** What follows the text of a line, without its leading \n. `attrs` is a JSON object or empty. */
export function lineEnd(stream: LogStream, attrs: string, time: string): string {
  return `","stream":"${stream}",${attrs === '' ? '' : `"attrs":${attrs},`}"time":"${time}"}\n`;
}

const SECOND = 1_000_000_000n;

/** RFC 3339 with nine digits always, so that a digit can be counted up in place and times compare as text. */
export function formatTime(ns: bigint): string {
  const seconds = new Date(Number(ns / SECOND) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(ns % SECOND).padStart(9, '0')}Z`;
}

/** Bytes that are ready to be written: whole lines, and pieces of a line that has got too long. */
export function readyBytes(input: Uint8Array): number {
  return Math.max(input.lastIndexOf(10) + 1, input.length - PIECE_BYTES_READY + 1, 0);
}

/**
 * The log lines of `input`, and how much of it they took. Lines that begin within `readyBytes` are written; at the end
 * of the stream (`final`) the unfinished line as well, without \n.
 */
export function encodeReference(
  input: Uint8Array,
  options: { stream: LogStream; attrs: string; time: (line: number) => string; final: boolean },
): { readonly text: string; readonly consumed: number } {
  const ready = options.final ? input.length : readyBytes(input);
  const out: string[] = [];
  let at = 0;
  for (let line = 0; at < ready; line++) {
    const { text, end } = encodeLine(input, at);
    out.push(`{"log":"${text}${lineEnd(options.stream, options.attrs, options.time(line))}`);
    at = end;
  }
  return { text: out.join(''), consumed: at };
}

function encodeLine(input: Uint8Array, start: number): { text: string; end: number } {
  let text = '';
  let at = start;
  while (at < input.length && at < start + PIECE_BYTES) {
    const length = characterBytes(input, at);
    const character = length === 0 ? undefined : new TextDecoder().decode(input.subarray(at, at + length));
    at += Math.max(length, 1);
    text += character === undefined ? '\\ufffd' : escapeCharacter(character);
    if (character === '\n') break;
  }
  return { text, end: at };
}

function escapeCharacter(character: string): string {
  switch (character) {
    case '"':
      return '\\"';
    case '\\':
      return '\\\\';
    case '\n':
      return '\\n';
    case '\r':
      return '\\r';
    default: {
      const code = character.codePointAt(0) ?? 0;
      const escaped = code < 0x20 || '<>&\u2028\u2029'.includes(character);
      return escaped ? `\\u${code.toString(16).padStart(4, '0')}` : character;
    }
  }
}

/** Length of the UTF-8 character at `at`, or 0 when there is none (RFC 3629: no overlong form, surrogate, > U+10FFFF). */
export function characterBytes(input: Uint8Array, at: number): number {
  const first = input[at] ?? 0;
  if (first < 0x80) return 1;
  const second = input[at + 1] ?? 0;
  const continued = (n: number) => ((input[at + n] ?? 0) & 0xc0) === 0x80;
  if (first < 0xc2 || first > 0xf4 || !continued(1)) return 0;
  if (first < 0xe0) return 2;
  if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f) || !continued(2)) return 0;
  if (first < 0xf0) return 3;
  if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f) || !continued(3)) return 0;
  return 4;
}
