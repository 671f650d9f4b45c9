/** `--filter key=value`, repeatable. */

export function parseFilters(texts: readonly string[]): Map<string, string[]> {
  const filters = new Map<string, string[]>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    const key = text.slice(0, equals).trim().toLowerCase();
    const values = filters.get(key) ?? [];
    values.push(text.slice(equals + 1).trim());
    filters.set(key, values);
  }
  return filters;
}

/** For a flag's `check`. */
export function checkFilter(text: string): string {
  if (!text.includes('=')) throw new Error('bad format of filter (expected name=value)');
  return text;
}
