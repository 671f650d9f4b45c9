/** A set of names in order of their bytes, for lists that are read in pages. Sorted when it is read, not when it grows. */
export class SortedNames {
  readonly #names = new Set<string>();
  #sorted: string[] | undefined;

  get size(): number {
    return this.#names.size;
  }

  add(name: string): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#sorted = undefined;
  }

  delete(name: string): void {
    if (this.#names.delete(name)) this.#sorted = undefined;
  }

  /** At most `count` names after `last` (undefined: from the beginning), and whether there are more. */
  page(last: string | undefined, count: number): { readonly names: readonly string[]; readonly more: boolean } {
    this.#sorted ??= [...this.#names].sort(byBytes);
    const start = last === undefined ? 0 : firstAfter(this.#sorted, last);
    const names = this.#sorted.slice(start, start + count);
    return { names, more: start + names.length < this.#sorted.length };
  }
}

const byBytes = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function firstAfter(sorted: readonly string[], last: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? '') <= last) low = middle + 1;
    else high = middle;
  }
  return low;
}
