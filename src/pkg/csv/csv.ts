/** Options like `type=local,"dest=a,b"`: fields with commas are in quotes. */
export function csvFields(text: string): string[] {
  const fields: string[] = [];
  for (const [, quoted, bare = ''] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/g)) {
    const field = quoted === undefined ? bare : quoted.replaceAll('""', '"');
    if (field !== '') fields.push(field);
  }
  return fields;
}

export const csvOf = (fields: readonly string[]): string =>
  fields.map((field) => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',');
