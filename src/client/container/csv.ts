/** One line of CSV: fields by commas, quoted where they contain one, quotes doubled inside. */

export function splitCsv(line: string): string[] {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^,"]*))(?:,|$)/y;
  for (let end = false; !end; ) {
    const start = field.lastIndex;
    const match = field.exec(line);
    if (match === null) throw new Error(`parse error on line 1, column ${start + 1}: bare " in non-quoted-field`);
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    end = field.lastIndex >= line.length && !match[0].endsWith(',');
    if (field.lastIndex >= line.length && match[0].endsWith(',')) {
      fields.push('');
      end = true;
    }
  }
  return fields;
}
