/**
 * Parser directives: `# syntax=`, `# escape=` and `# check=` in the comment lines at the very top. The first line that
 * is none of them ends the search; the same one twice is an error.
 */
import { Fault } from './source.ts';

export type DirectiveName = 'syntax' | 'escape' | 'check';

export interface Directive {
  readonly name: DirectiveName;
  readonly value: string;
  readonly line: number;
}

export type Directives = Readonly<Partial<Record<DirectiveName, Directive>>>;

const names: ReadonlySet<string> = new Set<DirectiveName>(['syntax', 'escape', 'check']);
const pattern = /^#[\s]*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/;

const isName = (name: string): name is DirectiveName => names.has(name);

/** Takes one line after the other until it is done. */
export class DirectiveReader {
  readonly #seen: Partial<Record<DirectiveName, Directive>> = {};
  #done = false;

  /** True when the line was a directive. Throws a Fault for one that is there twice or has a value that cannot be. */
  take(line: string, number: number): boolean {
    if (this.#done) return false;
    const match = pattern.exec(line);
    const name = match?.[1]?.toLowerCase() ?? '';
    if (match === null || !isName(name)) {
      this.#done = true;
      return false;
    }
    if (this.#seen[name] !== undefined) throw new Fault(`only one ${name} parser directive can be used`);
    const value = match[2] ?? '';
    if (name === 'escape' && value !== '`' && value !== '\\') {
      throw new Fault(`invalid escape token '${value}' does not match \` or \\`);
    }
    this.#seen[name] = { name, value, line: number };
    return true;
  }

  get found(): Directives {
    return this.#seen;
  }
}
