/**
 * systemd's words: split at white space, quotes of both kinds, C escapes. `%` and `$` are left as they are: systemd
 * itself expands them when it reads the generated unit, as with podman's generator.
 */
const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  s: ' ',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

/** Throws a plain Error that says what is wrong. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const c = text.charAt(at);
    if (c === '\\') {
      const { value, length } = unescape(text.slice(at + 1));
      word = (word ?? '') + value;
      at += length;
    } else if (quote !== '') {
      if (c === quote) quote = '';
      else word = (word ?? '') + c;
    } else if (c === '"' || c === "'") {
      quote = c;
      word ??= '';
    } else if (/\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + c;
  }
  if (quote !== '') throw new Error(`a quotation is not closed: ${text}`);
  if (word !== undefined) words.push(word);
  return words;
}

/** What follows a backslash; an escape that nobody knows stays as it is written. */
function unescape(rest: string): { readonly value: string; readonly length: number } {
  const simple = ESCAPES[rest.charAt(0)];
  if (simple !== undefined) return { value: simple, length: 1 };
  const [code] = /^(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3})/.exec(rest) ?? [];
  if (code === undefined) return { value: '\\', length: 0 };
  const number = /^[0-7]/.test(code) ? parseInt(code, 8) : parseInt(code.slice(1), 16);
  if (number === 0 || number > 0x10ffff) throw new Error(`\\${code} is no character`);
  return { value: String.fromCodePoint(number), length: code.length };
}

/** One argument for an `Exec…=` line. */
export function quoteWord(word: string): string {
  if (/^[\w%$@+=:,./{}[\]!~^&|<>()*?-]+$/.test(word)) return word;
  const escaped = word.replace(/[\\"\p{Cc}]/gu, (c) => {
    if (c === '\\' || c === '"') return `\\${c}`;
    if (c === '\n') return '\\n';
    if (c === '\t') return '\\t';
    const code = c.charCodeAt(0);
    return code < 0x80 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  return `"${escaped}"`;
}

export function commandLine(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}
