/**
 * systemd's file syntax as quadlet files have it: sections, `Key=value`, comments, lines continued by a backslash.
 * Every entry keeps its file and line, so that a drop-in's mistake is told of the drop-in.
 */
export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly file: string;
  readonly line: number;
}

export interface Section {
  readonly name: string;
  readonly entries: Entry[];
}

export interface ParsedUnit {
  readonly sections: readonly Section[];
  readonly problems: readonly string[];
}

/** One file and its drop-ins, in the order in which they count. */
export function parseUnitFiles(files: readonly { readonly file: string; readonly text: string }[]): ParsedUnit {
  const sections: Section[] = [];
  const problems: string[] = [];
  for (const { file, text } of files) {
    let current: Section | undefined;
    for (const { line, text: whole } of logicalLines(text)) {
      const header = /^\[([^[\]]+)\]$/.exec(whole);
      if (header !== null) {
        const [, name = ''] = header;
        current = sections.find((section) => section.name === name);
        if (current === undefined) sections.push((current = { name, entries: [] }));
        continue;
      }
      const [, key = '', value = ''] = /^([^=\s]+)\s*=\s*(.*)$/s.exec(whole) ?? [];
      if (key === '') problems.push(`${file}:${line}: neither a section nor Key=value: "${whole}"`);
      else if (current === undefined) problems.push(`${file}:${line}: key "${key}" is outside of a section`);
      else current.entries.push({ key, value, file, line });
    }
  }
  return { sections, problems };
}

/** Without comments and empty lines; a comment within a continued line does not end it. */
function* logicalLines(text: string): Generator<{ readonly line: number; readonly text: string }> {
  let begun: { line: number; text: string } | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const trimmed = raw.trim();
    if (/^[#;]/.test(trimmed)) continue;
    const continued = trimmed.endsWith('\\');
    const part = continued ? trimmed.slice(0, -1).trimEnd() : trimmed;
    if (begun === undefined) {
      if (trimmed === '') continue;
      begun = { line: index + 1, text: part };
    } else begun.text = `${begun.text} ${part}`.trimEnd();
    if (continued) continue;
    yield begun;
    begun = undefined;
  }
  if (begun !== undefined) yield begun;
}
