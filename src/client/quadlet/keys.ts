/**
 * Reads one section key by key. What nobody has asked for in the end is unknown; mistakes are collected, so that a file
 * tells all of them at once. An empty assignment forgets what came before, as in systemd.
 */
import type { Entry, Section } from './unit-file.ts';
import { splitWords } from './words.ts';

export class Keys {
  readonly problems: string[] = [];
  readonly #name: string;
  readonly #entries: readonly Entry[];
  readonly #known = new Set<string>();

  constructor(name: string, section: Section | undefined) {
    this.#name = name;
    this.#entries = section?.entries ?? [];
  }

  entries(...names: readonly string[]): Entry[] {
    for (const name of names) this.#known.add(name);
    let found: Entry[] = [];
    for (const entry of this.#entries) {
      if (!names.includes(entry.key)) continue;
      found = entry.value === '' ? found.filter((one) => one.key !== entry.key) : [...found, entry];
    }
    return found;
  }

  all(...names: readonly string[]): string[] {
    return this.entries(...names).map((entry) => entry.value);
  }

  last(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  words(...names: readonly string[]): string[] {
    return this.entries(...names).flatMap((entry) => {
      try {
        return splitWords(entry.value);
      } catch (error) {
        this.refuse(entry, error instanceof Error ? error.message : String(error));
        return [];
      }
    });
  }

  flag(name: string, otherwise = false): boolean {
    const entry = this.entries(name).at(-1);
    if (entry === undefined) return otherwise;
    if (/^(?:1|yes|y|true|t|on)$/i.test(entry.value)) return true;
    if (!/^(?:0|no|n|false|f|off)$/i.test(entry.value))
      this.refuse(entry, `"${entry.value}" is neither true nor false`);
    return false;
  }

  refuse(entry: Entry, reason: string): void {
    this.problems.push(`${entry.file}:${entry.line}: key "${entry.key}" in [${this.#name}]: ${reason}`);
  }

  /** Of a key that is not there to be blamed. */
  lacks(file: string, reason: string): void {
    this.problems.push(`${file}: [${this.#name}]: ${reason}`);
  }

  refuseUnknown(): void {
    for (const entry of this.#entries) if (!this.#known.has(entry.key)) this.refuse(entry, 'is not supported');
  }
}
