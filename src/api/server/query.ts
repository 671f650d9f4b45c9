/** Query values, read as dockerd reads them: what counts as true, what a number may look like, which words it says. */
import { invalidParameter } from '#errdefs/errors.ts';

const FALSE = new Set(['', '0', 'no', 'false', 'none']);
const INTEGER = /^[+-]?[0-9]+$/;

export class Query {
  readonly #values: URLSearchParams | undefined;

  constructor(text: string) {
    this.#values = text === '' ? undefined : new URLSearchParams(text);
  }

  /** The first of the name, '' when there is none. */
  text(name: string): string {
    return this.#values?.get(name) ?? '';
  }

  has(name: string): boolean {
    return this.#values?.has(name) ?? false;
  }

  all(name: string): string[] {
    return this.#values?.getAll(name) ?? [];
  }

  flag(name: string): boolean {
    return !FALSE.has(this.text(name).trim().toLowerCase());
  }

  /** undefined when absent. Errors: invalid-parameter in the words of Go's strconv. */
  integer(name: string): number | undefined {
    const text = this.text(name);
    if (text === '') return undefined;
    if (!INTEGER.test(text)) throw invalidParameter(`strconv.Atoi: parsing ${quote(text)}: invalid syntax`);
    const value = Number(text);
    if (!Number.isSafeInteger(value))
      throw invalidParameter(`strconv.Atoi: parsing ${quote(text)}: value out of range`);
    return value;
  }

  /** A terminal's height or width; `what` is the word in the message. */
  uint32(name: string, what: string): number {
    const text = this.text(name);
    if (!/^[0-9]+$/.test(text)) throw invalidParameter(`${what} ${quote(text)}: invalid syntax`);
    const value = Number(text);
    if (value > 0xffffffff) throw invalidParameter(`${what} ${quote(text)}: value out of range`);
    return value;
  }

  /** Seconds since the epoch, with a fraction of at most nine digits, as nanoseconds; undefined when absent. */
  timestamp(name: string): bigint | undefined {
    const text = this.text(name);
    if (text === '') return undefined;
    const match = /^(-?[0-9]{1,18})(?:\.([0-9]{1,9}))?$/.exec(text);
    if (match === null) throw invalidParameter(`invalid value for "${name}": ${quote(text)} is no timestamp`);
    const seconds = BigInt(match[1] ?? '0');
    return seconds * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
  }
}

/** As Go's %q for what comes in queries. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
